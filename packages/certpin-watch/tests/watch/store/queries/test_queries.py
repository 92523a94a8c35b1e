"""The queries of pages and API, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update

from certpin.lab.ct_log import LabLog, log_list
from certpin_watch.settings import AlertSettings, CollectorSettings, ServiceSettings, Thresholds
from certpin_watch.store.chains import add_usage, lock_usage, read_usage
from certpin_watch.store.probes import awaited_since, note_awaited
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
from certpin_watch.store.queries.chains import expected_path
from certpin_watch.store.queries.report_counts import Range, ReportFilter
from certpin_watch.store.tables.observations import SIGHTINGS
from certpin_watch.web import unknowns
from certpin_watch.web.hosts import PROBLEMS
from tests.watch.store.queries import _world as world
from tests.watch.store.queries._world import API, DAY, HOUR, NEW, NOW, PAY

if TYPE_CHECKING:
    from certpin_watch.store import Store

WEEK = Range(NOW - 7 * DAY, NOW)


@pytest.fixture
def digests(store: Store) -> dict[str, bytes]:
    return world.fill_store(store)


def test_the_worst_location_decides_the_status_of_a_host(
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
    assert [(seen.vantage, seen.answer, seen.refused_by) for seen in api.vantages] == [
        ("eu", "mismatch", (11, 12)),
        ("local", "match", (11,)),
    ]
    assert api.certificate_days == 3
    assert api.vantages[0].served == digests["stranger"].hex()
    assert (new.status, new.problems) == ("unknown", ("not-seen-lately",))
    assert (pay.status, pay.failures) == ("broken", 0), (
        "version 11, which is still live, refuses its key"
    )
    assert hosts.count_by_status(found.items) == {
        "broken": 2,
        "unknown": 1,
        "expiring": 0,
        "holds": 0,
    }


def test_a_certificate_with_too_few_scts_is_a_problem_of_its_host(
    store: Store, digests: dict[str, bytes]
) -> None:
    del digests
    logs, known = log_list([LabLog.make("Alpha")], NOW - DAY), world.snapshot()
    [watched] = known.sets
    policies = tuple(replace(each, ct_logs=logs) for each in watched.pins.policies)
    strict = replace(watched, pins=replace(watched.pins, policies=policies))
    with store.read() as connection:
        host = hosts.host(connection, replace(known, sets=(strict,)), NOW, API)
    assert host is not None
    assert [seen.answer for seen in host.vantages] == ["mismatch", "too-few-scts"]
    assert (host.status, "too-few-scts" in host.problems) == ("broken", True)
    assert "too few SCTs" in PROBLEMS["too-few-scts"]


def test_each_problem_of_a_location_has_a_sentence_on_the_pages() -> None:
    found = {*sightings._OUTCOME_PROBLEMS.values(), *sightings._ANSWER_PROBLEMS.values()}
    assert PROBLEMS.keys() >= found


def test_an_old_probe_result_is_stale(store: Store, digests: dict[str, bytes]) -> None:
    del digests
    with store.read() as connection:
        late = NOW + 2 * HOUR
        host = hosts.host(connection, world.snapshot(), late, PAY)
        assert host is not None
        assert "not-seen-lately" in host.problems
        found = freshness.freshness(connection, world.snapshot("pins.toml: broken"), late)
    assert [location.stale for location in found.vantages] == [True, True]
    assert found.unseen == (NEW,)
    assert found.problems == ("pins.toml: broken",)
    assert found.last_report == NOW - 2 * HOUR


def test_a_location_without_any_result_makes_a_host_stale(
    store: Store, digests: dict[str, bytes]
) -> None:
    del digests

    def problems(added: timedelta) -> tuple[str, ...]:
        with store.write() as connection:
            note_awaited(connection, set(), NOW)
            note_awaited(connection, {(PAY, 443, "", "fra1")}, NOW - added)
            host = hosts.host(connection, world.snapshot(), NOW, PAY)
        assert host is not None
        return host.problems

    assert "not-seen-lately" not in problems(HOUR)
    assert "not-seen-lately" in problems(HOUR + timedelta(seconds=1))


def test_targets_that_were_awaited_in_the_future_are_awaited_from_now_on(store: Store) -> None:
    """The clock ran ahead while their times were written."""
    kept, again, gone = ((PAY, 443, "", location) for location in ("fra1", "nyc1", "sgp1"))
    with store.write() as connection:
        note_awaited(connection, {kept}, NOW - HOUR)
        note_awaited(connection, {kept, again, gone}, NOW + HOUR)
        note_awaited(connection, {kept, again}, NOW)
        found = awaited_since(connection)
    assert found == {kept: (NOW - HOUR).timestamp(), again: NOW.timestamp()}


def test_default_thresholds_equal_those_of_default_settings() -> None:
    assert ServiceSettings().thresholds == Thresholds()


@pytest.mark.medium
def test_a_nearly_reached_limit_is_reported(store: Store, digests: dict[str, bytes]) -> None:
    del digests
    thresholds = Thresholds(collector=CollectorSettings(budget=16 * 1024**2))
    limit = 14 * 1024**2  # an eighth is reserved for monitored hosts
    for used, names in ((limit * 9 // 10, []), (limit * 96 // 100, ["bytes"])):
        with store.write() as connection:
            lock_usage(connection)
            add_usage(connection, used - read_usage(connection))
        with store.read() as connection:
            found = freshness.freshness(connection, world.snapshot(), NOW, thresholds)
        assert [part.name for part in found.full] == names
        text = " ".join(unknowns.of_service(found, NOW))
        assert ("bytes (14,680,064)" in text) == bool(names)


@pytest.mark.parametrize(("days", "soon"), [(29, False), (31, True)])
def test_the_lifetime_of_a_certificate_decides_when_it_expires_soon(
    sqlite_store: Store, days: int, soon: bool
) -> None:
    """With a lifetime of 40 days, the 30 days of the settings are too early for a warning."""
    world.fill_store(sqlite_store)
    with sqlite_store.read() as connection:
        then = hosts.host(connection, world.snapshot(), NOW + days * DAY, PAY)
    assert then is not None
    assert ("certificate-ends" in then.problems) == soon


def test_hosts_are_paged_by_name(store: Store, digests: dict[str, bytes]) -> None:
    del digests
    with store.read() as connection:
        first = hosts.hosts(connection, world.snapshot(), NOW, limit=2)
        assert first.next == (NEW,)
        rest = hosts.hosts(connection, world.snapshot(), NOW, after=NEW, limit=2)
        assert hosts.host(connection, world.snapshot(), NOW, "evil.example") is None
        assert hosts.host(connection, world.snapshot(), NOW, "a..b") is None
    assert [host.name for host in rest.items] == [PAY]


def test_changes_of_a_host_name_the_changed_fields(store: Store, digests: dict[str, bytes]) -> None:
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


def test_a_series_counts_reports_by_value_and_bucket(
    store: Store, digests: dict[str, bytes]
) -> None:
    with store.read() as connection:
        found = failures.series(connection, WEEK, by="host", bucket="day", lines=1)
        assert [(line.value, line.total, line.rest) for line in found.lines] == [
            ("evil.example", 1000, False),
            ("", 44, True),
        ]
        assert found.total == 1044
        assert len(found.begins) == len(found.lines[0].counts) == 8
        only = ReportFilter(host=API, served=digests["stranger"].hex())
        split = failures.series(connection, WEEK, by="network", bucket="hour", only=only)
        assert [(line.value, line.total) for line in split.lines] == [
            ("wifi", 30),
            (world.HOSTILE_TEXT, 10),
        ]
        by_chain = failures.series(connection, WEEK, by="served", only=ReportFilter(host=API))
        assert [line.value for line in by_chain.lines] == [digests["stranger"].hex()]
        total = failures.total(connection, WEEK, ReportFilter(pin_set="bank"))
    assert (total.count, total.hosts, total.chains) == (44, 2, 2)


def test_a_series_is_cut_after_its_maximum_of_buckets(store: Store) -> None:
    with store.read() as connection:
        found = failures.series(connection, Range(NOW - 4000 * DAY, NOW), bucket="hour")
    assert len(found.begins) == failures.MAX_POINTS


def test_groups_and_top_chains_are_listed(store: Store, digests: dict[str, bytes]) -> None:
    with store.read() as connection:
        page = reports.groups(connection, WEEK, only=ReportFilter(pin_set="bank"), limit=2)
        assert [group.count for group in page.items] == [10, 30]
        assert page.next is not None
        hour, number = page.next
        rest = reports.groups(
            connection, WEEK, only=ReportFilter(pin_set="bank"), before=(int(hour), int(number))
        )
        assert [(group.host, group.count) for group in rest.items] == [(PAY, 4)]
        top = failures.top_chains(connection, WEEK, only=ReportFilter(pin_set="bank"))
    assert [(chain.host, chain.served, chain.count) for chain in top] == [
        (API, digests["stranger"].hex(), 40),
        (PAY, "", 4),
    ]


def test_the_expected_path_is_pinned_even_if_another_path_is_newer(store: Store) -> None:
    found = world.fill_store(store)
    with store.write() as connection:
        strange = SIGHTINGS.c.verified == found["stranger"]
        connection.execute(update(SIGHTINGS).where(strange).values(last_at=world.seconds(NOW)))
    with store.read() as connection:
        path = expected_path(connection, world.snapshot(), NOW, API)
        assert expected_path(connection, world.snapshot(), NOW, NEW) == ()
    assert path == world.der_chain(world.identity(API))


def test_a_chain_is_described(store: Store, digests: dict[str, bytes]) -> None:
    with store.read() as connection:
        found = chains.describe_chain(connection, digests["stranger"])
        assert chains.describe_chain(connection, b"unknown") is None
    assert found is not None
    (leaf,) = found.certificates
    assert "Other Root" in leaf.issuer
    assert (leaf.names, leaf.self_issued) == ((API,), False)
    assert leaf.pin == str(world.other_identity().pin)


def test_an_invalid_certificate_has_a_problem(store: Store) -> None:
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
        usage = adoption.reported_usage(connection, "bank", NOW, [11, 12])
        apps = adoption.apps(connection, "bank", NOW - DAY)
    by_version = {held.version: held for held in found.versions}
    assert list(by_version) == [777, 12, 11], "unreleased versions are listed, too"
    assert (by_version[777].known, by_version[11].known) == (False, True)
    assert (by_version[11].clients, by_version[11].share) == (90, 0.4)
    assert by_version[12].share == 0.6
    assert by_version[11].until == NOW - 3 * DAY + timedelta(days=32, hours=2)
    assert {row.version for row in usage} == {11, 12}
    assert [(app.version, app.clients) for app in apps] == [(11, 50), (12, 50), (777, 5)]


def test_invented_versions_do_not_displace_released_ones(
    store: Store,
) -> None:
    with store.write() as connection:
        for number in range(1000, 1150):
            world.insert_presence(connection, 1, number, 9)
        world.insert_presence(connection, 1, 12, 1)
    with store.read() as connection:
        found = adoption.adoption(connection, world.snapshot().sets[0], NOW)
    assert {11, 12} <= {held.version for held in found.versions}
    assert len(found.versions) <= 102
    assert found.other > 0


def test_open_alerts_are_listed_worst_first(store: Store, digests: dict[str, bytes]) -> None:
    del digests
    with store.read() as connection:
        assert [found.rule for found in alerts.open_alerts(connection, AlertSettings().hold)] == [
            "mismatch"
        ]
        assert [
            found.rule
            for found in alerts.alerts(connection, AlertSettings().hold, which="all").items
        ] == [
            "gone",
            "mismatch",
        ]
        assert alerts.open_counts(connection) == {("mismatch", "critical"): 1}
        story = alerts.alert(connection, AlertSettings().hold, 1)
        assert alerts.alert(connection, AlertSettings().hold, 99) is None
        silences = alerts.silences(connection, NOW, AlertSettings().silence).items
        active = alerts.silences(connection, NOW, AlertSettings().silence, active=True).items
    assert story is not None
    assert [alert_event.what for alert_event in story.events] == ["opened"]
    assert [silence.active for silence in silences] == [False, True]
    assert [silence.id for silence in active] == [1]
