"""Check what instances of the service with different settings or pin files do to alerts."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from certpin_watch.secret import Secret
from certpin_watch.settings import NotificationSettings
from certpin_watch.snapshot import Snapshot
from certpin_watch.store.queries import freshness
from certpin_watch.store.queries.alerts import open_alerts
from tests.cli._pinfiles import write
from tests.kit import policy
from tests.watch.alerts._findings import HOST, finding
from tests.watch.alerts.conftest import Stage

if TYPE_CHECKING:
    from pathlib import Path

    from certpin_watch.store import Store

NEW = "new.bank.example"
TEAM = NotificationSettings("team", Secret("json://127.0.0.1:1/team"))
PAGER = NotificationSettings("pager", Secret("json://127.0.0.1:1/pager"))
_HOUR, _WEEK = 3600, 7 * 86400


class Cluster:
    """Instances of the service with one store and one clock, each in a separate folder."""

    def __init__(self, store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = store
        self.stages: list[Stage] = []
        self._folder = folder
        self._patch = monkeypatch

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

    def switch_process(self, name: str) -> None:
        """Let later evaluations seem to be those of another process."""
        self._patch.setattr("certpin_watch.store.instances._PROCESS", name)

    @staticmethod
    def copy(folder: Path, version: int, *hosts: str) -> None:
        path = folder / "pins.toml"
        write(*map(policy, hosts), path=str(path))
        path.write_text(path.read_text().replace("version = 3", f"version = {version}"))

    def wait(self, seconds: int) -> None:
        for stage in self.stages:
            stage.now += seconds

    def stop(self, stage: Stage) -> None:
        stage.evaluator.release()
        self.stages.remove(stage)

    def open_hosts(self) -> list[str]:
        with self.store.read() as connection:
            return sorted(alert.host for alert in open_alerts(connection, timedelta(0)))

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        with self.store.read() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]


@pytest.fixture
def cluster(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return Cluster(store, tmp_path, monkeypatch)


def test_an_instance_with_older_pins_resolves_nothing_until_it_has_the_new_ones(
    cluster: Cluster, tmp_path: Path
) -> None:
    new = cluster.start("a", version=4, hosts=(HOST, NEW))
    new.evaluate(finding(), finding(host=NEW))
    cluster.stop(new)
    old = cluster.start("b")
    for seconds in (60, _HOUR, _WEEK - 2 * _HOUR):
        cluster.wait(seconds)
        old.evaluate()
        assert cluster.open_hosts() == [HOST, NEW]
    cluster.copy(tmp_path / "b", 4, HOST, NEW)
    old.evaluate(finding(host=NEW))
    assert cluster.open_hosts() == [NEW]


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
    assert old.evaluate(finding()) is None, "the other one may be starting again"
    cluster.wait(61)
    assert old.evaluate(finding()) == 1


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
    cluster.stop(new)
    old = cluster.start("b", TEAM)
    old.evaluate(finding())
    assert cluster.rows(waiting) == [(1,)]
    assert "watch.toml at " in caplog.text
    cluster.wait(_HOUR)
    old.evaluate(finding())
    assert cluster.rows(waiting) == [(0,)]
    assert "1 message to pager given up: the service is not in the settings" in caplog.text
    assert cluster.rows("SELECT what, who, note FROM alert_events WHERE who <> ''") == [
        ("untold", "pager", "opened: it is not in the settings any more")
    ]


def test_a_restart_with_other_settings_takes_effect_at_once(cluster: Cluster) -> None:
    first = cluster.start("a", TEAM, PAGER, version=4)
    first.evaluate(finding())
    cluster.stop(first)
    cluster.switch_process("again")
    again = cluster.start("a", TEAM)
    again.evaluate()
    assert cluster.open_hosts() == []
    gone = "SELECT count(*) FROM tellings WHERE service = 'pager' AND given_up_at IS NOT NULL"
    assert cluster.rows(gone) == [(1,)]


def test_two_processes_at_one_place_see_each_other(cluster: Cluster) -> None:
    """The machines may have one name. The first one stores its files again."""
    cluster.switch_process("one")
    one = cluster.start("a", TEAM, PAGER)
    one.evaluate(finding())
    cluster.switch_process("other")
    other = cluster.start("a", TEAM)
    other.evaluate()
    cluster.switch_process("one")
    one.evaluate(finding())
    cluster.switch_process("other")
    cluster.stop(one)
    other.evaluate()
    assert cluster.open_hosts() == [HOST]


def test_rows_of_instances_are_no_leases_and_are_deleted_after_a_week(cluster: Cluster) -> None:
    one = cluster.start("a")
    one.evaluate()
    cluster.stop(one)
    other = cluster.start("b")
    other.evaluate()
    count = "SELECT count(*) FROM leases WHERE name LIKE 'instance:%'"
    assert cluster.rows(count) == [(2,)]
    with cluster.store.read() as connection:
        found = freshness.freshness(connection, Snapshot(), other.watch.clock())
    assert [lease.name for lease in found.leases] == ["alerts"]
    cluster.wait(_WEEK)
    other.evaluate()
    assert cluster.rows(count) == [(1,)]
