"""The schedule: each target is probed once in each interval, and sooner after a change."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from certpin_watch.monitor.scheduler import due_probes, due_slot
from certpin_watch.monitor.sightings import CONFIRMED, LastProbe
from certpin_watch.monitor.targets import Target
from certpin_watch.settings import MonitorSettings

SETTINGS = MonitorSettings()
INTERVAL = int(SETTINGS.interval.total_seconds())
CONFIRM = int(SETTINGS.confirm.total_seconds())
NOW = 1_800_000_000
KEY = ("api.bank.test", 443, "", "local")

moments = st.integers(NOW, NOW + 50 * 86400)
hosts = st.integers(0, 10**9).map(lambda number: (f"{number}.bank.test", 443, "", "local"))
seconds = st.sampled_from([10, 60, 900, 3600, 86400])


def settings(interval: int) -> MonitorSettings:
    return MonitorSettings(interval=timedelta(seconds=interval))


def slot(last: LastProbe | None, now: int, key: tuple[str, int, str, str] = KEY) -> int | None:
    return due_slot(key, last, SETTINGS, now)


@given(key=hosts, now=moments, interval=seconds)
def test_a_regular_slot_is_in_the_past_interval(
    key: tuple[str, int, str, str], now: int, interval: int
) -> None:
    found = due_slot(key, None, settings(interval), now)
    assert found is not None
    assert now - interval - interval // 10 <= found <= now


@given(key=hosts, now=moments, interval=seconds, later=st.integers(0, 3 * 86400))
def test_slots_only_rise_and_are_the_same_in_every_process(
    key: tuple[str, int, str, str], now: int, interval: int, later: int
) -> None:
    wanted = settings(interval)
    first, second = due_slot(key, None, wanted, now), due_slot(key, None, wanted, now + later)
    assert first is not None
    assert second is not None
    assert first <= second
    assert due_slot(key, None, wanted, first) == first  # it is due at its slot itself


@given(key=hosts, now=moments, interval=seconds)
def test_a_probed_target_is_not_due_before_its_next_slot(
    key: tuple[str, int, str, str], now: int, interval: int
) -> None:
    wanted = settings(interval)
    at = now
    slots = []
    last = None
    for _ in range(200):  # a round every eighth of an interval
        found = due_slot(key, last, wanted, at)
        if found is not None:
            slots.append(found)
            last = LastProbe(found, at)
        at += max(interval // 8, 1)
    gaps = [later - sooner for sooner, later in pairwise(slots)]
    rounds = (at - now) // interval
    assert rounds - 2 <= len(slots) <= rounds + 3
    assert all(0.89 * interval <= gap <= 1.11 * interval + 1 for gap in gaps)


def test_many_hosts_are_spread_over_the_interval() -> None:
    keys = [(f"{number}.bank.test", 443, "", "local") for number in range(3000)]
    parts = Counter((NOW - (slot(None, NOW, key) or 0)) * 10 // INTERVAL for key in keys)
    assert all(200 < parts[part] < 400 for part in range(1, 10))


def test_a_new_target_is_due_at_once_from_each_location() -> None:
    target = Target("api.bank.test", 443, locations=("local", "fra1"))
    found = list(due_probes([target], {}, SETTINGS, NOW))
    assert [probe.location for probe in found] == ["local", "fra1"]
    last = {(*target.key, "local"): LastProbe(found[0].slot, NOW)}
    assert [probe.location for probe in due_probes([target], last, SETTINGS, NOW)] == ["fra1"]


def test_after_a_pause_only_the_last_slot_counts() -> None:
    last = slot(None, NOW) or 0
    found = slot(LastProbe(last, last), last + 100 * INTERVAL)
    assert found is not None
    assert found > last + 98 * INTERVAL


def test_a_change_is_probed_again_soon_and_once() -> None:
    last = slot(None, NOW) or 0
    changed = LastProbe(last, last, count=1)
    assert slot(changed, last + CONFIRM - 1) is None
    assert slot(changed, last + CONFIRM) == last + CONFIRM
    confirmed = LastProbe(last + CONFIRM, last + CONFIRM, count=CONFIRMED)
    assert slot(confirmed, last + 2 * CONFIRM) is None


def test_the_second_probe_waits_from_the_time_of_the_first() -> None:
    """The waiting time before the second probe counts from when the first probe ran.

    It does not count from the planned time of the first probe, which for a new host passed long
    ago.
    """
    planned = NOW - INTERVAL // 2
    assert slot(
        LastProbe(planned, NOW, count=1), NOW + CONFIRM - 1, ("new.test", 443, "", "x")
    ) in {
        None,
        slot(None, NOW + CONFIRM - 1, ("new.test", 443, "", "x")),
    }


def test_an_unreachable_target_is_probed_less_often_down_to_the_interval() -> None:
    pauses = []
    for count in range(1, 8):
        last = LastProbe(NOW, NOW, count, unreachable=True)
        wait = next(at for at in range(1, 2 * INTERVAL) if slot(last, NOW + at) is not None)
        pauses.append(wait)
    assert pauses[:4] == [CONFIRM, 2 * CONFIRM, 4 * CONFIRM, 8 * CONFIRM]
    assert all(pause <= INTERVAL + INTERVAL // 10 for pause in pauses)


def test_a_target_that_keeps_changing_is_probed_less_often() -> None:
    last = slot(None, NOW) or 0
    unstable = LastProbe(last, last, 1, 3)
    assert slot(unstable, last + 8 * CONFIRM - 1) is None
    assert slot(unstable, last + 8 * CONFIRM) == last + 8 * CONFIRM


@given(back=st.integers(1, 10 * 86400))
def test_probes_go_on_after_the_clock_was_set_back(back: int) -> None:
    last = slot(None, NOW) or 0
    found = slot(LastProbe(last, last), last - back)
    assert found is not None
    assert found <= last - back
