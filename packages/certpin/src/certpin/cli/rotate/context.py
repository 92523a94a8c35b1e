"""Shared by the commands of ``certpin rotate``: pin file, journal, reported usage, ``--force``."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.choices import CYCLE_DAYS, DELAYS
from certpin.cli.main import PROBLEM_FOUND, SUCCESS
from certpin.cli.options import option_group
from certpin.cli.reply import fold, print_json, say

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from certpin.cli.rotate.outcome import HostConclusion
    from certpin.cli.servers import ProbeResults
    from certpin.pins import HostPolicy, Pin, PinSet
    from certpin.rotation import (
        AdoptionDelays,
        DeployedVersions,
        Event,
        Sighting,
        Situation,
        Threshold,
        Violation,
    )

_MAX_NAME = 100  # characters of a person's name; a login name has 32
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)%", re.ASCII)


class RotationFiles:
    """A pin file and the journal beside it, read and written together.

    Contradictions in the journal are printed on standard error.

    Attributes:
        measured: the deployed versions with the reported usage, if the user asked for that.
        evidence: the facts about the time: the newest entry, and the times of servers.
        observations: the entries for the servers that this command has contacted.

    Raises:
        PinFileError: the pin file is invalid.
        JournalError: the journal is invalid.
    """

    def __init__(self, path: Path) -> None:
        from certpin.pinfile.editor import PinFileEditor
        from certpin.rotation import contradictions, journal_path, load_journal, time_evidence

        self.path = path
        self.journal = journal_path(path)
        self.editor = PinFileEditor.open(path)
        self._before = self.editor.text
        self.history = load_journal(self.journal)
        self.evidence = time_evidence(self.newest)
        self.observations: list[Event] = []
        self.measured: DeployedVersions | None = None
        self.contradictions = contradictions(self.history)
        for contradiction in self.contradictions:
            say("certpin: warning", f"{self.journal}: {contradiction}")
        self._mark_unusable()

    @property
    def pins(self) -> PinSet:
        """The draft: the content of the pin file, with the changes of this command so far."""
        return self.editor.check()

    @property
    def newest(self) -> Event | None:
        """The newest entry of the journal; ``None`` if it has none."""
        return self.history.events[-1] if self.history.events else None

    @property
    def deployed(self) -> DeployedVersions:
        """The published versions of the pin set that clients may hold."""
        return self.measured or self.history.deployed

    @property
    def next_version(self) -> int:
        """The version under which the pin file goes out after a change of its pins."""
        return self.deployed.next_number(self.pins)

    @property
    def timing(self) -> AdoptionDelays:
        """The update delays of clients, from the latest publish in the journal, or the defaults."""
        from certpin.rotation import AdoptionDelays

        return self.history.timing or AdoptionDelays()

    def situation(
        self,
        policy: HostPolicy,
        sightings: Sequence[Sighting],
        now: datetime,
        timing: AdoptionDelays | None = None,
        pins: PinSet | None = None,
    ) -> Situation:
        """Return the facts from which the rotation of one host is judged.

        They are the draft (or ``pins`` instead), the deployed versions, the served chains
        (``sightings``), the update delays of clients, the time, and the host's earlier states in
        the journal.
        """
        from certpin.rotation import Situation

        return Situation(
            pins or self.pins,
            policy.pattern,
            self.deployed,
            tuple(sightings),
            timing or self.timing,
            now,
            self.history.past(policy.pattern),
            self.history.observed,
            self.evidence,
        )

    def require_version(self) -> None:
        """Check that the journal has a published version; without one, clients' pins are unknown.

        Raises:
            ConfigError: the journal has no version.
        """
        from certpin.errors import ConfigError

        if not self.deployed.versions:
            raise ConfigError(
                f"{self.journal} has no published version",
                key="version",
                fix="record the one that clients have: certpin publish sign does for a signed set, "
                f"certpin rotate shipped {self.pins.version} for any other, with --app and "
                "--release if it is in an app; oldest first, if there are several",
            )

    def commit(self, events: Sequence[Event]) -> None:
        """Write the pin file and append events to the journal, both or neither.

        The journal comes last, because it records completed steps. The observations of this command
        are recorded with its steps.

        Raises:
            PinFileError: the pin file can't be written.
            JournalError: the journal can't be written, or a step that is not forced is earlier than
                its newest entry. The pin file is as before.
        """
        from certpin.errors import JournalError
        from certpin.pinfile.file import write_atomically
        from certpin.rotation import after, format_journal

        for event in events:
            if not event.reason:
                self.require_time(event.time)
        if not any(event.pins for event in events):  # a published pin set is as it was checked
            self._mark_unusable()
        changed = self.editor.text != self._before
        if changed:
            self.editor.save()
        try:
            new = after(self.history.events, [*self.observations, *events])
            append_lines(self.journal, format_journal(new))
        except OSError as exc:
            if changed:
                write_atomically(self.path, self._before)
            raise JournalError(
                f"it cannot be written: {exc.strerror or exc}", path=self.journal
            ) from exc

    def require_time(self, now: datetime) -> None:
        """Require that a step at this time does not come before the newest entry of the journal.

        Raises:
            JournalError: it does; either clock is wrong.
        """
        from certpin.errors import JournalError
        from certpin.rotation.clock import REPAIR, behind_journal

        if problem := behind_journal(self.evidence, now):
            raise JournalError(problem, path=self.journal, fix=REPAIR)

    def _mark_unusable(self) -> None:
        """Mark keys that the journal records as stolen or lost in the draft."""
        from certpin.cli.rotate.marks import mark_unusable
        from certpin.errors import CertpinError

        try:
            mark_unusable(self.editor, self.history)
        except CertpinError as exc:
            say("certpin: warning", f"the states in {self.path} can't be set: {exc}")


def settings_path(pin_file: Path) -> Path:
    """Return the path of the settings of `certpin publish` that belong to a pin file."""
    return pin_file.parent / "publish" / "publish.toml"


def append_lines(path: Path, lines: str) -> None:
    """Append lines to the journal. If its last line lacks a line end, add that first."""
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            lines = lines if file.read(1) == b"\n" else "\n" + lines
        file.write(lines.encode())
        file.flush()
        os.fsync(file.fileno())


who_option = click.option(
    "--who",
    envvar="CERTPIN_WHO",
    show_envvar=True,
    metavar="NAME",
    help="The person who takes this step, for the journal; by default your login name.",
)


def name_of(who: str | None) -> str:
    """Return the name for the journal: ``--who``, else the login name, else the user's number."""
    import getpass

    from certpin.support.text import printable

    if who is None:
        try:
            who = getpass.getuser()
        except (OSError, KeyError):
            who = str(os.getuid())
    return printable(who)[:_MAX_NAME]


# How long it takes until every client has a published version.

_DELAY_HELP = {
    "cdn": "How long the CDN may serve an old version.",
    "cache": "How long a client may keep a version in its cache.",
    "poll": "How often a client checks for a new version.",
    "opened": "How long until the last user opens the app.",
    "skew": "By how much the clocks differ.",
}


def _duration(ctx: click.Context, parameter: click.Parameter, text: str | None) -> timedelta | None:
    from certpin.errors import InputError
    from certpin.rotation import parse_duration

    try:
        return None if text is None else parse_duration(text)
    except InputError as exc:
        raise click.BadParameter(str(exc), ctx, parameter) from exc


def _given_delays(**delays: timedelta | None) -> dict[str, timedelta]:
    return {name: delay for name, delay in delays.items() if delay is not None}


delay_options = option_group(
    "delays",
    [
        click.option(
            f"--{name}",
            callback=_duration,
            metavar="DURATION",
            help=f"{_DELAY_HELP[name]} By default as at the last publish, else {usual}.",
        )
        for name, usual in DELAYS.items()
    ],
    _given_delays,
)


def with_delays(timing: AdoptionDelays, delays: dict[str, timedelta]) -> AdoptionDelays:
    """Return the update delays of clients, with those replaced that the user gave as options."""
    changes: dict[str, Any] = dict(delays)
    return replace(timing, **changes)


# The usage that clients reported to the monitoring service.


@dataclass(frozen=True)
class UsageOptions:
    """Options: where to read the usage that clients report, and whether it may shorten the wait.

    Raises:
        click.UsageError: an option lacks another one, or is invalid.
    """

    watch: str | None = None
    enough: str | None = None
    seen: int | None = None
    seen_days: int | None = None
    exports: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if (self.enough is None) != (self.seen is None):
            raise click.UsageError("--enough and --seen go together: a share needs a total")
        if self.seen_days is not None and self.enough is None:
            raise click.UsageError("--seen-days goes with --enough")
        if self.enough is not None and self.watch is None:
            raise click.UsageError("--enough needs --watch: the monitoring service has the reports")
        self._threshold()

    def apply(self, files: RotationFiles, timing: AdoptionDelays, now: datetime) -> None:
        """Fetch the reported usage and store the deployed versions with it in ``files.measured``.

        Do nothing if the user did not ask for reported usage.

        Raises:
            ConfigError: the address or the token is invalid.
            ProbeError: the monitoring service does not answer.
            StoreError: its database can't be read.
            InputError: a report of a store can't be read, or has no recorded app.
        """
        from certpin.rotation import measured

        if self.exports:
            from certpin.cli.rotate.usage import with_exports

            files.measured = with_exports(files.deployed, self.exports)
        if self.watch is None:
            return
        from certpin.cli.rotate.usage import reported_usage

        deployed = files.deployed
        versions = {version.number for version in deployed.versions}
        reports = reported_usage(self.watch, files.pins.name, now, versions)
        files.measured = measured(deployed, reports, timing, now, self._threshold())

    def _threshold(self) -> Threshold | None:
        from certpin.errors import InputError
        from certpin.rotation import Threshold

        if self.enough is None or self.seen is None:
            return None
        percent = _PERCENT.fullmatch(self.enough.strip())
        if not percent:
            raise click.UsageError("--enough is a share, as in 99.9%")
        try:
            return Threshold(Fraction(percent[1]) / 100, self.seen, self.seen_days or CYCLE_DAYS)
        except InputError as exc:
            raise click.UsageError(f"--enough: {exc.problem}") from exc


usage_options = option_group(
    "usage",
    (
        click.option(
            "--watch",
            metavar="URL",
            help="Ask this monitoring service which versions clients reported: its address, with a "
            "token of the scope read in CERTPIN_WATCH_TOKEN; or its database (sqlite:///FILE, "
            "env:NAME). A version that is reported after its expected end counts as alive.",
        ),
        click.option(
            "--enough",
            metavar="PERCENT%",
            help="Do not wait for the last user: a version has ended when at most the rest of "
            "--seen clients report it or an older one, on each of --seen-days. Anyone who can send "
            "to the collector can send false reports; clients without a reporter are not counted.",
        ),
        click.option(
            "--seen",
            type=click.IntRange(1),
            metavar="N",
            help="The minimum number of clients that report each day.",
        ),
        click.option(
            "--seen-days",
            type=click.IntRange(CYCLE_DAYS, 366),
            metavar="DAYS",
            help=f"The number of consecutive whole days; by default the minimum, {CYCLE_DAYS}.",
        ),
        click.option(
            "--measured",
            "exports",
            multiple=True,
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            metavar="FILE.csv",
            help="The statistics of a store by app version: Google Play's installs report, or the "
            "report App Sessions of App Store Connect. They replace the adoption curves of "
            "releases. May be repeated.",
        ),
    ),
    UsageOptions,
)


# Violations, and a user who takes the step all the same.


@dataclass(frozen=True)
class HostViolation:
    """A violation of a rotation invariant, with the host that it is about."""

    host: str
    violation: Violation

    def json(self) -> dict[str, Any]:
        """Return the violation as JSON."""
        return violation_json(self.host, self.violation)


@dataclass(frozen=True)
class ForceOptions:
    """The options ``--force`` and ``--reason``, which take a step that the gate refuses.

    Raises:
        click.UsageError: one of the two options is missing.
    """

    force: bool
    reason: str | None

    def __post_init__(self) -> None:
        if self.force and not (self.reason or "").strip():
            raise click.UsageError("--force needs --reason TEXT: it is recorded in the journal")
        if self.reason is not None and not self.force:
            raise click.UsageError("--reason is the reason for --force: use both together")

    def refuses(self, violations: Sequence[HostViolation]) -> bool:
        """Print the violations of a step. Return True if the step must not be taken."""
        word = "forced" if self.force else "refused"
        hosts: dict[Violation, dict[str, None]] = {}
        for found in violations:
            hosts.setdefault(found.violation, {})[found.host] = None
        for violation, names in hosts.items():
            say(f"certpin: {word}", f"{', '.join(names)}: {format_violation(violation)}")
        return bool(violations) and not self.force

    def require_answers(self, results: ProbeResults) -> None:
        """Check that every contacted server answered, unless the user forces the step.

        Raises:
            ProbeError: a server did not.
        """
        if results.error and not self.force:
            raise results.error

    def recorded_reason(
        self, violations: Sequence[HostViolation], results: ProbeResults | None = None
    ) -> str:
        """Return the ``--reason`` for the journal; empty if the step needed no force."""
        forced = violations or (results and results.error)
        return (self.reason or "").strip() if forced else ""


force_options = option_group(
    "force",
    (
        click.option(
            "--force",
            is_flag=True,
            help="Take the step although clients would be locked out. Needs --reason; both are "
            "recorded.",
        ),
        click.option("--reason", metavar="TEXT", help="The reason for --force, for the journal."),
    ),
    ForceOptions,
)


def of_host(policy: HostPolicy, violations: Sequence[Violation]) -> list[HostViolation]:
    """Return violations as ``HostViolation``, each with the host of the policy."""
    return [HostViolation(str(policy.pattern), violation) for violation in violations]


def format_violation(violation: Violation) -> str:
    """Return a violation as text, with the name of its invariant."""
    from certpin.rotation import in_utc

    lines = [
        f"{violation.problem} (invariant {violation.invariant})",
        f"  at risk: {violation.at_risk}",
    ]
    if violation.safe_from:
        lines.append(f"  safe from: {in_utc(violation.safe_from)}")
    return "\n".join([*lines, f"  fix: {violation.fix}"])


def violation_json(host: str, violation: Violation) -> dict[str, Any]:
    """Return a violation as JSON."""
    return {
        "host": host,
        "invariant": violation.invariant,
        "problem": violation.problem,
        "clients": violation.clients,
        "safe_from": violation.safe_from.isoformat() if violation.safe_from else None,
        "fix": violation.fix,
    }


@dataclass
class StepOutcome:
    """The outcome of a rotation step: its result, or the violations that it would cause.

    Attributes:
        messages: sentences for people, printed if the step was taken.
        next_command: the command that comes next, or empty.
        later_command: the command after that, or empty; ``later`` is its first safe date, if known.
        unknown: facts that could not be checked, as sentences without full stops.
        events: those that the command appended to the journal.
        conclusions: whether the clients of each version accept the chain, as far as it is known.
    """

    step: str
    path: Path
    hosts: list[str]
    pin: Pin | None = None
    version: int | None = None
    done: bool = False
    forced: bool = False
    violations: list[HostViolation] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    next_command: str = ""
    later_command: str = ""
    later: datetime | None = None
    events: Sequence[Event] = ()
    conclusions: Sequence[HostConclusion] = ()

    def show(self, ctx: click.Context, *, as_json: bool) -> None:
        """Print the outcome and end the command, with exit code 1 if the step was refused."""
        if as_json:
            print_json(self.json())
        else:
            self._print()
        ctx.exit(SUCCESS if self.done else PROBLEM_FOUND)

    def json(self) -> dict[str, Any]:
        """Return the outcome as JSON."""
        from certpin.cli.rotate.outcome import event_json

        return {
            "step": self.step,
            "file": str(self.path),
            "hosts": self.hosts,
            "pin": str(self.pin) if self.pin else None,
            "version": self.version,
            "done": self.done,
            "forced": self.forced,
            "breaches": [found.json() for found in self.violations],
            "unknown": self.unknown,
            "next": self.next_command or None,
            "later": self.later_command or None,
            "later_from": self.later.isoformat() if self.later else None,
            "events": [event_json(event) for event in self.events],
            "conclusions": [found.json() for found in self.conclusions],
        }

    def _print(self) -> None:
        from certpin.cli.rotate.outcome import conclusion_lines, later_line

        changed = self.done or self.events
        if not changed:
            click.echo("Nothing was changed.")
        lines = [*(self.messages if changed else ()), *conclusion_lines(self.conclusions)]
        for line in (*lines, *(f"Not known: {unknown}." for unknown in self.unknown)):
            click.echo(fold(line, sys.stdout))
        if changed and self.next_command:
            click.echo(f"Next:  {self.next_command}")
        if changed and self.later_command:
            click.echo(later_line(self.later_command, self.later))
