"""Code that the rotation commands share: ``--force``, the printed outcome, and client options.

A step that would violate a rule against lockouts is refused, unless the user forces it, such as in
a clone without the newest version. The client options describe how fast clients get a version:
update delays, and measured usage.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from certpin.cli.choices import CYCLE_DAYS, DELAYS
from certpin.cli.main import PROBLEM_FOUND, SUCCESS
from certpin.cli.options import option_group
from certpin.cli.reply import fold, print_json, say

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from certpin.cli.rotate.files import RotationFiles
    from certpin.cli.servers import ProbeOptions, ProbeResults
    from certpin.pins import HostPolicy, Pin
    from certpin.rotation import AdoptionDelays, Event, Situation, Threshold, Violation
    from certpin.rotation.prospect import Conclusion

# Violations, and a user who takes the step all the same.

_UNANSWERED = {"unlisted", "unseen"}  # an answer of the host's servers may end these violations


@dataclass(frozen=True)
class HostViolation:
    """A violation of a rotation invariant (a rule that prevents lockouts) at one host."""

    host: str
    violation: Violation

    def json(self) -> dict[str, Any]:
        """Return the violation as a JSON object."""
        return violation_json(self.host, self.violation)


@dataclass(frozen=True)
class ForceOptions:
    """The options ``--force`` and ``--reason``: take a step although it could lock clients out.

    Attributes:
        force: True to take the step.
        reason: the reason to record in the journal; required with ``force``.

    Raises:
        click.UsageError: only one of the two options is given.
    """

    force: bool
    reason: str | None

    def __post_init__(self) -> None:
        if self.force and not (self.reason or "").strip():
            raise click.UsageError("--force needs --reason TEXT: it is recorded in the journal")
        if self.reason is not None and not self.force:
            raise click.UsageError("--reason is the reason for --force: use both together")

    def refuses(self, violations: Sequence[HostViolation]) -> bool:
        """Print violations, and return True if the step is refused because of them.

        Violations are those of the rules against lock-outs. With ``--force`` they are printed, too,
        and the result is False. It is also False without violations.
        """
        word = "forced" if self.force else "refused"
        hosts: dict[Violation, dict[str, None]] = {}
        for found in violations:
            hosts.setdefault(found.violation, {})[found.host] = None
        for violation, names in hosts.items():
            say(f"certpin: {word}", f"{', '.join(names)}: {format_violation(violation)}")
        return bool(violations) and not self.force

    def require_answers(
        self, results: ProbeResults, violations: Sequence[HostViolation] = ()
    ) -> None:
        """Check that every contacted server answered, unless the user forces the step.

        If the step is refused in any case, return, so that the caller can print all reasons: a
        violation counts more than a server that did not answer.

        Args:
            results: the probed servers.
            violations: the rules that the step violates.

        Raises:
            ProbeError: servers did not answer. The error names each of them.
        """
        refused = any(
            each.host not in results.unanswered or each.violation.invariant not in _UNANSWERED
            for each in violations
        )
        if not refused and not self.force:
            results.require_answers(", or --force --reason TEXT")

    def recorded_reason(
        self, violations: Sequence[HostViolation], results: ProbeResults | None = None
    ) -> str:
        """Return the reason to record in the journal; empty if the step needed no ``--force``.

        Args:
            violations: the rules that the step violates. A step with violations needs ``--force``.
            results: the probed servers, if the step needs the chains of all of them: it then needs
                ``--force`` if one did not answer (``require_answers``). None for other steps.
        """
        forced = violations or (results and results.errors)
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
    """Return violations of rotation rules as ``HostViolation``, with the host of ``policy``."""
    return [HostViolation(str(policy.pattern), violation) for violation in violations]


def accepted_stolen_key(situation: Situation) -> Pin | None:
    """Return the pin of a stolen key that clients accept with the latest version or the draft.

    ``situation`` has the facts about the host. Return None if there is no such key.
    """
    latest = situation.deployed.latest
    policies = [situation.policy, *(situation.policies_of(latest) if latest else ())]
    accepted = {pin for policy in policies if policy for pin in policy.live_pins}
    return min(situation.compromised & accepted, key=str, default=None)


def format_violation(violation: Violation) -> str:
    """Format a violation as lines: the problem, the clients at risk, the safe date, and the fix."""
    from certpin.rotation import in_utc

    lines = [
        f"{violation.problem} (invariant {violation.invariant})",
        f"  at risk: {violation.at_risk}",
    ]
    if violation.safe_from:
        lines.append(f"  safe from: {in_utc(violation.safe_from)}")
    return "\n".join([*lines, f"  fix: {violation.fix}"])


def time_json(moment: datetime | None) -> str | None:
    """Return a time as text for a JSON object; ``None`` without a time."""
    return moment.isoformat() if moment else None


def violation_json(host: str, violation: Violation) -> dict[str, Any]:
    """Return a violation of a rotation invariant at a host as a JSON object."""
    return {
        "host": host,
        "invariant": violation.invariant,
        "problem": violation.problem,
        "clients": violation.clients,
        "safe_from": time_json(violation.safe_from),
        "fix": violation.fix,
    }


# The outcome of a step.


@dataclass
class StepOutcome:
    """The outcome of a rotation step: its effect, or the rotation invariants that it would violate.

    Attributes:
        step: the name of the step.
        path: the pin file.
        hosts: the host patterns that the step is for.
        pin: the pin that the step is about; None if it is about a version.
        version: the version number that the step is about, or None.
        done: True if the step was taken.
        forced: True if the user gave ``--force``, even if the step did not need it.
        violations: the violated invariants, which are rules that prevent lockouts.
        messages: sentences for people, printed if something was changed.
        next_command: the command to run next, or empty.
        later_command: the command to run after ``next_command``, or empty.
        later: the first safe date of ``later_command``; None if unknown.
        unknown: facts that could not be checked, as sentences without full stops.
        events: the events that the command appended to the journal.
        conclusions: for ``switch``: whether the clients of each version accept the new chain or
            key.
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
        """Print the outcome of the step and end the command, with exit code 1 if it was refused."""
        if as_json:
            print_json(self.json())
        else:
            self._print()
        ctx.exit(SUCCESS if self.done else PROBLEM_FOUND)

    def json(self) -> dict[str, Any]:
        """Return the outcome of the step as a JSON object."""
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
            "later_from": time_json(self.later),
            "events": [event_json(event) for event in self.events],
            "conclusions": [found.json() for found in self.conclusions],
        }

    def _print(self) -> None:
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


@dataclass(frozen=True)
class HostConclusion:
    """Whether clients that hold a version accept a new chain or key of a host.

    Attributes:
        host: the host pattern.
        version: the number of the version.
        conclusion: ``accepted``, ``refused``, or ``open`` if too little is known about the chain;
            ``unpinned`` if the version has no policy for the host, so that its clients refuse no
            key for its pin; ``expired`` if its clients accept the chain, but refuse every server
            because its pins have expired.
    """

    host: str
    version: int
    conclusion: Conclusion | Literal["unpinned", "expired"]

    def json(self) -> dict[str, Any]:
        """Return the host, the version and the conclusion as a JSON object."""
        return {"host": self.host, "version": self.version, "conclusion": self.conclusion}


def conclusion_lines(found: Sequence[HostConclusion]) -> list[str]:
    """Return lines of text that state which versions accept a new chain or key.

    ``found`` are the results for each host and version. Versions of a host with the same conclusion
    (such as accepted) share one line.
    """
    by: dict[tuple[str, str], list[int]] = {}
    for each in found:
        by.setdefault((each.host, each.conclusion), []).append(each.version)
    lines = []
    for (host, conclusion), numbers in by.items():
        names = ", ".join(str(number) for number in sorted(set(numbers)))
        several = len(set(numbers)) > 1
        verb = {
            "accepted": "accept it" if several else "accepts it",
            "refused": "refuse it" if several else "refuses it",
            "open": "are open" if several else "is open",
            "unpinned": "have no pins for it" if several else "has no pins for it",
            "expired": "have expired pins" if several else "has expired pins",
        }[conclusion]
        lines.append(f"{host}: {'versions' if several else 'version'} {names} {verb}.")
    return lines


def event_json(event: Event) -> dict[str, Any]:
    """Return an event of the rotation journal as a JSON object."""
    return {
        "step": event.step,
        "host": event.host or None,
        "pin": str(event.pin) if event.pin else None,
        "version": event.version,
    }


def later_line(command: str, date: datetime | None) -> str:
    """Return the output line for a command to run later.

    It begins with the date from which the command is safe; or with "Later:", if ``date`` is None.
    """
    from certpin.rotation import in_utc

    return f"From {in_utc(date)} on:  {command}" if date else f"Later:  {command}"


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
    """Return the delays until clients update, with the user's options in place of recorded values.

    Args:
        timing: the recorded delays.
        delays: the delays that the user gave, by name.
    """
    changes: dict[str, Any] = dict(delays)
    return replace(timing, **changes)


# The usage that clients reported to the monitoring service.

_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)%", re.ASCII)


@dataclass(frozen=True)
class UsageOptions:
    """The options about measured usage: which versions clients really have, as reports show.

    From this data certpin decides whether an old version counts as replaced.

    Attributes:
        watch: the address or database of the monitoring service to which clients report; ``None``
            for none.
        enough: the share of clients, as a text such as ``99.9%``, that must have a later version
            before a version counts as replaced; ``None`` if not given.
        seen: the minimum number of clients that must report each day, with any version; ``None`` if
            not given.
        seen_days: the number of consecutive days on which both must be so; ``None`` for the
            default.
        exports: the files of usage reports from app stores.

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
        """Find out which versions clients have, and store the result in ``files.measured``.

        The sources are the monitoring service (``--watch``) and the reports of app stores
        (``--measured``). Do nothing if the user gave neither option.

        Args:
            files: the pin file and the journal.
            timing: the delays until clients update.
            now: the current time.

        Raises:
            ConfigError: the address of the monitoring service, or the access token for it, is
                invalid.
            ProbeError: the monitoring service does not answer.
            StoreError: the database of the monitoring service can't be read.
            InputError: the report of an app store can't be read, or is about no app that the
                journal records.
        """
        from certpin.rotation import measured

        if self.exports:
            from certpin.cli.rotate.usage import with_exports

            files.measured = with_exports(files.deployed, self.exports)
        if self.watch is None:
            return
        from certpin.cli.rotate.files import once
        from certpin.cli.rotate.usage import reported_usage

        deployed = files.deployed
        versions = {version.number for version in deployed.versions}
        watch, name = self.watch, files.pins.name
        reports = once(
            (watch, name, frozenset(versions)), lambda: reported_usage(watch, name, now, versions)
        )
        files.measured = measured(deployed, reports, timing, now, self._threshold())

    def _threshold(self) -> Threshold | None:
        from fractions import Fraction

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


# A clone that lacks the version which clients can fetch.

_PUSH_AGAIN = "push again: certpin publish push; certpin publish status checks the files there"
_PULL = "get the journal and the pin file of the clone that pushed it: git pull"


def compare_destination(
    files: RotationFiles, probes: ProbeOptions
) -> tuple[list[Violation], list[str]]:
    """Compare the journal with the version of the pin set that clients can fetch now.

    If that version is newer, this clone of the repository is outdated: it lacks pins that clients
    hold, so a step that it allows can lock them out.

    Args:
        files: the pin file and the journal.
        probes: the options of the user. With ``--offline``, or without the settings file
            ``publish.toml``, nothing is read, and both lists are empty.

    Returns:
        Two lists. The first one has a violation if the version at the destination is newer than the
        journal, or differs from it. The second one has the facts that are unknown, as clauses: if
        the signatures at the destination can't be verified, its number is only a hint; an older
        version that the journal lacks can be a copy of old files; and nothing is known if the
        destination can't be read, or is damaged.
    """
    from certpin.cli.rotate.files import once, settings_path
    from certpin.errors import CertpinError
    from certpin.rotation import Violation
    from certpin.support.text import printable

    if probes.offline or not settings_path(files.path).is_file():
        return [], []
    from certpin.cli.publish.destination import read_version

    try:
        found = once(("destination", files.path), lambda: read_version(files, probes.timeout))
    except CertpinError as exc:
        problem = printable(str(getattr(exc, "problem", exc)))
        return [], [f"whether clients can fetch a newer version: {problem}"]
    if found is None:
        return [], []
    doubt = "" if found.pins else ", with unverified signatures"
    problem = found.newer_than(files.deployed)
    if not problem:
        old = found.missing_in(files.deployed)
        return [], [f"which version clients have: {old}{doubt} ({_PUSH_AGAIN})"] if old else []
    if found.pins is None:
        return [], [f"which version clients have: {problem}{doubt} ({_PULL})"]
    fix = (
        f"{_PULL}, and run this again; if no one of your team has pushed that, a key is stolen "
        "(see certpin publish status), and --offline leaves that version out"
    )
    return [Violation("outdated", problem, None, fix=fix)], []
