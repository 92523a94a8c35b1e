"""``certpin rotate clock``: correct journal entries dated by a clock that was ahead of time."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.main import PROBLEM_FOUND, SUCCESS
from certpin.cli.options import file_option, json_option, pin_file_option
from certpin.cli.reply import fold, print_json
from certpin.cli.rotate.files import (
    RotationFiles,
    person_name,
    probe_for_reading,
    repeat_if_changed,
    who_option,
)
from certpin.cli.rotate.steps import ForceOptions, HostViolation, event_json
from certpin.cli.servers import ProbeOptions, probe_options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from certpin.rotation import Event, ServerDate, TimeEvidence, Violation


@click.command()
@click.option(
    "--reason",
    metavar="TEXT",
    help="Correct the entries, and record why their times are wrong.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Correct them although no server confirmed the clock of this machine.",
)
@pin_file_option
@probe_options
@who_option
@json_option
@click.pass_context
@repeat_if_changed
def clock(
    ctx: click.Context,
    reason: str | None,
    force: bool,
    path: Path,
    probes: ProbeOptions,
    who: str | None,
    as_json: bool,
) -> None:
    """Repair journal entries that came from a clock that was ahead.

    Such an entry blocks every later step. This command lists the entries that are later than the
    servers' time. With --reason it corrects them: they count as written now, which is later
    than they were, so that no version counts as gone too early. The journal keeps their lines, and
    the correction is a new entry.

    A server of the pin file has to confirm the clock of this machine (its Date over a verified
    connection, within 5 minutes). If it reports another time, set the clock first.

    \b
    certpin rotate clock
    certpin rotate clock --reason "the laptop of ada was a year ahead"

    Exit code 0: no entry is ahead, or they were corrected. 1: entries are ahead, or the correction
    was refused. 2: wrong usage, or an invalid file.
    """  # noqa: D301  # click reads the \b itself
    from certpin.rotation.gate import agrees_with_servers, unconfirmed
    from certpin.rotation.history import ahead_of, correction

    if reason is not None and not reason.strip():
        raise click.UsageError("--reason is empty: it is recorded in the journal")
    if force and reason is None:
        raise click.UsageError("--force needs --reason TEXT: it is recorded in the journal")
    files = RotationFiles(path)
    policies = probes.selected(files.pins) or list(files.pins.policies)
    results, now = probe_for_reading(files, probes, files.pins, policies)
    late = ahead_of(files.history.events, now)
    report = ClockReport(path, files.evidence, late)
    situation = files.situation(policies[0], results.of(policies[0]), now)
    problem = agrees_with_servers(situation)
    if problem is None and late and reason and not force:
        problem = unconfirmed(situation)
    if problem is not None:
        report.violation = problem
        host = str(policies[0].pattern)
        ForceOptions(force=False, reason=None).refuses([HostViolation(host, problem)])
    elif late and reason:
        event = correction(late, now, person_name(who), reason.strip())
        files.commit([event])
        report.event = event
    if as_json:
        print_json(report.json())
    else:
        report.print()
    ctx.exit(SUCCESS if report.is_repaired else PROBLEM_FOUND)


@dataclass
class ClockReport:
    """The result of ``rotate clock``: the servers' clocks, and the journal entries ahead of time.

    Attributes:
        path: the pin file.
        evidence: the newest journal entry, and the times that the servers reported.
        late: the entries with a time later than now, as they are before the correction.
        violation: the reason why certpin refuses to correct entries; ``None`` if there is none. A
            server's clock that contradicts this machine's is a reason even if no entry is late.
        event: the journal entry that corrects the times of ``late``; ``None`` if this run did not
            write it.
    """

    path: Path
    evidence: TimeEvidence
    late: tuple[Event, ...]
    violation: Violation | None = field(default=None)
    event: Event | None = None

    @property
    def refused(self) -> bool:
        """True if certpin refuses to correct the entries: the command then ends with exit code 1.

        Either a server's clock contradicts this machine's clock; or the user asked for a
        correction, and no server confirmed this machine's clock.
        """
        return self.violation is not None

    @property
    def is_repaired(self) -> bool:
        """True if the correction was not refused, and no journal entry is ahead of time now.

        If not, the command ends with exit code 1.
        """
        return not self.refused and (not self.late or self.event is not None)

    def json(self) -> dict[str, Any]:
        """Return the servers' clocks, the late entries and the correction as JSON."""
        return {
            "file": str(self.path),
            "confirmed": self.evidence.confirmed,
            "dates": [_date_json(each) for each in self.evidence.dates],
            "ahead": [
                event_json(event) | {"time": event.time.isoformat(), "who": event.who}
                for event in self.late
            ],
            "corrected": self.event is not None,
            "problem": None if self.violation is None else self.violation.problem,
        }

    def print(self) -> None:
        """Print the servers' clocks, the journal entries that are ahead, and the next command."""
        for line in self._lines():
            click.echo(fold(line, sys.stdout))
        if self.event is not None:
            click.echo(f"Next:  certpin rotate status{file_option(self.path)}")
        elif self.late and not self.refused:
            click.echo(f"Next:  certpin rotate clock{file_option(self.path)} --reason TEXT")

    def _lines(self) -> Iterator[str]:
        from certpin.rotation import in_utc
        from certpin.support.text import printable

        for date in self.evidence.dates:
            yield f"{date.source} reports {in_utc(date.date)}."
        if not self.evidence.dates:
            yield "No server confirmed the clock of this machine."
        if not self.late:
            yield "No entry of the journal is later than the clock of this machine."
            return
        for event in self.late:
            about = f" of version {event.version}" if event.version else ""
            about = about or (f" of {event.pin}" if event.pin else "")
            yield f"ahead: {in_utc(event.time)}  {printable(event.who)}  {event.step}{about}"
        if self.event is not None:
            yield f"They count as written on {in_utc(self.event.time)} from now on."


def _date_json(date: ServerDate) -> dict[str, Any]:
    return {
        "server": date.source,
        "date": date.date.isoformat(),
        "seconds_apart": int(date.difference.total_seconds()),
    }
