"""Texts of durations, and T_adopt: the longest time until all clients have a new version."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.errors import InputError
from certpin.rotation import AdoptionDelays, format_duration, parse_duration
from certpin.support.text import LONGEST_DURATION


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("6h", timedelta(hours=6)),
        ("7d", timedelta(days=7)),
        ("1d12h", timedelta(hours=36)),
        ("2w", timedelta(days=14)),
        ("90m", timedelta(hours=1.5)),
        ("0s", timedelta(0)),
        (" 30s ", timedelta(seconds=30)),
    ],
)
def test_a_duration_has_its_unit(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "text", ["", "6", "h", "6 h", "-1h", "1.5h", "6H", "1h30", "٣h", "9" * 5000 + "s", "3651d"]
)
def test_an_invalid_duration_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_duration(text)
    assert caught.value.fix


@given(st.integers(0, int(LONGEST_DURATION.total_seconds())))
def test_a_formatted_duration_is_read_back(seconds: int) -> None:
    assert parse_duration(format_duration(timedelta(seconds=seconds))) == timedelta(seconds=seconds)


def test_fractions_of_a_second_round_up() -> None:
    assert format_duration(timedelta(milliseconds=1)) == "1s"


def test_t_adopt_is_the_sum_of_all_delays() -> None:
    hour = timedelta(hours=1)
    assert AdoptionDelays(hour, 2 * hour, 4 * hour, 8 * hour, 16 * hour).adopt == 31 * hour


def test_delays_are_read_back_and_missing_ones_have_their_default() -> None:
    timing = AdoptionDelays(cdn=timedelta(minutes=5))
    assert AdoptionDelays.parse(timing.texts()) == timing
    assert AdoptionDelays.parse({"cdn": "5m", "of a newer certpin": "1x"}) == timing


@pytest.mark.parametrize("delay", [timedelta(seconds=-1), LONGEST_DURATION + timedelta(seconds=1)])
def test_a_delay_out_of_range_is_refused(delay: timedelta) -> None:
    with pytest.raises(InputError, match="poll"):
        AdoptionDelays(poll=delay)
