"""Pictures: pure, escaped, of no width of their own, and the same in words."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin_watch.html import words
from certpin_watch.web.charts import (
    Bars,
    Lane,
    Mark,
    Series,
    Stay,
    Timeline,
    describe_bars,
    sparkline,
    stacked,
    timeline,
)
from certpin_watch.web.pictures import Span, ticks, top
from scripts import htmx

NOW = datetime(2026, 11, 25, 19, 30, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
HOSTILE = '<script>alert(1)</script>"\u202e'


def bars(*series: Series, shares: bool = False) -> Bars:
    """As many hours as there are numbers."""
    slots = tuple(NOW + at * HOUR for at in range(len(series[0].counts)))
    return Bars(slots, slots[-1] + HOUR, series, "reports", shares)


def test_what_is_drawn_is_escaped_and_well_formed() -> None:
    drawn = stacked("x", HOSTILE, bars(Series(HOSTILE, (1, 0, 3)), Series("b", (2, 2, 2))))
    root = ET.fromstring(drawn)
    assert "<script>" not in drawn
    assert "\u202e" not in drawn
    assert root.attrib["aria-labelledby"] == "x-title x-words"
    assert not re.search(r"\sstyle=|\son\w+=", drawn)


def test_a_picture_says_what_it_shows() -> None:
    said = describe_bars(bars(Series("android", (1, 0, 3)), Series("ios", (0, 2, 2))))
    assert said.startswith("8 reports: android 4, ios 4. The most, 5,")
    assert describe_bars(bars(Series("android", (0, 0)))) == "No reports."


def test_bars_end_at_the_top_of_what_they_are_measured_by() -> None:
    drawn = stacked("x", "t", bars(Series("a", (1, 3)), Series("b", (1, 1)), shares=True))
    heights = [float(each) for each in re.findall(r"V([0-9.]+)H", drawn)]
    assert min(heights) == 0.0  # the whole of each slot
    assert "100 %" in drawn


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=30))
def test_any_numbers_can_be_drawn(counts: list[int]) -> None:
    ET.fromstring(stacked("x", "t", bars(Series("a", tuple(counts)))))
    ET.fromstring(sparkline(counts, "words"))


@given(st.integers(1, 10**15))
def test_the_top_of_an_axis_is_never_below_what_stands_in_it(most: int) -> None:
    assert most <= top(most) <= max(1, 2 * most)


@given(st.integers(60, 10**9))
def test_an_axis_has_few_marks_and_all_are_within_it(seconds: int) -> None:
    span = Span(NOW, NOW + timedelta(seconds=seconds))
    found = ticks(span)
    assert len(found) <= 7
    assert all(span.holds(moment) for moment, _ in found)
    assert [moment for moment, _ in found] == sorted(moment for moment, _ in found)


def test_a_time_line_shows_now_what_was_and_what_is_foretold() -> None:
    stays = (Stay("published", NOW - 9 * DAY, NOW), Stay("adopted", NOW, NOW + DAY, foretold=True))
    span = Span(NOW - 20 * DAY, NOW + 10 * DAY)
    lanes = (Lane(f"a pin {HOSTILE}", stays), Lane("another", ()))
    drawn = timeline("t", "Pins", Timeline(span, NOW, lanes, (Mark(NOW + 5 * DAY, "pins end"),)))
    ET.fromstring(drawn)
    assert "lane-adopted foretold" in drawn
    assert "pins end" in drawn
    assert "foretold adopted from 2026-11-25" in drawn
    assert "another: nothing is known." in drawn
    assert "<script>" not in drawn


@pytest.mark.parametrize(
    ("length", "said"),
    [(HOUR, "an hour"), (26 * HOUR, "26 hours"), (45 * DAY, "45 days"), (-3 * DAY, "3 days"),
     (timedelta(seconds=4), "less than a minute"), (800 * DAY, "2 years")],
)  # fmt: skip
def test_spans_are_said_in_one_unit(length: timedelta, said: str) -> None:
    assert words.span(length) == said


def test_a_little_is_never_nothing_and_nearly_all_is_never_all() -> None:
    assert [words.percent(part, 1000) for part in (0, 1, 500, 999, 1000)] == [
        "0 %", "< 1 %", "50 %", "> 99 %", "100 %",
    ]  # fmt: skip


def test_the_htmx_that_is_shipped_is_the_one_that_was_looked_at() -> None:
    script = files("certpin_watch.html").joinpath("static", "htmx.min.js").read_bytes()
    assert hashlib.sha256(script).hexdigest() == htmx.SHA256
    assert f'version:"{htmx.VERSION}"'.encode() in script
