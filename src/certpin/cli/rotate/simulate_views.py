"""A simulation for people."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.screen import fold, table_console, width_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from certpin.cli.rotate.simulate_input import Names
    from certpin.pins import Pin
    from certpin.rotation.simulate import Cause, Hour, Lockout, Safety, Simulation
    from certpin.rotation.simulate_script import Dated, Script


# The steps at which something changes for a client, at once or soon.
SEEN = {"publish", "push", "serve"}


@dataclass(frozen=True)
class Case:
    """A script of one host, and what became of the fleet. ``names`` are those of its pins."""

    host: str
    story: Script
    outcome: Simulation
    names: Names

    @property
    def ordered(self) -> list[Dated]:
        """The steps as they are taken."""
        return sorted(self.story.steps, key=lambda each: each.at)

    @property
    def seen(self) -> list[Dated]:
        """Those that change something for a client."""
        return [each for each in self.ordered if each.step.act in SEEN]

    @property
    def end(self) -> datetime:
        """Where the simulation ends."""
        return self.story.begin + timedelta(seconds=self.story.until)

    def version(self, number: int) -> int | None:
        """The version that a step hands out."""
        found = (each.number for each in self.story.releases if each.step == number)
        return next(found, None)

    def lockout(self, number: int) -> Lockout | None:
        """Whom a step locks out."""
        found = (each for each in self.outcome.lockouts if each.cause.step == number)
        return next(found, None)

    def safety(self, number: int) -> Safety | None:
        """From when on a step is safe; ``None`` where no client notices it."""
        return next((each for each in self.outcome.safety if each.step == number), None)

    def words(self, dated: Dated) -> str:
        """What a step does."""
        from certpin.cli.rotate.plan import words

        if dated.step.act == "serve":
            return f"install the certificate of {self.named(dated.step.pin)}"
        if dated.step.act in {"publish", "push"}:
            return f"{dated.step.act} {self.version_named(dated.number)}"
        return words(dated.step, self.named)

    def version_named(self, number: int) -> str:
        """The version of a step in words: a push may come after a higher one."""
        version = self.version(number)
        return "a version that nobody takes" if version is None else f"version {version}"

    def named(self, pin: Pin | None) -> str:
        """A pin by its name, or the beginning of it."""
        from certpin.rotation import NEXT_BACKUP
        from certpin.x509 import printable

        if pin is None or pin == NEXT_BACKUP:
            return "the next backup"
        kind, _, digest = str(pin).partition("/")
        return printable(self.names.get(pin) or f"{kind}/{digest[:8]}…")


def condensed(hours: Sequence[Hour], most: int) -> list[Hour]:
    """At most so many moments: the most that are locked out in each part, and who holds what then.

    What is held is that of the beginning of the part.
    """
    from certpin.rotation.simulate import Hour

    size = -(-len(hours) // most)
    parts = [hours[at : at + size] for at in range(0, len(hours), size)]
    return [Hour(part[0].at, max(each.locked_out for each in part), part[0].held) for part in parts]


def unsafe(case: Case, adopt: timedelta) -> list[tuple[datetime, datetime]]:
    """From when until when a step locks out, or would: those that overlap as one.

    For a key it begins with the publishing that its date counts from, else with the step.
    """
    zones: list[tuple[datetime, datetime]] = []
    for begin, end in sorted(_unsafe(case, adopt)):
        if zones and begin <= zones[-1][1]:
            zones[-1] = zones[-1][0], max(end, zones[-1][1])
        else:
            zones.append((begin, end))
    return zones


def _unsafe(case: Case, adopt: timedelta) -> Iterator[tuple[datetime, datetime]]:
    for each in case.seen:
        safety = case.safety(each.number)
        if safety is None:
            continue
        end = safety.guaranteed
        if end is None:
            yield each.at, case.end
        elif each.step.act == "serve" and end > case.story.begin:
            yield max(case.story.begin, min(end - adopt, each.at)), end
        elif each.at < end:
            yield each.at, end
    for lockout in case.outcome.lockouts:
        if lockout.cause.step is None:
            yield lockout.first, lockout.last


def grouped(
    steps: Iterable[tuple[float, int]], width: Callable[[str], float]
) -> list[tuple[float, str]]:
    """Places and numbers of steps; those whose labels would touch have one, at the first place."""
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


_HEADINGS = ("step", "date (UTC)", "what it does", "locked out", "first", "last", "safe from")
_DATES = {"date (UTC)", "first", "last", "safe from"}
_DAY = 10  # columns of a date, beneath which stands the time where the terminal is narrow
_BARS = " ▁▂▃▄▅▆▇█"
_ROOM = 60  # columns from which on there is a chart
_ROWS = 10  # versions that a chart has rows for


def tell(case: Case) -> None:
    """Print one host."""
    from certpin.x509 import printable

    click.echo("")
    click.secho(printable(case.host), bold=True)
    _print_table(case)
    for line in sentences(case):
        click.echo("")
        click.secho(fold(line, sys.stdout), fg="red" if case.outcome.locked_out else "green")
    width = width_of(sys.stdout)
    if width >= _ROOM:
        click.echo("")
        for line in chart(case, width):
            click.echo(line)


def sentences(case: Case) -> Iterator[str]:
    """Who is locked out, by what, and from when on that would be safe."""
    from certpin.rotation import format_duration
    from certpin.rotation.timing import in_utc

    outcome = case.outcome
    total = f"{outcome.clients:,}"
    if not outcome.lockouts:
        yield f"Nobody is locked out: none of {total} clients, until {in_utc(case.end)}."
        return
    for each in outcome.lockouts:
        share = percent_of(each.clients, outcome.clients)
        yield (
            f"{each.clients:,} of {total} clients ({share}) are locked out "
            f"by {_cause(each.cause)}, from {in_utc(each.first)} to {_last(case, each)}; "
            f"{_remedy(case, each)}."
        )
    mean = format_duration(_hours(outcome.seconds / outcome.locked_out))
    whole = percent_of(outcome.locked_out, outcome.clients)
    yield (
        f"In all {outcome.locked_out:,} of {total} clients ({whole}), each for {mean} on average; "
        f"most at once: {outcome.peak.locked_out:,}, at {in_utc(outcome.peak.at)}."
    )


def percent_of(count: int, total: int) -> str:
    """A share for people."""
    share = 100 * count / total
    if 0 < share < 0.1:
        return "less than 0.1 %"
    return f"{share:.1f} %" if count < total else "100 %"


def chart(case: Case, width: int) -> Iterator[str]:
    """The course as lines of text: what is held, who is locked out, and the steps beneath."""
    from certpin.rotation import format_duration

    hours = case.outcome.hours
    numbers = sorted({number for hour in hours for number in hour.held})
    label = max(len("locked out"), *(len(_row(number)) for number in numbers)) + 2
    course = condensed(hours, width - label - 1)
    for number in numbers if len(numbers) <= _ROWS else ():
        held = [hour.held.get(number, 0) for hour in course]
        yield f"{_row(number):<{label}}{_bars(held, case.outcome.clients)}"
    out = [hour.locked_out for hour in course]
    bars = _bars(out, max(out)) if any(out) else "nobody"
    yield f"{'locked out':<{label}}" + click.style(bars, fg="red" if any(out) else None)
    size = -(-len(hours) // len(course))
    yield f"{'steps':<{label}}{_marks(case, len(course), size)}"
    first, last = f"{hours[0].at:%Y-%m-%d}", f"{hours[-1].at:%Y-%m-%d}"
    yield f"{'':<{label}}{first}{last:>{max(len(course) - len(first), len(last) + 1)}}"
    scale = f", its highest bar is {max(out):,} clients" if any(out) else ""
    yield f"{'':<{label}}a column is {format_duration(_hours(size * 3600))}{scale}"


def _row(number: int) -> str:
    return f"version {number}"


def _bars(values: Sequence[int], top: int) -> str:
    """One character a value; what is not nothing has a bar."""
    return "".join(_BARS[max(1, round(8 * each / top))] if each else " " for each in values)


def _marks(case: Case, columns: int, size: int) -> str:
    """The numbers of the steps that clients notice, each beneath its moment."""
    places: list[tuple[float, int]] = []
    for each in case.seen:
        hour = int((each.at - case.story.begin).total_seconds() // 3600)
        places.append((min(hour // size, columns - 1), each.number))
    line = ""
    for at, label in grouped(places, lambda text: len(text) + 1):
        line = f"{line:<{int(at)}}{label}"
    return line


def _print_table(case: Case) -> None:
    from rich.table import Table
    from rich.text import Text

    from certpin.x509 import printable

    table: Any = Table(box=None, pad_edge=False)
    for heading in _HEADINGS:
        dates = heading in _DATES
        right = "right" if heading in {"step", "locked out"} else "left"
        least = _DAY if dates else None
        table.add_column(heading, overflow="fold", justify=right, min_width=least)
    for style, row in _rows(case):
        # As Text, so that no name of a file is taken for markup.
        table.add_row(*(Text(printable(cell), style) for cell in row))
    table_console().print(table)


def _rows(case: Case) -> Iterator[tuple[str, tuple[str, ...]]]:
    for each in case.ordered:
        lockout = case.lockout(each.number)
        yield (
            "red" if lockout else "",
            (
                str(each.number),
                _short(each.at),
                case.words(each),
                *_counted(case, lockout, each),
                _safe(case, each),
            ),
        )
    for lockout in case.outcome.lockouts:
        if lockout.cause.step is None:
            yield "red", ("-", "-", _cause(lockout.cause), *_counted(case, lockout), "-")


def _counted(case: Case, lockout: Lockout | None, dated: Dated | None = None) -> tuple[str, ...]:
    if lockout is None:
        return ("0" if dated and case.safety(dated.number) else "-", "-", "-")
    return f"{lockout.clients:,}", _short(lockout.first), _short(lockout.last)


def _safe(case: Case, dated: Dated) -> str:
    safety = case.safety(dated.number)
    if safety is None:
        return "-"
    return _short(safety.guaranteed) if safety.guaranteed else "never"


def _cause(cause: Cause) -> str:
    if cause.step is not None:
        return f"step {cause.step}"
    if cause.event == "beginning":
        return "what is served already"
    if cause.event == "expiry":
        return f"the end of the pins of version {cause.version}"
    return f"version {cause.version}, which is out already"


def _last(case: Case, lockout: Lockout) -> str:
    from certpin.rotation.timing import in_utc

    end = f"the end of the simulation ({in_utc(case.end)})"
    return end if lockout.last >= case.end else in_utc(lockout.last)


def _remedy(case: Case, lockout: Lockout) -> str:
    """What would have to be otherwise."""
    from certpin.rotation.timing import in_utc

    cause = lockout.cause
    safety = case.safety(cause.step) if cause.step else None
    if safety is None:
        if cause.event == "expiry":
            return "publish a version with a later expires before that"
        return "certpin rotate status says what is wrong now"
    if safety.guaranteed is None:
        return "no date makes that safe"
    return f"safe from {in_utc(safety.guaranteed)}"


def _short(moment: datetime) -> str:
    from certpin.rotation.timing import in_utc

    return in_utc(moment).removesuffix(" UTC")


def _hours(seconds: float) -> Any:
    """A time to the hour where it is long, else to the minute."""
    from datetime import timedelta

    unit = 3600 if seconds >= 86400 else 60
    return timedelta(seconds=round(seconds / unit) * unit)
