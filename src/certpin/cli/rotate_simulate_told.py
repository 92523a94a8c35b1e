"""A simulation for people: a table of the steps, who is locked out, and a chart of its course."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.screen import fold, table_console, width_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from certpin.cli.rotate_simulate_case import Case
    from certpin.rotation.simulate import Cause, Lockout
    from certpin.rotation.simulate_script import Dated

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
    from certpin.cli.rotate_simulate_case import condensed
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
    from certpin.cli.rotate_simulate_case import grouped

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
