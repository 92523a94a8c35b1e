"""Where moments and numbers stand on an axis."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_STEPS = (
    *(count * _MINUTE for count in (1, 5, 10, 15, 30)),
    *(count * _HOUR for count in (1, 3, 6, 12)),
    *(count * _DAY for count in (1, 2, 7, 14)),
)
_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120)
_LONGEST_MONTH = 31 * _DAY
_MONDAY = datetime(2001, 1, 1, tzinfo=UTC)  # so that steps of weeks begin with one


@dataclass(frozen=True)
class Span:
    """From one moment to a later one."""

    since: datetime
    until: datetime

    @property
    def length(self) -> timedelta:
        """How long it is: never nothing."""
        return max(self.until - self.since, timedelta(seconds=1))

    def at(self, moment: datetime) -> float:
        """Where a moment is, in percent of the way; what is outside stands at the edge."""
        return min(100.0, max(0.0, 100 * ((moment - self.since) / self.length)))

    def holds(self, moment: datetime) -> bool:
        """Whether a moment is within it."""
        return self.since <= moment <= self.until


def ticks(span: Span, most: int = 6) -> tuple[tuple[datetime, str], ...]:
    """Round moments within a span, at most so many, and how they are written."""
    for step in _STEPS:
        if span.length / step <= most:
            form = "%H:%M" if step < _DAY else "%d %b"
            return tuple((each, f"{each:{form}}") for each in _regular(span, step))
    for months in _MONTHS:
        if span.length / (months * _LONGEST_MONTH) <= most:
            break
    form = "%b %Y" if months < 12 else "%Y"
    return tuple((each, f"{each:{form}}") for each in _monthly(span, months))


def top(most: float) -> int:
    """A round number that is not below the highest, and not far above it."""
    size = 1
    while True:
        for factor in (1, 2, 3, 4, 6, 8):
            if factor * size >= most:
                return factor * size
        size *= 10


def _regular(span: Span, step: timedelta) -> Iterator[datetime]:
    at = _MONDAY + -(-(span.since - _MONDAY) // step) * step
    while at <= span.until:
        yield at
        at += step


def _monthly(span: Span, months: int) -> Iterator[datetime]:
    since = span.since
    number = (since.year * 12 + since.month - 1) // months * months
    while (at := datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)) <= span.until:
        if at >= since:
            yield at
        number += months
