"""How many failures are told, and what an answer means: without a clock and without a server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.errors import ConfigError
from certpin.reports import ReporterSettings
from certpin.reports.reporter.rate import admits
from certpin.reports.reporter.retry import Answer, asked_for, backed_off, meaning

_SETTINGS = ReporterSettings()
_HOUR, _DAY = 3600.0, 24 * 3600.0
_NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def test_the_same_failure_is_told_once_an_hour() -> None:
    told: dict[str, float] = {}
    moments = [0, 1, _HOUR - 1, _HOUR, _HOUR + 1, 3 * _HOUR]
    assert [admits(told, "a", at + 7.0, _SETTINGS) for at in moments] == [
        *(True, False, False),
        *(True, False, True),
    ]


def test_only_so_many_different_ones_are_told_a_day() -> None:
    told: dict[str, float] = {}
    assert [admits(told, str(each), 1.0, _SETTINGS) for each in range(40)].count(True) == 32
    assert len(told) == 32
    assert not admits(told, "new", _DAY, _SETTINGS)
    assert admits(told, "new", _DAY + 1, _SETTINGS)
    assert len(told) == 1


def test_a_clock_that_was_set_back_silences_nothing() -> None:
    told = {"a": _DAY * 365}
    assert admits(told, "a", _HOUR, _SETTINGS)


@pytest.mark.parametrize(
    ("status", "packed", "expected"),
    [
        (0, True, "later"),
        (200, True, "sent"),
        (204, True, "sent"),
        (301, True, "refused"),
        (308, True, "refused"),
        (400, True, "refused"),
        (404, True, "refused"),
        (408, True, "later"),
        (413, True, "refused"),
        (415, True, "plain"),
        (415, False, "refused"),
        (429, True, "later"),
        (500, True, "later"),
        (503, True, "later"),
    ],
)
def test_each_status_has_its_meaning(status: int, packed: bool, expected: str) -> None:
    assert meaning(Answer(status), packed=packed) == expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", 0),
        ("120", 120),
        (" 7 ", 7),
        ("-5", 0),
        ("soon", 0),
        ("99999999999999999999", _DAY),
        ("Wed, 25 Nov 2026 12:02:00 GMT", 120),
        ("Wed, 25 Nov 2026 11:00:00 GMT", 0),
        ("Wed, 25 Nov 2026 12:02:00", 0),
        ("٣", 0),
    ],
)
def test_retry_after_is_read_and_bounded(text: str, seconds: float) -> None:
    assert asked_for(Answer(503, text), _NOW) == seconds


@given(st.text(max_size=50))
def test_whatever_stands_in_retry_after_breaks_nothing(text: str) -> None:
    assert 0 <= asked_for(Answer(503, text), _NOW) <= _DAY


def test_it_waits_longer_after_each_failure_up_to_its_rest() -> None:
    waits = [backed_off(failures, 0.0, _SETTINGS) for failures in (1, 2, 3, 20, 10_000)]
    assert waits == [30, 60, 120, 6 * _HOUR, 6 * _HOUR]
    assert [backed_off(1, luck, _SETTINGS) for luck in (0.5, 1.0)] == [22.5, 15]


@pytest.mark.parametrize(
    "setting",
    [
        {"queued": 0},
        {"size": True},
        {"size": 192 * 1024 + 1},
        {"different": 1001},
        {"pause": timedelta()},
        {"pause": timedelta(days=1, seconds=1)},
        {"keep": timedelta.max},
    ],
)
def test_what_is_no_limit_is_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(setting))):
        ReporterSettings(**setting)
