"""Corrections of journal entries that were written by a clock that was ahead.

Such an entry counts as written at the time of its correction.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.rotation import (
    AppRelease,
    Event,
    History,
    format_journal,
    load_journal,
    parse_journal,
)
from certpin.rotation.history import ahead_of, corrected, correction
from tests.rotation._situations import DAY, HOUR, NOW, TIMING, pin, pin_set

if TYPE_CHECKING:
    from pathlib import Path

HOST = "api.bank.example"
FAR = 400 * DAY


def published(number: int, at: datetime) -> Event:
    states = {"a": "active", "b": "published"}
    return Event(at, "ada", "publish", version=number, pins=pin_set(states, number))  # type: ignore[arg-type]


def staged(name: str, at: datetime) -> Event:
    return Event(at, "ada", "stage", HOST, pin(name))


def read(*events: Event) -> tuple[Event, ...]:
    """Return the events after they are written to a journal and parsed again."""
    return parse_journal(format_journal(events))


def repaired(*events: Event, at: datetime = NOW) -> History:
    """Return the history of a journal with one correction, at time ``at``, of all later entries."""
    known = read(*events)
    late = ahead_of(known, at)
    fixed = correction(late, at, "bert", "the clock of ada was ahead")
    return History(corrected(read(*events, fixed)))


def test_an_entry_that_is_ahead_counts_as_written_at_its_correction() -> None:
    found = repaired(published(1, NOW - 90 * DAY), published(2, NOW + FAR)).events
    first, fix, second = found
    assert (first.time, fix.step, fix.reason) == (
        NOW - 90 * DAY,
        "clock",
        "the clock of ada was ahead",
    )
    assert (second.time, second.recorded) == (NOW, NOW + FAR)
    assert (first.recorded, fix.recorded) == (None, None)


def test_a_version_is_held_until_t_adopt_after_the_correction() -> None:
    """Clients may have version 1 until T_adopt after the correction.

    That is safe, because version 2 was published at the time of the correction or before.
    """
    history = repaired(published(1, NOW - 90 * DAY), published(2, NOW + FAR))
    old = history.deployed.versions[0]
    assert history.deployed.end_of_life(old, TIMING) == NOW + TIMING.adopt


def test_a_correction_moves_no_entry_to_a_later_time() -> None:
    before = staged("c", NOW - DAY)
    (known,) = read(before)
    fix = correction([known], NOW, "bert", "by mistake")
    assert corrected(read(before, fix))[0].time == NOW - DAY


def test_other_entries_keep_their_times() -> None:
    times = [
        event.time for event in repaired(staged("c", NOW - DAY), staged("d", NOW + HOUR)).events
    ]
    assert times == [NOW - DAY, NOW, NOW]


def test_entries_keep_their_order() -> None:
    """All corrected entries get one time, and stay in order. Two of them differ in nothing else."""
    steps = ["stage", "retire", "activate", "retire"]
    events = [
        Event(NOW + FAR + number * HOUR, "ada", step, HOST, pin("c"))  # type: ignore[arg-type]
        for number, step in enumerate(steps)
    ]
    found = repaired(*events).events
    assert [event.step for event in found] == ["clock", *steps]


def test_a_correction_with_a_wrong_clock_is_corrected_too() -> None:
    events = [published(2, NOW + 2 * FAR)]
    events.append(correction(read(*events), NOW + FAR, "ada", "still ahead"))
    late = ahead_of(corrected(read(*events)), NOW)
    assert len(late) == 2
    events.append(correction(late, NOW, "bert", "now it is right"))
    assert {event.time for event in corrected(read(*events))} == {NOW}


def test_the_lines_of_a_journal_may_be_in_any_order() -> None:
    events = [published(2, NOW + FAR), staged("c", NOW - DAY)]
    events.append(correction(ahead_of(read(*events), NOW), NOW, "bert", "ahead"))
    expected = corrected(read(*events))
    assert corrected(read(*reversed(events))) == expected


def test_unknown_lines_are_ignored() -> None:
    fix = Event(NOW, "bert", "clock", lines=("a" * 64,), reason="merged away")
    assert corrected(read(staged("c", NOW + FAR), fix))[1].time == NOW + FAR


def test_a_release_is_shipped_at_the_corrected_time(tmp_path: Path) -> None:
    release = AppRelease("app", "1", NOW + FAR)
    states = {"a": "active", "b": "published"}
    event = Event(
        NOW + FAR, "ada", "publish", version=1, bundled=True, pins=pin_set(states),  # type: ignore[arg-type]
        release=release,
    )  # fmt: skip
    fix = correction(read(event), NOW, "bert", "ahead")
    path = tmp_path / "pins.journal.jsonl"
    path.write_text(format_journal([event, fix]), encoding="utf-8")
    (known,) = load_journal(path).deployed.versions
    assert (known.bundled, known.releases[0].shipped) == (NOW, NOW)


@pytest.mark.medium
def test_a_long_chain_of_corrections_is_read() -> None:
    events = [staged("c", NOW + 5000 * DAY)]
    for number in range(1, 3000):
        events.append(correction(read(events[-1]), NOW + (5000 - number) * DAY, "ada", "again"))
    assert corrected(read(*events))[-1].time == NOW + 2001 * DAY


_DAYS = st.integers(-500, 500).map(lambda days: NOW + timedelta(days=days))


@given(st.lists(_DAYS, min_size=1, max_size=6), _DAYS)
def test_no_entry_counts_as_earlier_than_its_correction_or_itself(
    times: list[datetime], at: datetime
) -> None:
    events = [staged(str(number), time) for number, time in enumerate(times)]
    late = ahead_of(read(*events), at)
    fixes = [correction(late, at, "bert", "ahead")] if late else []
    for event in corrected(read(*events, *fixes)):
        before = event.recorded or event.time
        assert event.time == (min(before, at) if event.recorded else before)


def test_entries_within_the_tolerance_are_not_ahead() -> None:
    events = read(staged("c", NOW + HOUR / 12), staged("d", NOW + HOUR / 11))
    assert [event.pin for event in ahead_of(events, NOW)] == [pin("d")]
    assert NOW.tzinfo is UTC
