"""Show the simulation of a host as text: a table of its steps, the lockouts, and a chart."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.reply import fold, table_console, width_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from certpin.cli.rotate.simulate_input import PinNames
    from certpin.pins import Pin
    from certpin.rotation.simulate import Hour, Lockout, LockoutCause, Safety, Simulation
    from certpin.rotation.simulate_script import DatedStep, Script

# The steps at which something changes for a client, at once or soon.
_SHOWN_STEPS = {"publish", "push", "serve"}

_HEADINGS = ("step", "date (UTC)", "action", "locked out", "first", "last", "safe from")
_DATE_COLUMNS = {"date (UTC)", "first", "last", "safe from"}
_DATE_WIDTH = 10  # columns of a date; on a narrow terminal the time is beneath it
_BARS = " ▁▂▃▄▅▆▇█"
_MIN_CHART_WIDTH = 60  # columns of the terminal
_MAX_CHART_ROWS = 10  # versions


@dataclass(frozen=True)
class HostSimulation:
    """The simulation of one host: the simulated events, and the clients that they lock out.

    Attributes:
        host: the host pattern.
        script: the events and steps.
        outcome: the result of the simulation: client counts by hour, lockouts, and safe dates.
        names: for each pin, the name by which the user knows it, such as that of a key file.
    """

    host: str
    script: Script
    outcome: Simulation
    names: PinNames

    @property
    def ordered(self) -> list[DatedStep]:
        """All steps of the simulation, sorted by date."""
        return sorted(self.script.steps, key=lambda dated: dated.at)

    @property
    def shown(self) -> list[DatedStep]:
        """The steps that change something for clients (publish, push, serve), sorted by date."""
        return [dated for dated in self.ordered if dated.step.act in _SHOWN_STEPS]

    @property
    def end(self) -> datetime:
        """The time at which the simulation ends."""
        return self.script.begin + timedelta(seconds=self.script.until)

    def version(self, number: int) -> int | None:
        """Return the version number that a step publishes or pushes; None for any other step.

        Args:
            number: the number of the step.
        """
        found = (release.number for release in self.script.releases if release.step == number)
        return next(found, None)

    def lockout(self, number: int) -> Lockout | None:
        """Return the lockout that a step causes: which clients, and when. None if it causes none.

        Args:
            number: the number of the step.
        """
        found = (lockout for lockout in self.outcome.lockouts if lockout.cause.step == number)
        return next(found, None)

    def safety(self, number: int) -> Safety | None:
        """Return the earliest safe time of a step; ``None`` if the step does not affect clients.

        Args:
            number: the number of the step.
        """
        found = (safety for safety in self.outcome.safety if safety.step == number)
        return next(found, None)

    def step_text(self, dated: DatedStep) -> str:
        """Describe a step of the simulation (``dated``) in words."""
        from certpin.cli.rotate.plan import step_text

        if dated.step.act == "serve":
            return f"install the certificate of {self.pin_name(dated.step.pin)}"
        if dated.step.act in {"publish", "push"}:
            version = self.version(dated.number)  # none for a push after a higher version
            made = "a version that no client takes" if version is None else f"version {version}"
            return f"{dated.step.act} {made}"
        return step_text(dated.step, self.pin_name)

    def pin_name(self, pin: Pin | None) -> str:
        """Return the user's name for a pin, else the first characters of the pin.

        Return "the next backup" for None.
        """
        from certpin.rotation import NEXT_BACKUP
        from certpin.support.text import printable

        if pin is None or pin == NEXT_BACKUP:
            return "the next backup"
        kind, _, digest = str(pin).partition("/")
        return printable(self.names.get(pin) or f"{kind}/{digest[:8]}…")


def print_simulation(host: HostSimulation) -> None:
    """Print the simulation of one host: steps, lockouts and chart."""
    from certpin.support.text import printable

    click.echo("")
    click.secho(printable(host.host), bold=True)
    _print_table(host)
    for line in lockout_sentences(host):
        click.echo("")
        click.secho(fold(line, sys.stdout), fg="red" if host.outcome.locked_out else "green")
    width = width_of(sys.stdout)
    if width >= _MIN_CHART_WIDTH:
        click.echo("")
        for line in chart(host, width):
            click.echo(line)


def lockout_sentences(host: HostSimulation) -> Iterator[str]:
    """Yield a sentence for each lockout: the number of clients, the cause, and a safe date.

    On the safe date, the same change would lock out no client. ``host`` is the simulated host.
    """
    from certpin.rotation import format_duration, in_utc

    outcome = host.outcome
    total = f"{outcome.clients:,}"
    if not outcome.lockouts:
        yield f"No client is locked out: none of {total} clients, until {in_utc(host.end)}."
        return
    for lockout in outcome.lockouts:
        share = share_text(lockout.clients, outcome.clients)
        yield (
            f"{lockout.clients:,} of {total} clients ({share}) are locked out "
            f"by {_cause_text(lockout.cause)}, from {in_utc(lockout.first)} to "
            f"{_last_text(host, lockout)}; {_remedy(host, lockout)}."
        )
    mean = format_duration(_rounded(outcome.seconds / outcome.locked_out))
    whole = share_text(outcome.locked_out, outcome.clients)
    yield (
        f"In all {outcome.locked_out:,} of {total} clients ({whole}), each for {mean} on average; "
        f"most at once: {outcome.peak.locked_out:,}, at {in_utc(outcome.peak.at)}."
    )


def share_text(count: int, total: int) -> str:
    """Return ``count`` of ``total`` clients as a percentage, such as ``12.5 %``."""
    share = 100 * count / total
    if 0 < share < 0.1:
        return "less than 0.1 %"
    return f"{share:.1f} %" if count < total else "100 %"


def short_time(moment: datetime) -> str:
    """Return a time in UTC as text without the zone, for a table with the zone in its heading."""
    from certpin.rotation import in_utc

    return in_utc(moment).removesuffix(" UTC")


def chart(host: HostSimulation, width: int) -> Iterator[str]:
    """Yield a chart of a simulation as lines of text: clients by version, lockouts, and steps.

    Args:
        host: the simulated host.
        width: the width of the chart in columns.
    """
    from certpin.rotation import format_duration

    hours = host.outcome.hours
    numbers = sorted({number for hour in hours for number in hour.held})
    label = max(len("locked out"), *(len(_row_label(number)) for number in numbers)) + 2
    course = condensed(hours, width - label - 1)
    for number in numbers if len(numbers) <= _MAX_CHART_ROWS else ():
        held = [hour.held.get(number, 0) for hour in course]
        yield f"{_row_label(number):<{label}}{_bars(held, host.outcome.clients)}"
    out = [hour.locked_out for hour in course]
    bars = _bars(out, max(out)) if any(out) else "none"
    yield f"{'locked out':<{label}}" + click.style(bars, fg="red" if any(out) else None)
    size = -(-len(hours) // len(course))
    yield f"{'steps':<{label}}{_step_marks(host, len(course), size)}"
    first, last = f"{hours[0].at:%Y-%m-%d}", f"{hours[-1].at:%Y-%m-%d}"
    yield f"{'':<{label}}{first}{last:>{max(len(course) - len(first), len(last) + 1)}}"
    scale = f", its highest bar is {max(out):,} clients" if any(out) else ""
    yield f"{'':<{label}}a column is {format_duration(_rounded(size * 3600))}{scale}"


def condensed(hours: Sequence[Hour], max_parts: int) -> list[Hour]:
    """Combine simulated hours into at most ``max_parts`` periods of equal length, for a chart.

    Returns:
        For each period its largest number of locked-out clients, and the versions that clients
        hold at its beginning.
    """
    from certpin.rotation.simulate import Hour

    size = -(-len(hours) // max_parts)
    parts = [hours[at : at + size] for at in range(0, len(hours), size)]
    return [Hour(part[0].at, max(hour.locked_out for hour in part), part[0].held) for part in parts]


def unsafe_times(host: HostSimulation, adopt: timedelta) -> list[tuple[datetime, datetime]]:
    """Return the unsafe periods of a simulation: overlapping ones are merged.

    They are, sorted by time:

    - for an unsafe step, the time from its date to the date from which it is safe, or to the end of
      the simulation if no date is safe;
    - for a step that installs a key (``serve``), even a safe one, at least the last ``adopt``
      before the date from which it is safe, because the step would lock clients out in that time;
    - for a lockout that no step causes, such as an expiry, the time of the lockout.

    Args:
        host: the simulated host.
        adopt: the time until every client has a published version (T_adopt).

    Returns:
        The begin and the end of each period.
    """
    zones: list[tuple[datetime, datetime]] = []
    for begin, end in sorted(_unsafe_times(host, adopt)):
        if zones and begin <= zones[-1][1]:
            zones[-1] = zones[-1][0], max(end, zones[-1][1])
        else:
            zones.append((begin, end))
    return zones


def _unsafe_times(host: HostSimulation, adopt: timedelta) -> Iterator[tuple[datetime, datetime]]:
    for dated in host.shown:
        safety = host.safety(dated.number)
        if safety is None:
            continue
        end = safety.guaranteed
        if end is None:
            yield dated.at, host.end
        elif dated.step.act == "serve" and end > host.script.begin:
            yield max(host.script.begin, min(end - adopt, dated.at)), end
        elif dated.at < end:
            yield dated.at, end
    for lockout in host.outcome.lockouts:
        if lockout.cause.step is None:
            yield lockout.first, lockout.last


def grouped_labels(
    steps: Iterable[tuple[float, int]], width: Callable[[str], float]
) -> list[tuple[float, str]]:
    """Return the positions and texts of the labels for steps on a time axis.

    Labels that would overlap become one label, at the position of the first of them.

    Args:
        steps: the position and number of each step.
        width: a function that returns the width of a label's text, in the unit of the positions.
    """
    groups: list[tuple[float, list[int]]] = []
    for at, number in sorted(steps):
        if groups and at - groups[-1][0] < width(_label(groups[-1][1])):
            groups[-1][1].append(number)
        else:
            groups.append((at, [number]))
    return [(at, _label(numbers)) for at, numbers in groups]


def _label(numbers: list[int]) -> str:
    first, last = numbers[0], numbers[-1]
    if len(numbers) > 2:
        return f"{min(numbers)}-{max(numbers)}"
    return f"{first}" if first == last else f"{first},{last}"


def _row_label(number: int) -> str:
    return f"version {number}"


def _bars(values: Sequence[int], top: int) -> str:
    """Draw a bar chart as one line of text: one block character for each value.

    ``values`` are the values, none of which is above ``top``. A value of ``top`` gets a full block.
    A value above 0 gets at least the lowest block.
    """
    return "".join(_BARS[max(1, round(8 * value / top))] if value else " " for value in values)


def _step_marks(host: HostSimulation, columns: int, size: int) -> str:
    """Return the line of a chart that has each step's number in the column of the step's time.

    Steps that do not affect clients are left out.

    Args:
        host: the simulated host.
        columns: the number of columns.
        size: the number of hours for each column.
    """
    places: list[tuple[float, int]] = []
    for dated in host.shown:
        hour = int((dated.at - host.script.begin).total_seconds() // 3600)
        places.append((min(hour // size, columns - 1), dated.number))
    line = ""
    for at, label in grouped_labels(places, lambda text: len(text) + 1):
        line = f"{line:<{int(at)}}{label}"
    return line


def _print_table(host: HostSimulation) -> None:
    from rich.table import Table
    from rich.text import Text

    from certpin.support.text import printable

    table: Any = Table(box=None, pad_edge=False)
    for heading in _HEADINGS:
        right = "right" if heading in {"step", "locked out"} else "left"
        min_width = _DATE_WIDTH if heading in _DATE_COLUMNS else None
        table.add_column(heading, overflow="fold", justify=right, min_width=min_width)
    for style, row in _rows(host):
        # As Text, so that the name of a file is not read as markup.
        table.add_row(*(Text(printable(cell), style) for cell in row))
    table_console().print(table)


def _rows(host: HostSimulation) -> Iterator[tuple[str, tuple[str, ...]]]:
    for dated in host.ordered:
        lockout = host.lockout(dated.number)
        yield (
            "red" if lockout else "",
            (
                str(dated.number),
                short_time(dated.at),
                host.step_text(dated),
                *_lockout_cells(host, lockout, dated),
                _safe_date(host, dated),
            ),
        )
    for lockout in host.outcome.lockouts:
        if lockout.cause.step is None:
            cells = ("-", "-", _cause_text(lockout.cause), *_lockout_cells(host, lockout), "-")
            yield "red", cells


def _lockout_cells(
    host: HostSimulation, lockout: Lockout | None, dated: DatedStep | None = None
) -> tuple[str, ...]:
    if lockout is None:
        return ("0" if dated and host.safety(dated.number) else "-", "-", "-")
    return f"{lockout.clients:,}", short_time(lockout.first), short_time(lockout.last)


def _safe_date(host: HostSimulation, dated: DatedStep) -> str:
    safety = host.safety(dated.number)
    if safety is None:
        return "-"
    return short_time(safety.guaranteed) if safety.guaranteed else "never"


def _cause_text(cause: LockoutCause) -> str:
    if cause.step is not None:
        return f"step {cause.step}"
    if cause.event == "beginning":
        return "the keys that are served already"
    if cause.event == "expiry":
        return f"the expiry of the pins of version {cause.version}"
    return f"version {cause.version}, which is published already"


def _last_text(host: HostSimulation, lockout: Lockout) -> str:
    from certpin.rotation import in_utc

    end = f"the end of the simulation ({in_utc(host.end)})"
    return end if lockout.last >= host.end else in_utc(lockout.last)


def _remedy(host: HostSimulation, lockout: Lockout) -> str:
    """Return a clause that says how to prevent a lockout.

    ``host`` is the simulated host. The clause names the date from which the step is safe, says that
    no date is safe, or names an action.
    """
    from certpin.rotation import in_utc

    cause = lockout.cause
    safety = host.safety(cause.step) if cause.step else None
    if safety is None:
        if cause.event == "expiry":
            return "publish a version with a later expires before that"
        return "certpin rotate status lists the current problems"
    if safety.guaranteed is None:
        return "no date makes that safe"
    return f"safe from {in_utc(safety.guaranteed)}"


def _rounded(seconds: float) -> timedelta:
    """Return a duration rounded to the hour if it is a day or more, else to the minute."""
    unit = 3600 if seconds >= 86400 else 60
    return timedelta(seconds=round(seconds / unit) * unit)
