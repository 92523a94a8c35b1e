"""The limits of the reporter: how often it reports, to which addresses, and when it retries.

The retries depend on the HTTP status and the Retry-After header of the collector.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.errors import ConfigError
from certpin.reports import ReporterSettings
from certpin.reports.reporter.failures import address_host, admit_failure, check_addresses
from certpin.reports.reporter.request import (
    PostResult,
    backoff_seconds,
    outcome,
    retry_after_seconds,
)

_SETTINGS = ReporterSettings()
_HOUR, _DAY = 3600.0, 24 * 3600.0
_NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def test_the_same_failure_is_reported_once_an_hour() -> None:
    reported: dict[str, float] = {}
    moments = [0, 1, _HOUR - 1, _HOUR, _HOUR + 1, 3 * _HOUR]
    assert [admit_failure(reported, "a", at + 7.0, _SETTINGS) for at in moments] == [
        *(True, False, False),
        *(True, False, True),
    ]


def test_the_number_of_different_failures_a_day_is_limited() -> None:
    reported: dict[str, float] = {}
    assert [admit_failure(reported, str(number), 1.0, _SETTINGS) for number in range(40)].count(
        True
    ) == 32
    assert len(reported) == 32
    assert not admit_failure(reported, "new", _DAY, _SETTINGS)
    assert admit_failure(reported, "new", _DAY + 1, _SETTINGS)
    assert len(reported) == 1


def test_a_clock_that_was_set_back_suppresses_no_report() -> None:
    reported = {"a": _DAY * 365}
    assert admit_failure(reported, "a", _HOUR, _SETTINGS)


@pytest.mark.parametrize(
    ("status", "packed", "expected"),
    [
        (0, True, "later"),
        (200, True, "sent"),
        (204, True, "sent"),
        (301, True, "refused"),
        (308, True, "refused"),
        (400, True, "plain"),
        (400, False, "refused"),
        (403, True, "plain"),
        (408, True, "later"),
        (413, True, "refused"),
        (415, True, "plain"),
        (415, False, "refused"),
        (422, True, "plain"),
        (429, True, "later"),
        (500, True, "plain"),
        (500, False, "later"),
        (502, True, "later"),
        (503, True, "later"),
    ],
)
def test_each_status_has_its_outcome(status: int, packed: bool, expected: str) -> None:
    assert outcome(PostResult(status), packed=packed) == expected


def test_a_pause_that_the_server_asks_for_is_kept_before_it_gets_a_plain_body() -> None:
    assert outcome(PostResult(500, "60"), packed=True) == "later"


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
    assert retry_after_seconds(PostResult(503, text), _NOW) == seconds


@given(st.text(max_size=50))
def test_any_retry_after_gives_a_bounded_wait(text: str) -> None:
    assert 0 <= retry_after_seconds(PostResult(503, text), _NOW) <= _DAY


def test_the_wait_doubles_with_each_failure_up_to_a_maximum() -> None:
    waits = [backoff_seconds(failures, 0.0, _SETTINGS) for failures in (1, 2, 3, 20, 10_000)]
    assert waits == [30, 60, 120, 6 * _HOUR, 6 * _HOUR]
    assert [backoff_seconds(1, jitter, _SETTINGS) for jitter in (0.5, 1.0)] == [22.5, 15]


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
def test_an_invalid_limit_is_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(setting))):
        ReporterSettings(**setting)


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://Pins.Bank.Example.:8443/reports?app=1", "pins.bank.example"),
        ("https://[::1]/", "::1"),
        ("https://[::1", ""),
        ("https://a..b/", ""),
    ],
)
def test_the_host_of_an_address_is_normalised(address: str, host: str) -> None:
    assert address_host(address) == host


def test_a_single_address_needs_no_list() -> None:
    assert check_addresses("https://pins.bank.example/") == ("https://pins.bank.example/",)
