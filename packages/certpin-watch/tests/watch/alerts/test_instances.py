"""Check what instances of the service with different settings or pin files do to alerts."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text, update

from certpin.errors import StoreError
from certpin_watch.alerts import run
from certpin_watch.secret import Secret
from certpin_watch.settings import NotificationSettings, ServiceSettings
from certpin_watch.snapshot import Snapshot
from certpin_watch.store.instances import Deference, InstanceFiles, compare_files, record_files
from certpin_watch.store.queries import freshness
from certpin_watch.store.queries.alerts import open_alerts
from certpin_watch.store.tables.service import LEASES
from tests.cli._pinfiles import write
from tests.kit import policy
from tests.watch.alerts._findings import HOST, finding
from tests.watch.alerts.conftest import Stage

if TYPE_CHECKING:
    from pathlib import Path

    from certpin_watch.snapshot import MonitoredPinSet
    from certpin_watch.store import Store

NEW = "new.bank.example"
TEAM = NotificationSettings("team", Secret("json://127.0.0.1:1/team"))
PAGER = NotificationSettings("pager", Secret("json://127.0.0.1:1/pager"))
_HOUR, _ENDED = 3600, 91  # seconds: _ENDED after its last evaluation an instance counts as stopped
_COUNT = "SELECT count(*) FROM leases WHERE name LIKE 'instance:%'"


class Cluster:
    """Instances of the service with one store and one clock, each in a separate folder."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.stages: list[Stage] = []
        self._folder = folder

    def start(
        self,
        name: str,
        *services: NotificationSettings,
        version: int = 3,
        hosts: tuple[str, ...] = (HOST,),
    ) -> Stage:
        """Start an instance with this version of the pin file, in the folder ``name``."""
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        self.copy(folder, version, *hosts)
        stage = Stage(self.store, *(services or (TEAM,)), folder=folder, hold=timedelta(0))
        stage.now += self.stages[-1].now - stage.now if self.stages else 0
        self.stages.append(stage)
        return stage

    @staticmethod
    def copy(folder: Path, version: int, *hosts: str) -> None:
        path = folder / "pins.toml"
        write(*map(policy, hosts), path=str(path))
        path.write_text(path.read_text().replace("version = 3", f"version = {version}"))

    def wait(self, seconds: int) -> None:
        for stage in self.stages:
            stage.now += seconds

    def stop(self, stage: Stage, *, killed: bool = False) -> None:
        stage.evaluator.release(stopped=not killed)
        self.stages.remove(stage)

    def record(self, stage: Stage, *sets: MonitoredPinSet) -> None:
        """Store the files of an instance, as if its evaluation failed afterwards."""
        watch = stage.watch
        files = InstanceFiles.of(
            watch.process, watch.settings, sets or watch.pin_files.snapshot().sets
        )
        with self.store.write() as connection:
            record_files(connection, files, stage.now)

    def open_hosts(self) -> list[str]:
        with self.store.read() as connection:
            return sorted(alert.host for alert in open_alerts(connection, timedelta(0)))

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        with self.store.read() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]


@pytest.fixture
def cluster(store: Store, tmp_path: Path) -> Cluster:
    return Cluster(store, tmp_path)


def test_an_instance_with_older_pins_resolves_nothing_while_one_with_newer_ones_runs(
    cluster: Cluster, tmp_path: Path
) -> None:
    new = cluster.start("a", version=4, hosts=(HOST, NEW))
    new.evaluate(finding(), finding(host=NEW))
    new.evaluator.release()
    old = cluster.start("b")
    for _ in range(3):
        cluster.wait(60)
        cluster.record(new)
        old.evaluate()
        assert cluster.open_hosts() == [HOST, NEW]
    cluster.copy(tmp_path / "b", 4, HOST, NEW)
    old.evaluate(finding(host=NEW))
    assert cluster.open_hosts() == [NEW]


@pytest.mark.parametrize("killed", [True, False])
def test_an_instance_that_stopped_holds_no_alert_open(cluster: Cluster, *, killed: bool) -> None:
    """Its files can't be corrected any more: their version may have been mistyped."""
    first = cluster.start("a", TEAM, PAGER, version=202612011)
    first.evaluate(finding())
    cluster.stop(first, killed=killed)
    again = cluster.start("a", TEAM, version=4)
    cluster.wait(_ENDED if killed else 1)
    again.evaluate()
    assert cluster.open_hosts() == []


def test_an_instance_with_older_pins_leaves_the_work_to_one_with_newer_ones(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    old = cluster.start("b")
    assert old.evaluate(finding()) == 1
    new = cluster.start("a", version=4)
    assert new.evaluate() is None, "the other one has the lease"
    assert old.evaluate() is None
    assert not old.evaluator.holds_lease(old.now)
    assert "the pin set bank (version 3 here, 4 there) at " in caplog.text
    assert new.evaluate() == 1
    assert cluster.open_hosts() == []
    cluster.stop(new)
    assert old.evaluate(finding()) == 1, "it takes over at once"


@pytest.mark.medium
def test_an_instance_with_older_pins_goes_on_if_the_newer_one_fails(cluster: Cluster) -> None:
    old, new = cluster.start("b"), cluster.start("a", version=4)
    evaluated = []
    for second in range(0, _HOUR, 15):
        if second % 60 == 0:
            cluster.record(new)
        evaluated.append(old.evaluate(finding()) is not None)
        cluster.wait(15)
    assert evaluated[:6] == [False] * 4 + [True] * 2, "the newer one had a minute"
    assert evaluated.count(True) > 200
    assert cluster.open_hosts() == [HOST]


def test_an_instance_that_can_store_nothing_leaves_the_lease_to_others(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failing, other = cluster.start("a"), cluster.start("b")

    def fail(*_: object) -> int:
        raise StoreError("a column is missing")

    async def evaluate_until_it_failed() -> None:
        stop, deadline = asyncio.Event(), time.monotonic() + 20
        task = asyncio.create_task(run._evaluate_regularly(failing.watch, failing.evaluator, stop))
        while failing.evaluator._lease is not None or "a column is missing" not in caplog.text:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        assert await asyncio.to_thread(other.evaluate, finding()) == 1
        stop.set()
        await task

    monkeypatch.setattr(failing.evaluator, "_write", fail)
    asyncio.run(evaluate_until_it_failed())


def test_a_lease_is_left_again_later_and_if_the_clock_was_set_back() -> None:
    deference = Deference(60)
    asked = [(0, False), (59, False), (60, True), (659, True), (660, False), (720, True)]
    for now, expected in [*asked, (100, False), (160, True)]:
        assert deference.may_hold(now, is_outdated=True) == expected
    assert deference.may_hold(161, is_outdated=False)
    assert not deference.may_hold(162, is_outdated=True)


def test_two_instances_with_one_newer_pin_set_each_both_evaluate(cluster: Cluster) -> None:
    one = cluster.start("a")
    (bank,) = one.watch.pin_files.snapshot().sets
    shop = replace(bank, pins=replace(bank.pins, name="shop"))
    other = cluster.start("b")
    newer = replace(bank, pins=replace(bank.pins, version=4)), shop
    older = bank, replace(shop, pins=replace(shop.pins, version=4))
    assert _compare(cluster, one, older, other, newer) == ["bank (version 3 here, 4 there)"]
    assert _compare(cluster, other, newer, one, older) == ["shop (version 3 here, 4 there)"]
    assert _compare(cluster, one, (bank,), other, (bank, shop)) == ["shop (unknown here)"]


def test_an_instance_with_newer_pins_and_other_settings_gets_no_lease(cluster: Cluster) -> None:
    """It might not evaluate at all."""
    new, old = cluster.start("a", TEAM, PAGER, version=4), cluster.start("b", TEAM)
    new.evaluate()
    new.evaluator.release()
    assert old.evaluate(finding()) == 1


def test_an_instance_with_rare_evaluations_runs_until_four_of_them_were_left_out(
    cluster: Cluster,
) -> None:
    one, other = cluster.start("a"), cluster.start("b")
    other.evaluator.release()
    watch = replace(other.watch, settings=_with_every(other.watch.settings, minutes=10))
    files = InstanceFiles.of(watch.process, watch.settings, ())
    with cluster.store.write() as connection:
        record_files(connection, files, other.now)
    for seconds, expected in ((2400 - 1, 1), (1, 0)):
        cluster.wait(seconds)
        with cluster.store.read() as connection:
            mine = InstanceFiles.of(one.watch.process, one.watch.settings, ())
            assert len(compare_files(connection, mine, one.now).differences) == expected


@pytest.mark.parametrize("row", ['{"v": 2}', "[]", "no JSON", '{"pin_sets": {"bank": 3}}'])
def test_a_row_of_another_release_is_ignored_with_a_warning(
    cluster: Cluster, caplog: pytest.LogCaptureFixture, row: str
) -> None:
    other, one = cluster.start("b", version=4), cluster.start("a")
    cluster.record(other)
    with cluster.store.write() as connection:
        connection.execute(update(LEASES).values(holder=row))
    for _ in range(2):
        assert one.evaluate(finding()) is not None
    one.evaluate()
    assert cluster.open_hosts() == []
    assert caplog.text.count("the files of 1 other instance can't be compared") == 1


def test_a_row_from_a_clock_that_was_ahead_is_ignored_and_deleted(cluster: Cluster) -> None:
    other, one = cluster.start("b", version=4), cluster.start("a")
    cluster.record(other)
    one.now -= 86400
    assert one.evaluate(finding()) is not None
    assert cluster.rows(_COUNT) == [(1,)]


def test_a_folder_whose_name_is_not_utf_8_stops_nothing(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = cluster.start(os.fsdecode(b"b\xfcr")), cluster.start("b", hosts=(HOST, NEW))
    assert one.evaluate(finding()) == 1
    other.evaluate()
    assert "the pin set bank" in caplog.text


def _with_every(settings: ServiceSettings, **every: int) -> ServiceSettings:
    return replace(settings, alerts=replace(settings.alerts, every=timedelta(**every)))


def _compare(
    cluster: Cluster,
    stage: Stage,
    mine: tuple[MonitoredPinSet, ...],
    other: Stage,
    theirs: tuple[MonitoredPinSet, ...],
) -> list[str]:
    """Return the differences that an instance sees. It must not leave its leases to the other."""
    cluster.record(other, *theirs)
    files = InstanceFiles.of(stage.watch.process, stage.watch.settings, mine)
    with cluster.store.read() as connection:
        found = compare_files(connection, files, stage.now)
    assert not found.is_outdated
    texts = (text.partition(" at ")[0] for text in found.differences)
    return [text.removeprefix("the pin set ") for text in texts if text != "watch.toml"]


def test_a_difference_is_logged_once_an_hour_and_when_it_is_over(
    cluster: Cluster, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level("INFO", "certpin.watch.alerts")
    one, other = cluster.start("a"), cluster.start("b", hosts=(HOST, NEW))
    place = f"{tmp_path}/a/watch.toml"
    for _ in range(3):
        one.evaluate()
        other.evaluate()
    text = "the pin set bank (version 3; its file, its journal or a file that it names) at "
    assert text in caplog.text
    assert caplog.text.count(place) == 1
    for count in (1, 2):
        cluster.wait(_HOUR // 2)
        one.evaluate()
        other.evaluate()
        assert caplog.text.count(place) == count
    cluster.copy(tmp_path / "b", 3, HOST)
    other.evaluate()
    assert "no other instance has other files any more" in caplog.text


def test_the_messages_of_a_service_that_another_instance_knows_are_not_given_up(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    waiting = "SELECT count(*) FROM tellings WHERE service = 'pager' AND given_up_at IS NULL"
    new = cluster.start("a", TEAM, PAGER)
    new.evaluate(finding())
    new.evaluator.release()
    old = cluster.start("b", TEAM)
    old.evaluate(finding())
    assert cluster.rows(waiting) == [(1,)]
    assert "watch.toml at " in caplog.text
    cluster.stop(new)
    old.evaluate(finding())
    assert cluster.rows(waiting) == [(0,)]
    assert "1 message to pager given up: the service is not in the settings" in caplog.text
    assert cluster.rows("SELECT what, who, note FROM alert_events WHERE who <> ''") == [
        ("untold", "pager", "opened: it is not in the settings any more")
    ]


def test_two_processes_at_one_place_are_two_instances(cluster: Cluster) -> None:
    """Two machines can have one name, as copies or with one setting of containers."""
    new = cluster.start("a", version=4, hosts=(HOST, NEW))
    new.evaluate(finding(host=NEW))
    new.evaluator.release()
    old = cluster.start("a")
    old.evaluate()
    assert cluster.open_hosts() == [NEW]


def test_rows_of_instances_are_no_leases_and_are_deleted(cluster: Cluster) -> None:
    one = cluster.start("a")
    one.evaluate()
    cluster.stop(one, killed=True)
    other = cluster.start("b")
    other.evaluate()
    assert cluster.rows(_COUNT) == [(2,)]
    with cluster.store.read() as connection:
        found = freshness.freshness(connection, Snapshot(), other.watch.clock())
    assert [lease.name for lease in found.leases] == ["alerts"]
    cluster.wait(_ENDED)
    other.evaluate()
    assert cluster.rows(_COUNT) == [(1,)]
    cluster.stop(other)
    assert cluster.rows(_COUNT) == [(0,)]
