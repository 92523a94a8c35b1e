"""What can be asked of the store, on both databases."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update

from certpin_watch.alerts.settings import AlertSettings
from certpin_watch.settings import ServiceSettings
from certpin_watch.store import quota
from certpin_watch.store.queries import (
    adoption,
    alerts,
    chains,
    failures,
    freshness,
    hosts,
    reports,
    sightings,
)
from certpin_watch.store.queries.base import IntakeBounds, Thresholds
from certpin_watch.store.queries.hosts import expected_path
from certpin_watch.store.queries.report_counts import Range, ReportFilter
from certpin_watch.store.tables.probes import SIGHTINGS
from certpin_watch.web import unknowns
from tests.watch.store.queries import _world as world
from tests.watch.store.queries._world import API, DAY, HOUR, NEW, NOW, PAY

if TYPE_CHECKING:
    from certpin_watch.store import Store

WEEK = Range(NOW - 7 * DAY, NOW)


@pytest.fixture
def digests(store: Store) -> dict[str, bytes]:
    return world.fill(store)


def test_each_host_stands_as_its_worst_vantage_does(
    store: Store, digests: dict[str, bytes]
) -> None:
    with store.read() as connection:
        found = hosts.hosts(connection, world.snapshot(), NOW)
    assert found.next is None
    api, new, pay = found.items
    assert (api.name, new.name, pay.name) == (API, NEW, PAY)
    assert (api.status, api.alerts, api.failures) == ("broken", 1, 40)
    assert api.problems == ("mismatch", "refused", "vantages-disagree")
    assert api.policies[0].alive == (11, 12)
    assert [(each.vantage, each.answer, each.refused_by) for each in api.vantages] == [
        ("eu", "mismatch", (11, 12)),
        ("local", "match", (11,)),
    ]
    assert api.certificate_days == 3
    assert api.vantages[0].served == digests["stranger"].hex()
    assert (new.status, new.problems) == ("unknown", ("not-seen-lately",))
    assert (pay.status, pay.failures) == ("broken", 0), "version 11, which lives, refuses its key"
    assert hosts.count_by_status(found.items) == {
        "broken": 2,
        "unknown": 1,
        "expiring": 0,
        "holds": 0,
    }


def test_what_was_seen_long_ago_is_not_known(store: Store, digests: dict[str, bytes]) -> None:
    del digests
    with store.read() as connection:
        late = NOW + 2 * HOUR
        host = hosts.host(connection, world.snapshot(), late, PAY)
        assert host is not None
        assert "not-seen-lately" in host.problems
        doubts = freshness.freshness(connection, world.snapshot("pins.toml: broken"), late)
    assert [each.stale for each in doubts.vantages] == [True, True]
    assert doubts.unseen == (NEW,)
    assert doubts.problems == ("pins.toml: broken",)
    assert doubts.last_report == NOW - 2 * HOUR


def test_the_default_thresholds_are_those_of_the_default_settings() -> None:
    assert ServiceSettings().thresholds == Thresholds()


def test_room_that_is_nearly_used_up_is_named(store: Store, digests: dict[str, bytes]) -> None:
    del digests
    limits = Thresholds(intake=IntakeBounds(budget=16 * 1024**2))
    most = 14 * 1024**2  # an eighth is for watched hosts
    for used, names in ((most * 9 // 10, []), (most * 96 // 100, ["bytes"])):
        with store.write() as connection:
            quota.lock_usage(connection)
            quota.add_usage(connection, used - quota.read_usage(connection))
        with store.read() as connection:
            found = freshness.freshness(connection, world.snapshot(), NOW, limits)
        assert [each.name for each in found.full] == names
        words = " ".join(unknowns.of_service(found, NOW))
        assert ("bytes (14,680,064)" in words) == bool(names)


@pytest.mark.parametrize(("days", "soon"), [(29, False), (31, True)])
def test_soon_is_measured_by_the_life_of_a_certificate_as_the_monitor_does(
    sqlite_store: Store, days: int, soon: bool
) -> None:
    """One of 40 days: at 30, the setting, nobody has to do anything, and nobody is told."""
    world.fill(sqlite_store)
    with sqlite_store.read() as connection:
        then = hosts.host(connection, world.snapshot(), NOW + days * DAY, PAY)
    assert then is not None
    assert ("certificate-ends" in then.problems) == soon


def test_hosts_come_in_pages_by_their_names(store: Store, digests: dict[str, bytes]) -> None:
    del digests
    with store.read() as connection:
        first = hosts.hosts(connection, world.snapshot(), NOW, limit=2)
        assert first.next == (NEW,)
        rest = hosts.hosts(connection, world.snapshot(), NOW, after=NEW, limit=2)
        assert hosts.host(connection, world.snapshot(), NOW, "evil.example") is None
        assert hosts.host(connection, world.snapshot(), NOW, "a..b") is None
    assert [each.name for each in rest.items] == [PAY]


def test_what_changed_at_a_host_is_named(store: Store, digests: dict[str, bytes]) -> None:
    with store.read() as connection:
        page = sightings.history(connection, API, limit=2)
        assert page.next is not None
        last, at = page.next
        rest = sightings.history(connection, API, before=(int(last), int(at)))
        (change,) = sightings.changes(connection, API)
    assert [len(page.items), len(rest.items), rest.next] == [2, 1, None]
    assert change.what == ("key", "issuer", "served", "verified")
    assert (change.before.served, change.after.served) == (
        digests[API].hex(),
        digests["stranger"].hex(),
    )
    assert change.at == NOW - 2 * DAY


def test_failures_are_counted_by_value_and_bucket(store: Store, digests: dict[str, bytes]) -> None:
    with store.read() as connection:
        found = failures.series(connection, WEEK, by="host", bucket="day", lines=1)
        assert [(each.value, each.total, each.rest) for each in found.lines] == [
            ("evil.example", 1000, False),
            ("", 44, True),
        ]
        assert found.total == 1044
        assert len(found.begins) == len(found.lines[0].counts) == 8
        only = ReportFilter(host=API, served=digests["stranger"].hex())
        split = failures.series(connection, WEEK, by="network", bucket="hour", only=only)
        assert [(each.value, each.total) for each in split.lines] == [
            ("wifi", 30),
            (world.STRANGE, 10),
        ]
        by_chain = failures.series(connection, WEEK, by="served", only=ReportFilter(host=API))
        assert [each.value for each in by_chain.lines] == [digests["stranger"].hex()]
        total = failures.total(connection, WEEK, ReportFilter(pin_set="bank"))
    assert (total.count, total.hosts, total.chains) == (44, 2, 2)


def test_a_long_range_ends_after_so_many_buckets(store: Store) -> None:
    with store.read() as connection:
        found = failures.series(connection, Range(NOW - 4000 * DAY, NOW), bucket="hour")
    assert len(found.begins) == failures.MAX_POINTS


def test_groups_and_chains_are_listed(store: Store, digests: dict[str, bytes]) -> None:
    with store.read() as connection:
        page = reports.groups(connection, WEEK, only=ReportFilter(pin_set="bank"), limit=2)
        assert [each.count for each in page.items] == [10, 30]
        assert page.next is not None
        hour, number = page.next
        rest = reports.groups(
            connection, WEEK, only=ReportFilter(pin_set="bank"), before=(int(hour), int(number))
        )
        assert [(each.host, each.count) for each in rest.items] == [(PAY, 4)]
        top = failures.top_chains(connection, WEEK, only=ReportFilter(pin_set="bank"))
    assert [(each.host, each.served, each.count) for each in top] == [
        (API, digests["stranger"].hex(), 40),
        (PAY, "", 4),
    ]


def test_what_is_expected_has_a_pin_however_new_another_path_is(store: Store) -> None:
    found = world.fill(store)
    with store.write() as connection:
        strange = SIGHTINGS.c.verified == found["stranger"]
        connection.execute(update(SIGHTINGS).where(strange).values(last_at=world.at(NOW)))
    with store.read() as connection:
        path = expected_path(connection, world.snapshot(), NOW, API)
        assert expected_path(connection, world.snapshot(), NOW, NEW) == ()
    assert path == world.ders(world.identity(API))


def test_a_chain_is_put_into_words(store: Store, digests: dict[str, bytes]) -> None:
    with store.read() as connection:
        found = chains.describe_chain(connection, digests["stranger"])
        assert chains.describe_chain(connection, b"nobody knows it") is None
    assert found is not None
    (leaf,) = found.certificates
    assert "Somebody Else" in leaf.issuer
    assert (leaf.names, leaf.self_issued) == ((API,), False)
    assert leaf.pin == str(world.stranger().pin)


def test_bytes_that_are_no_certificate_are_told_as_such(store: Store) -> None:
    from certpin_watch.store.chains import insert_observed_chains

    with store.write() as connection:
        (digest,) = insert_observed_chains(connection, [(b"junk",)], NOW)
    with store.read() as connection:
        found = chains.describe_chain(connection, digest)
        assert chains.load_chains(connection, [digest]) == {digest: None}
    assert found is not None
    assert found.certificates[0].problem


def test_adoption_is_counted_by_version_and_day(store: Store, digests: dict[str, bytes]) -> None:
    del digests
    with store.read() as connection:
        found = adoption.adoption(connection, world.snapshot().sets[0], NOW, days=30)
        told = adoption.reported_usage(connection, "bank", NOW, [11, 12])
        apps = adoption.apps(connection, "bank", NOW - DAY)
    by_version = {each.version: each for each in found.versions}
    assert list(by_version) == [777, 12, 11], "what the journal does not know is marked"
    assert (by_version[777].known, by_version[11].known) == (False, True)
    assert (by_version[11].clients, by_version[11].share) == (90, 0.4)
    assert by_version[12].share == 0.6
    assert by_version[11].until == NOW - 3 * DAY + timedelta(days=32, hours=2)
    assert {each.version for each in told} == {11, 12}
    assert [(each.version, each.clients) for each in apps] == [(11, 50), (12, 50), (777, 5)]


def test_versions_that_anybody_invents_do_not_crowd_out_those_of_the_journal(
    store: Store,
) -> None:
    with store.write() as connection:
        for number in range(1000, 1150):
            world.present(connection, 1, number, 9)
        world.present(connection, 1, 12, 1)
    with store.read() as connection:
        found = adoption.adoption(connection, world.snapshot().sets[0], NOW)
    assert {11, 12} <= {each.version for each in found.versions}
    assert len(found.versions) <= 102
    assert found.other > 0


def test_alerts_are_listed_the_worst_first(store: Store, digests: dict[str, bytes]) -> None:
    del digests
    with store.read() as connection:
        assert [each.rule for each in alerts.open_alerts(connection, AlertSettings())] == [
            "mismatch"
        ]
        assert [
            each.rule for each in alerts.alerts(connection, AlertSettings(), which="all").items
        ] == [
            "gone",
            "mismatch",
        ]
        assert alerts.open_counts(connection) == {("mismatch", "critical"): 1}
        story = alerts.alert(connection, AlertSettings(), 1)
        assert alerts.alert(connection, AlertSettings(), 99) is None
        silences = alerts.silences(connection, NOW, AlertSettings()).items
        active = alerts.silences(connection, NOW, AlertSettings(), active=True).items
    assert story is not None
    assert [each.what for each in story.events] == ["opened"]
    assert [each.active for each in silences] == [False, True]
    assert [each.id for each in active] == [1]
