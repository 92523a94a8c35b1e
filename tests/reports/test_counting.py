"""The moment that a report counts for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from certpin.reports.counting import LATEST, counted_at

_RECEIVED = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
_SECOND = timedelta(seconds=1)


@pytest.mark.parametrize("at", [_RECEIVED, _RECEIVED - timedelta(hours=30), _RECEIVED - LATEST])
def test_a_report_that_waited_on_a_disk_counts_for_when_it_was_made(at: datetime) -> None:
    assert counted_at(at, _RECEIVED) == at


@pytest.mark.parametrize(
    "at",
    [
        _RECEIVED + _SECOND,
        _RECEIVED - LATEST - _SECOND,
        datetime.min.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
    ],
)
def test_a_clock_that_cannot_be_believed_is_not(at: datetime) -> None:
    assert counted_at(at, _RECEIVED) == _RECEIVED
