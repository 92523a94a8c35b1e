"""What counts as the same, and that an hour has an end however much reports differ."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certpin.errors import FormatError
from certpin.reports import Presence, Report
from certpin.reports.model import Client
from certpin_watch.collector.decode import (
    Failure,
    ReceivedBody,
    identity,
    pack_batch,
    records_of,
    unpack_batch,
)
from certpin_watch.collector.grouping import (
    LAST_STEP,
    OTHER,
    OWN,
    GroupCounts,
    ReportCapacity,
    every_fold,
    fold,
    group_of,
    key_of,
    place,
)
from certpin_watch.store.counting import ReportGroup

AT = datetime(2027, 1, 1, 12, 0, 0, tzinfo=UTC)
REPORT = Report("rfc7469", AT, "api.bank.example", 443, "refuse", "mismatch", "rfc7469:1")
GROUP = ReportGroup(
    *(0, "api.bank.example", b"s" * 32, b"v" * 32, "bank-app", 12, "app", "4.2.0"),
    *("android", "wifi", "certpin", "refuse", "mismatch"),
)


OPEN = ReportCapacity(10**6, 10**6)


def _told(report: Report, source: str = "192.0.2.0/24") -> Failure:
    [failure] = records_of([report], source)
    assert isinstance(failure, Failure)
    return failure


def _ours(host: str) -> str:
    return host if host == GROUP.host else ""


def _with(client: Client) -> Report:
    return Report("certpin", AT, "a.example", 443, "refuse", "mismatch", "id:1", client)


def test_an_identity_says_when_and_then_nothing() -> None:
    found = identity("certpin", "id:1", "", AT)
    assert len(found) == 32
    assert int.from_bytes(found[:5], "big") == AT.timestamp()
    assert b"id:1" not in found


@pytest.mark.parametrize("at", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)])
def test_any_moment_has_an_identity(at: datetime) -> None:
    assert len(identity("certpin", "id:\ud800\0", "", at)) == 32


def test_two_clients_without_names_are_told_apart_by_their_networks() -> None:
    here, there = (_told(REPORT, source) for source in ("192.0.2.0/24", "192.0.3.0/24"))
    assert here.identity != there.identity
    assert here.identity == _told(REPORT).identity


def test_a_client_that_has_a_name_may_change_its_network() -> None:
    named = Report(
        *("certpin", AT, "a.example", 443, "refuse", "mismatch", "id:1"), own_identity=True
    )
    assert _told(named).identity == _told(named, "198.51.100.0/24").identity


def test_what_a_browser_sends_again_is_older_then_and_the_same() -> None:
    half = datetime.fromtimestamp(AT.timestamp() // 30 * 30, UTC)
    first = Report("nel", half, "a.example", 443, "refuse", "date", "nel:1", also="nel:2")
    moved = half + timedelta(seconds=31)
    again = replace(first, at=moved, identity="nel:2", also="nel:3")
    assert _told(first).also == _told(again).identity != b""
    same = replace(first, at=half + timedelta(seconds=29))
    assert (_told(same).identity, _told(same).also) == (_told(first).identity, _told(first).also)
    seconds = [int.from_bytes(each[:5]) for each in (_told(first).identity, _told(first).also)]
    assert seconds == [half.timestamp(), half.timestamp() + 30], "PostgreSQL: the day of its name"
    assert _told(first).also != _told(first, "192.0.3.0/24").also
    assert _told(REPORT).also == b""


def test_the_network_is_the_clients_word_or_else_its_prefix() -> None:
    assert _told(_with(Client(network="wifi"))).network == "wifi"
    assert _told(_with(Client())).network == "192.0.2.0/24"


def test_texts_are_cut_and_hold_nothing_that_acts() -> None:
    failure = _told(
        _with(Client(app="\0\x1b[2J" + "x" * 500, app_version="\ud800", network="\u202e"))
    )
    assert failure.app.startswith(r"\x00\x1b[2J")
    assert len(failure.app) == 100
    assert failure.app_version == r"\ud800"
    assert failure.network == r"\u202e"


def test_a_batch_travels_whole() -> None:
    presence = Presence(AT, "bank-app", 2**63, "id:2", Client(platform="ios"))
    batch = [ReceivedBody(7, "192.0.2.0/24", records_of([REPORT, presence], "x"), b"{}", 3000)]
    assert unpack_batch(pack_batch(batch), now=1_800_000_000) == batch


@pytest.mark.parametrize(
    ("where", "what"),
    [
        ("identity", bytes(5000)),
        ("host", "x" * 3000),
        ("app", "a\0b"),
        ("network", "\u202e"),
        ("version", 2**63),
        ("version", -1),
        ("kind", "mine"),
        ("served", (bytes(20_000),)),
        ("served", (b"0",) * 50),
    ],
)
def test_what_no_collector_writes_is_no_batch_of_reports(where: str, what: object) -> None:
    """An index of PostgreSQL takes no 3,000 characters: a writer would try for ever."""
    forged = msgspec.structs.replace(_told(REPORT), **{where: what})
    with pytest.raises(FormatError):
        unpack_batch(pack_batch([ReceivedBody(7, "", (forged,))]), 7)


def test_a_moment_that_has_not_come_counts_as_now() -> None:
    [received] = unpack_batch(
        pack_batch([ReceivedBody(2**50, "", (_told(REPORT),))]), 1_800_000_000
    )
    assert received.at == 1_800_000_000
    for never in (2**63, -5):
        with pytest.raises(FormatError):
            unpack_batch(pack_batch([ReceivedBody(never, "", (_told(REPORT),))]), 1_800_000_000)


def test_groups_differ_in_each_of_their_fields() -> None:
    fields = GROUP._asdict()
    others = [ReportGroup(**{**fields, name: value * 2 or 1}) for name, value in fields.items()]
    moved = GROUP._replace(app=GROUP.app + GROUP.app_version, app_version="")
    assert len({key_of(each) for each in (GROUP, moved, *others)}) == len(others) + 2


def test_the_hour_is_that_in_which_a_report_came() -> None:
    assert group_of(_told(REPORT), 7300, b"", b"").hour == 7200


def test_folding_says_less_at_each_step() -> None:
    steps = [fold(GROUP, step, OPEN) for step in range(LAST_STEP + 1)]
    assert steps[0] == GROUP
    assert (steps[1].network, steps[1].app_version) == (OTHER, "4.2.0")
    assert (steps[2].app_version, steps[2].app) == (OTHER, "app")
    assert (steps[3].app, steps[3].host) == (OTHER, "api.bank.example")
    assert steps[4][1:10] == (OTHER, b"", b"", OTHER, 0, *[OTHER] * 4)
    assert [each.folded for each in steps] == [0, 1, 2, 3, 4]
    assert len(every_fold([GROUP], OPEN)) == LAST_STEP + 1


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.integers(16, 64), st.sampled_from([2, 6, 30]))
def test_however_much_reports_differ_an_hour_has_twice_its_room_at_most(
    seed: int, room: int, values: int
) -> None:
    luck = random.Random(seed)
    seen = [[str(luck.randrange(values)) for _ in range(5)] for _ in range(500)]
    groups = [
        GROUP._replace(host=host, app=app, app_version=version, network=network, reason=reason)
        for host, app, version, network, reason in seen
    ]
    placed = place(groups, set(), GroupCounts(), ReportCapacity(room, 10))
    assert set(placed) == set(groups)
    kinds = len({(group.kind, group.decision) for group in groups})
    assert len({key for key, _ in placed.values()}) <= 2 * room + kinds
    for group, (key, found) in placed.items():
        assert key == key_of(found)
        assert found in {fold(group, step, OPEN) for step in range(LAST_STEP + 1)}


def test_hosts_that_nobody_watches_cannot_fill_the_hour_for_the_others() -> None:
    room = ReportCapacity(100, 10, _ours)
    strangers = [GROUP._replace(host=f"{number}.evil.example") for number in range(10_000)]
    ours = [GROUP._replace(network=f"net {number}") for number in range(40)]
    placed = place([*strangers, *ours], set(), GroupCounts(), room)
    assert all(placed[group][1] == group for group in ours)


def test_a_host_that_is_watched_cannot_fill_the_hour_or_the_day_for_another() -> None:
    hostile = [GROUP._replace(host="flooded.example", reason=f"{n}") for n in range(10_000)]
    ours = [GROUP._replace(network=f"net {number}") for number in range(3 * OWN)]
    for room in (ReportCapacity(100, 10, str), ReportCapacity(10**6, 10, str, groups_a_day=100)):
        placed = place([*hostile, *ours], set(), GroupCounts(), room)
        found = [placed[each][1] for each in ours]
        assert found[:OWN] == ours[:OWN]
        assert {each.host for each in found} == {GROUP.host}  # failures there still count
        assert len({key for key, _ in placed.values()}) <= 2 * 100 + 4 * OWN


def test_a_group_that_exists_takes_what_belongs_to_it_in_a_full_hour() -> None:
    placed = place([GROUP], {key_of(GROUP)}, GroupCounts(10**6, 10**6), ReportCapacity(100, 10))
    assert placed[GROUP] == (key_of(GROUP), GROUP)
