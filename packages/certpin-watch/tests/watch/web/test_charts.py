"""Charts: escaping, descriptions in words, scales."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from certpin_watch.web.charts import (
    Bars,
    BarSeries,
    Span,
    describe_bars,
    round_up,
    sparkline,
    stacked_bars,
    ticks,
)
from certpin_watch.web.timeline import Lane, Mark, Phase, Timeline, timeline

NOW = datetime(2026, 11, 25, 19, 30, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
HOSTILE = '<script>alert(1)</script>"\u202e'


def bars(*series: BarSeries, shares: bool = False) -> Bars:
    """Return a bar chart with bars that are one hour wide, one bar for each count of the series."""
    slots = tuple(NOW + hour * HOUR for hour in range(len(series[0].counts)))
    return Bars(slots, slots[-1] + HOUR, series, "report", shares)


def test_a_chart_is_escaped_and_well_formed() -> None:
    svg = stacked_bars("x", HOSTILE, bars(BarSeries(HOSTILE, (1, 0, 3)), BarSeries("b", (2, 2, 2))))
    root = ET.fromstring(svg)
    assert "<script>" not in svg
    assert "\u202e" not in svg
    assert root.attrib["aria-labelledby"] == "x-title x-words"
    assert not re.search(r"\sstyle=|\son\w+=", svg)


def test_a_chart_is_described_in_words() -> None:
    text = describe_bars(bars(BarSeries("android", (1, 0, 3)), BarSeries("ios", (0, 2, 2))))
    assert text.startswith("8 reports: android 4, ios 4. Maximum: 5, from 2026-11-25 21:30")
    assert describe_bars(bars(BarSeries("android", (0, 0)))) == "No reports."


def test_one_report_is_in_the_singular() -> None:
    one = bars(BarSeries("android", (0, 1)))
    assert describe_bars(one).startswith("1 report: android 1.")
    assert ", 1 report\n" in stacked_bars("chart", "Reports", one)
    named = replace(one, unit="client that reported", units="clients that reported")
    assert [named.counted(count) for count in (1, 2)] == [
        "1 client that reported", "2 clients that reported",
    ]  # fmt: skip
    assert describe_bars(replace(named, series=())) == "No clients that reported."


def test_shares_fill_the_whole_height() -> None:
    svg = stacked_bars("x", "t", bars(BarSeries("a", (1, 3)), BarSeries("b", (1, 1)), shares=True))
    heights = [float(height) for height in re.findall(r"V([0-9.]+)H", svg)]
    assert min(heights) == 0.0  # the whole of each slot
    assert "100 %" in svg


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=30))
def test_any_counts_can_be_drawn(counts: list[int]) -> None:
    ET.fromstring(stacked_bars("x", "t", bars(BarSeries("a", tuple(counts)))))
    ET.fromstring(sparkline(counts, "words"))


@given(st.integers(1, 10**15))
def test_an_axis_ends_above_the_highest_value(value: int) -> None:
    assert value <= round_up(value) <= max(1, 2 * value)


@given(st.integers(60, 10**9))
def test_an_axis_has_few_ticks_inside_its_span(seconds: int) -> None:
    span = Span(NOW, NOW + timedelta(seconds=seconds))
    found = ticks(span)
    assert len(found) <= 7
    assert all(span.contains(moment) for moment, _ in found)
    assert [moment for moment, _ in found] == sorted(moment for moment, _ in found)


def test_a_timeline_shows_past_and_predicted_phases() -> None:
    phases = (
        Phase("published", NOW - 9 * DAY, NOW),
        Phase("adopted", NOW, NOW + DAY, predicted=True),
    )
    span = Span(NOW - 20 * DAY, NOW + 10 * DAY)
    lanes = (Lane(f"a pin {HOSTILE}", phases), Lane("another", ()))
    svg = timeline("t", "Pins", Timeline(span, NOW, lanes, (Mark(NOW + 5 * DAY, "pins end"),)))
    ET.fromstring(svg)
    assert "lane-adopted predicted" in svg
    assert "pins end" in svg
    assert "adopted (predicted) from 2026-11-25" in svg
    assert "another: nothing is known." in svg
    assert "<script>" not in svg
