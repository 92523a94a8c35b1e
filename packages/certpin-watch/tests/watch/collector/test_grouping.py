"""Check which reports are counted in one group, and the limits on the number of groups."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certpin_watch.collector.grouping import (
    LAST_STEP,
    RESERVED,
    GroupCounts,
    ReportLimits,
    choose_rows,
    every_fold,
    fold,
    group_key,
    group_of,
)
from certpin_watch.store.reports import OTHER, ReportGroup
from tests.watch.collector.test_decode import REPORT, decoded

GROUP = ReportGroup(
    *(0, "api.bank.example", b"s" * 32, b"v" * 32, "bank-app", 12, "app", "4.2.0"),
    *("android", "wifi", "certpin", "refuse", "mismatch"),
)


UNLIMITED = ReportLimits(10**6, 10**6)


def _ours(host: str) -> str:
    return host if host == GROUP.host else ""


def test_each_field_distinguishes_groups() -> None:
    fields = GROUP._asdict()
    others = [ReportGroup(**{**fields, name: value * 2 or 1}) for name, value in fields.items()]
    moved = GROUP._replace(app=GROUP.app + GROUP.app_version, app_version="")
    assert len({group_key(group) for group in (GROUP, moved, *others)}) == len(others) + 2


def test_hour_of_a_group_is_that_of_the_arrival() -> None:
    assert group_of(decoded(REPORT), 7300, b"", b"").hour == 7200


def test_each_step_folds_more_fields() -> None:
    steps = [fold(GROUP, step, UNLIMITED) for step in range(LAST_STEP + 1)]
    assert steps[0] == GROUP
    assert (steps[1].network, steps[1].app_version) == (OTHER, "4.2.0")
    assert (steps[2].app_version, steps[2].app) == (OTHER, "app")
    assert (steps[3].app, steps[3].host) == (OTHER, "api.bank.example")
    assert steps[4][1:10] == (OTHER, b"", b"", OTHER, 0, *[OTHER] * 4)
    assert [group.folded for group in steps] == [0, 1, 2, 3, 4]
    assert len(every_fold([GROUP], UNLIMITED)) == LAST_STEP + 1


@pytest.mark.medium
@settings(max_examples=20)
@given(st.integers(0, 2**32), st.integers(16, 64), st.sampled_from([2, 6, 30]))
def test_hour_has_at_most_twice_its_limit_of_groups(seed: int, room: int, values: int) -> None:
    rng = random.Random(seed)
    seen = [[str(rng.randrange(values)) for _ in range(5)] for _ in range(500)]
    groups = [
        GROUP._replace(host=host, app=app, app_version=version, network=network, reason=reason)
        for host, app, version, network, reason in seen
    ]
    chosen = choose_rows(groups, set(), GroupCounts(), ReportLimits(room, 10))
    assert set(chosen) == set(groups)
    kinds = len({(group.kind, group.decision) for group in groups})
    assert len({key for key, _ in chosen.values()}) <= 2 * room + kinds
    for group, (key, found) in chosen.items():
        assert key == group_key(found)
        assert found in {fold(group, step, UNLIMITED) for step in range(LAST_STEP + 1)}


@pytest.mark.medium
def test_hosts_without_a_policy_cannot_fill_the_hour_for_others() -> None:
    limits = ReportLimits(100, 10, _ours)
    strangers = [GROUP._replace(host=f"{number}.evil.example") for number in range(10_000)]
    ours = [GROUP._replace(network=f"net {number}") for number in range(40)]
    chosen = choose_rows([*strangers, *ours], set(), GroupCounts(), limits)
    assert all(chosen[group][1] == group for group in ours)


@pytest.mark.medium
def test_host_with_a_policy_cannot_fill_the_hour_or_the_day_for_another() -> None:
    hostile = [GROUP._replace(host="flooded.example", reason=f"{n}") for n in range(10_000)]
    ours = [GROUP._replace(network=f"net {number}") for number in range(3 * RESERVED)]
    for limits in (
        ReportLimits(100, 10, str),
        ReportLimits(10**6, 10, str, groups_a_day=100),
    ):
        chosen = choose_rows([*hostile, *ours], set(), GroupCounts(), limits)
        found = [chosen[group][1] for group in ours]
        assert found[:RESERVED] == ours[:RESERVED]
        assert {group.host for group in found} == {GROUP.host}  # failures there still count
        assert len({key for key, _ in chosen.values()}) <= 2 * 100 + 4 * RESERVED


def test_stored_group_counts_its_reports_in_a_full_hour() -> None:
    chosen = choose_rows(
        [GROUP], {group_key(GROUP)}, GroupCounts(10**6, 10**6), ReportLimits(100, 10)
    )
    assert chosen[GROUP] == (group_key(GROUP), GROUP)
