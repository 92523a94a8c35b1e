"""The context of a rotation's commands."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.choices import CYCLE_DAYS, DELAYS
from certpin.cli.main import FINDING, HOLDS
from certpin.cli.reply import print_json
from certpin.cli.screen import fold, say

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta
    from pathlib import Path

    from certpin.cli.servers import Looked
    from certpin.pins import HostPolicy, PinSet
    from certpin.rotation import Breach, Event, Field, Sighting, Situation, Timing

    Found = list[tuple[str, Breach]]
    from certpin.pins import Pin
    from certpin.rotation import Enough


_LONGEST_NAME = 100  # of whoever did it; a login name has 32

who_option = click.option(
    "--who",
    envvar="CERTPIN_WHO",
    show_envvar=True,
    metavar="NAME",
    help="Who does it, for the journal; by default your login name.",
)


class Ledger:
    """A pin file, its journal, and what both say. Raises ``PinFileError`` and ``JournalError``.

    What contradicts in the journal is told on standard error.
    """

    def __init__(self, path: Path) -> None:
        from certpin.pinfile.editor import PinFileEditor
        from certpin.rotation import contradictions
        from certpin.rotation.history import journal_beside, load_journal

        self.path = path
        self.journal = journal_beside(path)
        self.editor = PinFileEditor.open(path)
        self._before = self.editor.text
        self.history = load_journal(self.journal)
        self.measured: Field | None = None  # with what clients told, where somebody asked for that
        self.contradictions = contradictions(self.history)
        for each in self.contradictions:
            say("certpin: warning", f"{self.journal}: {each}")

    @property
    def pins(self) -> PinSet:
        """The draft: the pin file as it stands, or as it is being changed."""
        return self.editor.check()

    @property
    def field(self) -> Field:
        """The versions that went out."""
        return self.measured or self.history.field

    @property
    def timing(self) -> Timing:
        """The delays that were given at the last publish, or the defaults."""
        from certpin.rotation import Timing

        return self.history.timing or Timing()

    def situation(
        self,
        policy: HostPolicy,
        sightings: Sequence[Sighting],
        now: datetime,
        timing: Timing | None = None,
    ) -> Situation:
        """What is known of one host."""
        from certpin.rotation import Situation

        return Situation(
            self.pins,
            policy.pattern,
            self.field,
            tuple(sightings),
            timing or self.timing,
            now,
            self.history.past(policy.pattern),
        )

    def need_a_version(self) -> None:
        """Raise ``ConfigError`` where nobody knows what clients hold."""
        from certpin.errors import ConfigError

        if not self.field.versions:
            raise ConfigError(
                f"{self.journal} knows of no version that is in the field",
                key="version",
                fix="record the one that clients have: certpin rotate publish, "
                "with --bundled if it is in a binary; oldest first, if there are several",
            )

    def commit(self, events: Sequence[Event]) -> None:
        """Write both, or neither. The journal comes last: it says what was done."""
        from certpin.errors import JournalError
        from certpin.pinfile.writing import write_atomically
        from certpin.rotation import after, format_journal

        changed = self.editor.text != self._before
        if changed:
            self.editor.save()
        try:
            _append(self.journal, format_journal(after(self.history.events, events)))
        except OSError as exc:
            if changed:
                write_atomically(self.path, self._before)
            raise JournalError(
                f"it cannot be written: {exc.strerror or exc}", path=self.journal
            ) from exc


def name_of(who: str | None) -> str:
    """Who does it. A machine that has no names for its users has numbers."""
    import getpass

    from certpin.x509 import printable

    if who is None:
        try:
            who = getpass.getuser()
        except (OSError, KeyError):
            who = str(os.getuid())
    return printable(who)[:_LONGEST_NAME]


def _append(path: Path, lines: str) -> None:
    """Add lines. A last line without its end, as an editor may leave it, gets one first."""
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            lines = lines if file.read(1) == b"\n" else "\n" + lines
        file.write(lines.encode())
        file.flush()
        os.fsync(file.fileno())


_WORDS = {
    "cdn": "How long the CDN may serve an old version.",
    "cache": "How long a client may keep one in its cache.",
    "poll": "How often a client asks.",
    "opened": "How long until the last user opens the app.",
    "skew": "How wrong the clocks are.",
}


def _duration(ctx: click.Context, parameter: click.Parameter, text: str | None) -> timedelta | None:
    from certpin.errors import InputError
    from certpin.rotation import parse_duration

    try:
        return None if text is None else parse_duration(text)
    except InputError as exc:
        raise click.BadParameter(str(exc), ctx, parameter) from exc


def delay_options(command: Any) -> Any:
    """Give a command the options of ``Timing``, and one argument, ``delays``, with those given."""

    @wraps(command)
    def with_delays(**options: Any) -> Any:
        given = {name: options.pop(name) for name in DELAYS}
        delays = {name: value for name, value in given.items() if value is not None}
        return command(delays=delays, **options)

    wrapped: Any = with_delays
    for name, usual in reversed(DELAYS.items()):
        wrapped = click.option(
            f"--{name}",
            callback=_duration,
            metavar="DURATION",
            help=f"{_WORDS[name]} By default as at the last publish, else {usual}.",
        )(wrapped)
    return wrapped


def merged(timing: Timing, delays: dict[str, timedelta]) -> Timing:
    """The delays with those that the user gave now."""
    changes: dict[str, Any] = dict(delays)
    return replace(timing, **changes)


_OPTIONS = (
    click.option(
        "--force",
        is_flag=True,
        help="Do it although clients would be locked out. Needs --reason; both are recorded.",
    ),
    click.option("--reason", metavar="TEXT", help="Why it is forced, for the journal."),
)


@dataclass(frozen=True)
class Forcing:
    """Whether the user insists, and why."""

    force: bool
    reason: str

    def refuses(self, breaches: Found) -> bool:
        """Tell what would break; whether the step must not be taken."""
        word = "forced" if self.force else "refused"
        for host, breach in breaches:
            say(f"certpin: {word}", f"{host}: {told(breach)}")
        return bool(breaches) and not self.force

    def look(self, looked: Looked) -> None:
        """Raise ``ProbeError`` where somebody could not be asked, unless the user insists."""
        if looked.error and not self.force:
            raise looked.error

    def recorded(self, breaches: Found, looked: Looked | None = None) -> str:
        """The reason, for the journal: where nothing stood in the way, nothing was forced."""
        return self.reason if breaches or (looked and looked.error) else ""


def told(breach: Breach) -> str:
    """A breach in words, with the invariant that it breaks."""
    from certpin.rotation.timing import in_utc

    lines = [f"{breach.problem} (invariant {breach.invariant})", f"  at risk: {breach.at_risk}"]
    if breach.safe_from:
        lines.append(f"  safe from: {in_utc(breach.safe_from)}")
    return "\n".join([*lines, f"  fix: {breach.fix}"])


def breach_facts(host: str, breach: Breach) -> dict[str, Any]:
    """A breach as JSON."""
    return {
        "host": host,
        "invariant": breach.invariant,
        "problem": breach.problem,
        "clients": breach.clients,
        "safe_from": breach.safe_from.isoformat() if breach.safe_from else None,
        "fix": breach.fix,
    }


def of_host(policy: HostPolicy, breaches: Sequence[Breach]) -> Found:
    """Breaches with the host that they are about."""
    return [(str(policy.pattern), breach) for breach in breaches]


def forcing_options(command: Any) -> Any:
    """Give a command ``--force`` and ``--reason``, as one argument, ``forcing``."""

    @wraps(command)
    def with_forcing(*, force: bool, reason: str | None, **options: Any) -> Any:
        if force and not (reason or "").strip():
            raise click.UsageError("--force needs --reason TEXT: it is recorded in the journal")
        if reason is not None and not force:
            raise click.UsageError("--reason says why something is forced: it goes with --force")
        return command(forcing=Forcing(force, (reason or "").strip()), **options)

    wrapped: Any = with_forcing
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


@dataclass
class Outcome:
    """A step: what it did, and what it would have broken.

    ``said`` are sentences for people, ``following`` is the command that comes next, or empty.
    """

    step: str
    path: Path
    hosts: list[str]
    pin: Pin | None = None
    version: int | None = None
    done: bool = False
    forced: bool = False
    breaches: Found = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    following: str = ""

    def show(self, ctx: click.Context, *, as_json: bool) -> None:
        """Print it, and end: 1 where it was refused."""
        if as_json:
            print_json(self.facts())
        else:
            self._tell()
        ctx.exit(HOLDS if self.done else FINDING)

    def facts(self) -> dict[str, Any]:
        """The outcome as JSON."""
        return {
            "step": self.step,
            "file": str(self.path),
            "hosts": self.hosts,
            "pin": str(self.pin) if self.pin else None,
            "version": self.version,
            "done": self.done,
            "forced": self.forced,
            "breaches": [breach_facts(*each) for each in self.breaches],
            "unknown": self.unknown,
            "next": self.following or None,
        }

    def _tell(self) -> None:
        if not self.done:
            click.echo("Nothing was changed.")
        for line in self.said if self.done else ():
            click.echo(fold(line, sys.stdout))
        for each in self.unknown:
            click.echo(fold(f"Not known: {each}.", sys.stdout))
        if self.done and self.following:
            click.echo(f"Next:  {self.following}")


_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)%", re.ASCII)

_MEASURING = (
    click.option(
        "--watch",
        metavar="URL",
        help="Ask this watch which versions clients told that they hold: its address, with a "
        "token of the scope read in CERTPIN_WATCH_TOKEN; or its database (sqlite:///FILE, "
        "env:NAME). A version that is told after its time counts as alive.",
    ),
    click.option(
        "--enough",
        metavar="PERCENT%",
        help="Do not wait for the last user: a version has ended when all but so few of --seen "
        "clients told something newer, day by day for --seen-days. Whoever can send to the "
        "collector can lie; clients without a reporter are not seen.",
    ),
    click.option(
        "--seen", type=click.IntRange(1), metavar="N", help="How many clients tell at least a day."
    ),
    click.option(
        "--seen-days",
        type=click.IntRange(CYCLE_DAYS, 366),
        metavar="DAYS",
        help=f"How many whole days in a row; {CYCLE_DAYS} by default, and at least.",
    ),
)


@dataclass(frozen=True)
class Measuring:
    """Where what clients told is, and whether it may shorten the waiting."""

    watch: str | None = None
    enough: str | None = None
    seen: int | None = None
    seen_days: int | None = None

    def apply(self, ledger: Ledger, timing: Timing, now: datetime) -> None:
        """Let it count. Raises ``ProbeError``, ``StoreError`` and ``ConfigError``: without an
        answer of the watch that was named, nothing goes on.
        """
        from certpin.cli.rotate.usage import told_by
        from certpin.rotation import measured

        if self.watch is None:
            return
        field, enough = ledger.history.field, self._enough()
        versions = {each.number for each in field.versions}
        told = told_by(self.watch, ledger.pins.name, now, versions)
        ledger.measured = measured(field, told, timing, now, enough)

    def check(self) -> None:
        """Raise ``click.UsageError`` where one option needs another."""
        if (self.enough is None) != (self.seen is None):
            raise click.UsageError("--enough and --seen go together: enough of how many?")
        if self.seen_days is not None and self.enough is None:
            raise click.UsageError("--seen-days goes with --enough")
        if self.enough is not None and self.watch is None:
            raise click.UsageError("--enough needs --watch: who has counted?")
        self._enough()

    def _enough(self) -> Enough | None:
        from certpin.errors import InputError
        from certpin.rotation import Enough

        if self.enough is None or self.seen is None:
            return None
        percent = _PERCENT.fullmatch(self.enough.strip())
        if not percent:
            raise click.UsageError("--enough is a share, as in 99.9%")
        try:
            return Enough(Fraction(percent[1]) / 100, self.seen, self.seen_days or CYCLE_DAYS)
        except InputError as exc:
            raise click.UsageError(f"--enough: {exc.problem}") from exc


def measuring_options(command: Any) -> Any:
    """Give a command the options of ``Measuring``, as one argument, ``measuring``."""

    @wraps(command)
    def with_measuring(**options: Any) -> Any:
        mine = {each.name: options.pop(each.name) for each in fields(Measuring)}
        measuring = Measuring(**mine)
        measuring.check()
        return command(measuring=measuring, **options)

    wrapped: Any = with_measuring
    for option in reversed(_MEASURING):
        wrapped = option(wrapped)
    return wrapped
