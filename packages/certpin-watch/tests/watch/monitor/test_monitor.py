"""Check the monitor against real servers: its probes, the stored results, and the findings."""

from __future__ import annotations

import asyncio
import shlex
import socket
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select

from certpin.lab import Authority, LabServer
from certpin.pins import pins_of
from certpin.rotation.journal import Event, format_event
from certpin_watch.alerts.run import Evaluator
from certpin_watch.counters import COUNTERS
from certpin_watch.monitor import probing
from certpin_watch.monitor.evidence import gather_probes
from certpin_watch.monitor.probing import Prober
from certpin_watch.monitor.results import ProbeJob
from certpin_watch.monitor.scheduler import Scheduler, run
from certpin_watch.rules.engine import RULES
from certpin_watch.rules.evidence import Evidence, ReportedFailures, ReportEvidence
from certpin_watch.settings import AlertSettings
from certpin_watch.store import leases
from certpin_watch.store.alerts import open_alerts
from certpin_watch.store.instances import InstanceFiles, record_files
from certpin_watch.store.probes import awaited_since
from certpin_watch.store.tables.observations import CERTIFICATES, SIGHTINGS, VANTAGES
from tests.cli.conftest import invoke
from tests.probe.scan._servers import Server, say_nothing, tls
from tests.servers.mail import smtp
from tests.servers.nginx import nginx

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from certpin_watch.store import Store
    from tests.watch.monitor.conftest import Scene

    WatchOver = Callable[..., Scene]


def server_at(port: int, **more: Any) -> dict[str, Any]:
    return {"name": "localhost", "port": port, **more}


def rows(store: Store, **wanted: Any) -> list[Any]:
    with store.read() as connection:
        query = select(SIGHTINGS).filter_by(**wanted).order_by(SIGHTINGS.c.id)
        return list(connection.execute(query))


def counted(outcome: str) -> float:
    """Return how many probes of this process had the outcome, by the Prometheus metric."""
    labels = {"outcome": outcome}
    return COUNTERS.registry.get_sample_value("certpin_probes_total", labels) or 0


@pytest.mark.medium
def test_a_good_host_has_one_sighting_and_no_finding(
    watch_over: WatchOver, intermediate: Authority
) -> None:
    leaf = intermediate.issue("localhost")
    with LabServer(leaf) as server:
        scene = watch_over(leaf, host=[server_at(server.port)])
        scene.confirm()
        assert scene.round() == 0  # no target is due
    (row,) = rows(scene.watch.store)
    assert (row.outcome, row.count, row.latest) == ("verified", 2, True)
    assert row.last_at - row.first_at == 61
    assert 0 < row.took < 10_000_000
    assert scene.found() == []
    with scene.watch.store.read() as connection:
        assert connection.scalar(select(func.count()).select_from(CERTIFICATES)) == 3


@pytest.mark.medium
@pytest.mark.parametrize("rule", ["failures-surge", "strange-chain", "would-lock-out"])
def test_the_command_of_a_rule_over_reports_finds_the_healthy_server(
    watch_over: WatchOver, intermediate: Authority, rule: str
) -> None:
    """The server has the certificate of a private authority, which the pin file trusts."""
    leaf, chain, now = intermediate.issue("localhost"), b"c" * 32, 1_800_000_000
    with LabServer(leaf) as server:
        scene = watch_over(leaf, host=[server_at(server.port)])
        probed = gather_probes(scene.watch, scene.watch.clock())
        decision = "report" if rule == "would-lock-out" else "refuse"
        refused = {("localhost", chain)} if rule == "strange-chain" else set()
        place = ("localhost", chain, b"", "bank", 1, "bank", "3.1", "carrier")
        reports = ReportEvidence(
            sets=scene.watch.pin_files.snapshot().sets,
            groups=(ReportedFailures(*place, decision, "mismatch", 99),),
            hours={"localhost": {now - now % 3600: 99}},
            refused=frozenset(refused),
        )
        evidence = Evidence(now, AlertSettings(few=5), probed, reports)
        (finding,) = RULES[rule].check(evidence)
        done = invoke(*shlex.split(finding.command)[1:], "--json")
    assert done.code == 0, done.out
    (host,) = done.json["hosts"]
    assert host["status"] == "holds"


@pytest.mark.medium
def test_a_server_of_the_pin_file_is_probed_without_other_settings(
    watch_over: WatchOver, intermediate: Authority
) -> None:
    leaf = intermediate.issue("localhost")
    with LabServer(leaf) as server:
        scene = watch_over(leaf)
        text = (scene.folder / "pins.toml").read_text()
        table = f'[[host.server]]\naddress = "127.0.0.1:{server.port}"\nregion = "eu"\n'
        (scene.folder / "pins.toml").write_text(text + table)
        scene.confirm()
    (row,) = rows(scene.watch.store)
    assert (row.outcome, row.port, row.address) == ("verified", server.port, "127.0.0.1")
    assert scene.found() == []


@pytest.mark.medium
def test_a_new_key_is_found_after_a_second_probe_until_it_is_pinned(
    watch_over: WatchOver, intermediate: Authority
) -> None:
    old, new = intermediate.issue("localhost"), intermediate.issue("localhost")
    with LabServer(old) as server:
        scene = watch_over(old, host=[server_at(server.port)])
        scene.confirm()
        server.use(new)
        scene.pass_time(minutes=20)
        scene.round()
        assert scene.rules() == set()  # one probe is no probe
        scene.pass_time(seconds=61)
        scene.round()
    assert scene.rules() == {"pin-mismatch", "key-changed"}
    assert [row.latest for row in rows(scene.watch.store)] == [False, True]
    scene.pin(old.pin, new.pin, version=2)
    assert scene.rules() == set()


@pytest.mark.peer("nginx")
def test_one_edge_of_a_cdn_that_serves_an_unpinned_key_is_found(
    watch_over: WatchOver, intermediate: Authority
) -> None:
    good, bad = intermediate.issue("localhost"), intermediate.issue("localhost")
    with nginx({"localhost": good}) as one, nginx({"localhost": bad}) as other:
        edges = [server_at(443, connect=f"127.0.0.1:{server.port}") for server in (one, other)]
        scene = watch_over(good, host=edges)
        scene.confirm()
    (finding,) = scene.found()
    assert finding.rule == "pin-mismatch"
    assert finding.summary.startswith(f"localhost:443 at 127.0.0.1:{other.port} from local")


@pytest.mark.medium
@pytest.mark.parametrize("same_key", [False, True])
def test_a_new_certificate_is_found_if_the_one_before_it_is_pinned(
    watch_over: WatchOver, intermediate: Authority, *, same_key: bool
) -> None:
    """The pin file has no pin of a key (``sha256``) that a server uses, only ``cert-sha256``."""
    old = intermediate.issue("localhost")
    new = intermediate.issue("localhost", key=old.key if same_key else None)
    with LabServer(old) as server:
        scene = watch_over(old, host=[server_at(server.port)])
        scene.pin(pins_of(old.certificate)[1])
        scene.confirm()
        assert scene.rules() == set()
        server.use(new)
        scene.pass_time(minutes=20)
        scene.confirm()
    assert scene.rules() == ({"pin-mismatch"} if same_key else {"pin-mismatch", "key-changed"})
    assert scene.host().problems == ("mismatch",)
    scene.pin(*(pins_of(each.certificate)[1] for each in (old, new)), version=2)
    assert scene.rules() == set()


@pytest.mark.medium
def test_each_address_of_a_name_is_probed(
    watch_over: WatchOver, intermediate: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = intermediate.issue("localhost"), intermediate.issue("localhost")
    with Server(tls(good)) as one, Server(tls(bad), "127.0.0.2", one.port):
        addresses = {"127.0.0.1", "127.0.0.2"}
        monkeypatch.setattr(probing, "_addresses", lambda *_: addresses)
        scene = watch_over(good, host=[server_at(one.port, every_address=True)])
        scene.confirm()
        (finding,) = scene.found()
        assert "at 127.0.0.2" in finding.summary
        addresses.remove("127.0.0.2")  # the bad one is taken out of the DNS
        scene.pass_time(minutes=20)
        scene.confirm()
    assert scene.found() == []
    assert [row.edge for row in rows(scene.watch.store, latest=True)] == ["127.0.0.1"]


@pytest.mark.medium
def test_deployed_versions_come_from_the_journal(
    watch_over: WatchOver, intermediate: Authority
) -> None:
    old, new = intermediate.issue("localhost"), intermediate.issue("localhost")
    with LabServer(new) as server:
        scene = watch_over(old, host=[server_at(server.port)])
        first = scene.watch.pin_files.snapshot().sets[0].pins
        at = scene.watch.clock()
        event = Event(at, "ann", "publish", version=1, pins=first, bundled=True, clients=1234)
        (scene.folder / "pins.journal.jsonl").write_text(format_event(event) + "\n")
        scene.pin(new.pin, version=2)
        scene.confirm()
    finding = next(finding for finding in scene.found() if finding.rule == "field-mismatch")
    assert (finding.details["versions"], finding.clients) == ([1], 1234)


@pytest.mark.medium
def test_a_wrong_name_and_an_unreachable_server_are_found(
    watch_over: WatchOver, intermediate: Authority
) -> None:
    leaf = intermediate.issue("localhost")
    with LabServer(intermediate.issue("other.test")) as server, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # but it doesn't listen
        scene = watch_over(leaf, host=[server_at(server.port), server_at(closed.getsockname()[1])])
        scene.confirm()
    assert scene.rules() == {"chain-unverified", "host-unreachable"}
    (row,) = rows(scene.watch.store, outcome="unverified")
    assert row.code == 62  # X509_V_ERR_HOSTNAME_MISMATCH
    assert row.served
    assert not row.verified


@pytest.mark.slow
def test_a_chain_behind_starttls_is_checked(
    watch_over: WatchOver, intermediate: Authority, tmp_path: Path
) -> None:
    pinned, served = intermediate.issue("localhost"), intermediate.issue("localhost")
    with smtp(*served.write(tmp_path, "mail")) as port:
        scene = watch_over(pinned, host=[server_at(port, starttls="smtp")])
        scene.confirm()
    (finding,) = scene.found()
    assert finding.rule == "pin-mismatch"
    assert finding.command.endswith("--starttls smtp")


@pytest.mark.slow
def test_a_server_without_starttls_is_found_until_it_starts_tls_again(
    watch_over: WatchOver, intermediate: Authority, tmp_path: Path
) -> None:
    leaf = intermediate.issue("localhost")
    before = counted("no-starttls")
    with smtp() as port:
        scene = watch_over(leaf, host=[server_at(port, starttls="smtp")])
        scene.confirm()
    assert counted("no-starttls") == before + 2  # probes
    (finding,) = scene.found()
    assert (finding.rule, finding.severity) == ("no-starttls", "critical")
    assert "STARTTLS" in finding.summary
    assert finding.command.endswith("--starttls smtp")
    assert scene.host().problems == ("no-starttls",)
    with smtp(*leaf.write(tmp_path, "mail"), port=port):
        scene.pass_time(hours=1)
        scene.confirm()
    assert scene.found() == []
    assert counted("no-starttls") == before + 2


@pytest.mark.medium
def test_a_stopped_prober_does_not_wait_for_a_silent_server() -> None:
    halt = threading.Event()
    prober = Prober(halted=halt.is_set)
    with Server(say_nothing) as server:
        plain = ProbeJob("localhost", server.port, "", "local", 1, timeout=60.0)
        slow = ProbeJob("localhost", server.port, "x", "local", 1, starttls="smtp", timeout=60.0)
        asking = threading.Thread(target=lambda: list(prober.probe([plain, slow])))
        asking.start()
        while server.connections < 2:
            pass
        halt.set()
        asking.join(10)
        assert not asking.is_alive()


def test_a_stopped_service_releases_its_lease_at_once(
    watch_over: WatchOver, intermediate: Authority
) -> None:
    leaf = intermediate.issue("localhost")

    async def serve(scene: Scene) -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(run(scene.watch, stop))
        await asyncio.to_thread(server.wait_for, 1)
        stop.set()
        async with asyncio.timeout(30):
            await running

    with LabServer(leaf) as server:
        scene = watch_over(leaf, host=[server_at(server.port)])
        asyncio.run(serve(scene))
    with scene.watch.store.write() as connection:
        now = int(scene.watch.clock().timestamp())
        assert leases.take(connection, "monitor", "another", now, 60) is not None


@pytest.mark.medium
def test_only_one_of_two_services_probes(watch_over: WatchOver, intermediate: Authority) -> None:
    leaf = intermediate.issue("localhost")
    with LabServer(leaf) as server:
        scene = watch_over(leaf, host=[server_at(server.port)])
        one, other = (Scheduler(scene.watch, threading.Event()) for _ in range(2))
        assert one.run_round() == 1
        scene.pass_time(seconds=61)
        one.run_round()
        scene.pass_time(seconds=30)
        assert other.run_round() == 0
        assert other._lease is None
    assert rows(scene.watch.store)[0].count == 2


def test_a_service_that_lost_its_lease_stores_nothing(
    watch_over: WatchOver, intermediate: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaf = intermediate.issue("localhost")
    with LabServer(leaf) as server:
        scene = watch_over(leaf, host=[server_at(server.port)])
        scheduler = Scheduler(scene.watch, threading.Event())
        asked = scheduler._prober.probe

        def slowly(jobs: Any) -> Any:
            for result in asked(jobs):
                scene.pass_time(hours=1)
                with scene.watch.store.write() as connection:
                    now = int(scene.watch.clock().timestamp())
                    assert leases.take(connection, "monitor", "another", now, 60)
                yield result

        monkeypatch.setattr(scheduler._prober, "probe", slowly)
        assert scheduler.run_round() == 0
    assert rows(scene.watch.store) == []


@pytest.mark.medium
def test_silence_counts_only_while_the_service_runs(
    watch_over: WatchOver, intermediate: Authority
) -> None:
    leaf = intermediate.issue("localhost")
    with LabServer(leaf) as server:
        scene = watch_over(leaf, host=[server_at(server.port)])
        scene.confirm()
    scene.pass_time(hours=2)
    assert scene.rules() == {"monitor-silent"}
    scene.round()
    assert "vantage-silent" not in scene.rules()
    with scene.watch.store.read() as connection:
        (row,) = connection.execute(select(VANTAGES))
    assert row.since == row.asked_at


@pytest.mark.medium
@pytest.mark.parametrize("minutes", [120, 59])
def test_a_start_after_a_pause_is_no_silence(
    watch_over: WatchOver, intermediate: Authority, minutes: int
) -> None:
    """After 59 of 60 minutes, the last result is too old, and the monitor not yet idle."""
    leaf = intermediate.issue("localhost")
    with LabServer(leaf) as server:
        scene = watch_over(leaf, host=[server_at(server.port)])
        scene.confirm()
        scene.pass_time(minutes=2)
        scene.round()  # schedules, and probes nothing
        scene.pass_time(minutes=minutes)
        evaluator = Evaluator(scene.watch)
        evaluator.run_once()
        assert open_rules(scene) == []
        evaluate_for(scene, evaluator, minutes=120)  # nothing probes
    assert open_rules(scene) == ["monitor-silent"]


@pytest.mark.medium
def test_a_server_that_is_removed_from_the_settings_does_not_count(
    watch_over: WatchOver, intermediate: Authority
) -> None:
    good, bad = intermediate.issue("localhost"), intermediate.issue("localhost")
    with LabServer(good) as server, LabServer(bad) as other:
        scene = watch_over(
            good, host=[server_at(server.port), server_at(443, connect=f"127.0.0.1:{other.port}")]
        )
        scene.confirm()
        assert scene.rules() == {"pin-mismatch"}
        assert scene.host().status == "broken"
        scene.configure(host=[server_at(server.port)])
        scene.round()
        assert scene.host().status == "holds"
        assert scene.rules() == set()
        # Hours later it is added again, as a new target that was not silent before.
        for _ in range(3):
            scene.pass_time(minutes=50)
            scene.round()
        scene.configure(
            host=[server_at(server.port), server_at(443, connect=f"127.0.0.1:{other.port}")]
        )
        assert scene.rules() == set()


@pytest.mark.medium
def test_an_unreadable_pin_file_ends_no_sighting(
    watch_over: WatchOver, intermediate: Authority
) -> None:
    leaf = intermediate.issue("localhost")
    with LabServer(leaf) as server:
        scene = watch_over(leaf, host=[server_at(server.port)])
        scene.confirm()
        (scene.folder / "pins.toml").write_text("schema = ")
        scene.configure(host=[])
        scene.round()
    assert [row.latest for row in rows(scene.watch.store)] == [True]


@pytest.mark.medium
def test_the_sightings_of_targets_that_only_another_instance_knows_are_not_ended(
    watch_over: WatchOver, intermediate: Authority
) -> None:
    leaf = intermediate.issue("localhost")
    with LabServer(leaf) as server:
        scene = watch_over(leaf, host=[server_at(server.port)], vantages=["local", "fra1"])
        scene.round()
        record_other(scene)
        scene.configure(host=[])
        scene.round()
        assert {row.latest for row in rows(scene.watch.store)} == {True}
        with scene.watch.store.read() as connection:
            assert len(connection.execute(select(VANTAGES)).all()) == 2
        scene.pass_time(minutes=2)
        scene.round()
    assert True not in {row.latest for row in rows(scene.watch.store) if row.port == server.port}


@pytest.mark.medium
def test_a_new_target_is_awaited_while_the_files_of_instances_differ(
    watch_over: WatchOver, intermediate: Authority
) -> None:
    """Otherwise a host that a location never probes would raise no alert."""
    leaf = intermediate.issue("localhost")
    with LabServer(leaf) as server:
        scene = watch_over(leaf, host=[server_at(server.port)], vantages=["local", "fra1"])
        scene.round()
        scene.configure(host=[server_at(server.port)], vantages=["local", "fra1", "ams2"])
        record_other(scene, few=7)
        scene.round()
        assert awaited_locations(scene) == {"fra1", "ams2"}
        scene.configure(host=[server_at(server.port)])
        scene.round()
        assert awaited_locations(scene) == {"fra1", "ams2"}, "the other one may know it"
        scene.pass_time(minutes=2)
        scene.round()
        assert awaited_locations(scene) == set()


def awaited_locations(scene: Scene) -> set[str]:
    with scene.watch.store.read() as connection:
        return {location for *_, location in awaited_since(connection)}


@pytest.mark.medium
def test_an_instance_with_older_pins_leaves_probes_to_one_with_newer_ones_for_a_while(
    watch_over: WatchOver, intermediate: Authority
) -> None:
    leaf = intermediate.issue("localhost")
    with LabServer(leaf) as server:
        scene = watch_over(leaf, host=[server_at(server.port)], timeout="20s")
        scheduler = Scheduler(scene.watch, threading.Event())
        record_other(scene, version=2)
        assert scheduler.run_round() == 0
        scene.pass_time(seconds=6 * 20)
        record_other(scene, version=2)
        assert scheduler.run_round() == 1, "the other one didn't take the lease"
        scene.pass_time(seconds=10 * 6 * 20)
        record_other(scene, version=2)
        assert scheduler.run_round() == 0
        scene.pass_time(seconds=91)
        assert scheduler.run_round() == 1, "the other one doesn't run any more"


def record_other(scene: Scene, version: int = 1, **alerts: Any) -> None:
    """Store the files of another instance, which runs."""
    settings, now = scene.watch.settings, int(scene.now[0].timestamp())
    (found,) = scene.watch.pin_files.snapshot().sets
    found = replace(found, pins=replace(found.pins, version=version))
    settings = replace(settings, alerts=replace(settings.alerts, **alerts))
    with scene.watch.store.write() as connection:
        record_files(connection, InstanceFiles.of("other", settings, [found]), now)


@pytest.mark.medium
def test_a_restart_without_a_readable_pin_file_resolves_no_alert(
    watch_over: WatchOver, intermediate: Authority
) -> None:
    leaf, other = intermediate.issue("localhost"), intermediate.issue("localhost")
    with LabServer(other) as server:
        host = [server_at(server.port)]
        scene = watch_over(leaf, host=host)
        scene.confirm()
        Evaluator(scene.watch).run_once()
        pins = (scene.folder / "pins.toml").rename(scene.folder / "moved.toml")
        scene.configure(host=host)  # a new process, which never read the file
        evaluator = Evaluator(scene.watch)
        go_on(scene, evaluator, rounds=4)
        assert open_rules(scene) == ["pin-file-unreadable", "pin-mismatch"]
        pins.rename(scene.folder / "pins.toml")
        go_on(scene, evaluator, rounds=1)
        assert "pin-mismatch" in open_rules(scene)
        scene.pin(other.pin, version=2)
        go_on(scene, evaluator, rounds=3)
    assert "pin-mismatch" not in open_rules(scene)
    assert "pin-file-unreadable" not in open_rules(scene)


@pytest.mark.medium
def test_a_running_service_evaluates_with_the_last_readable_pin_file(
    watch_over: WatchOver, intermediate: Authority
) -> None:
    leaf = intermediate.issue("localhost")
    with LabServer(leaf) as server:
        scene = watch_over(leaf, host=[server_at(server.port)])
        scene.confirm()
        scene.found()
        scene.pass_time(hours=2)
        evaluator = Evaluator(scene.watch)
        evaluate_for(scene, evaluator, minutes=60)
        assert open_rules(scene) == ["monitor-silent"]
        (scene.folder / "pins.toml").unlink()
        go_on(scene, evaluator, rounds=3)
    assert open_rules(scene) == ["pin-file-unreadable"]


def go_on(scene: Scene, evaluator: Evaluator, *, rounds: int) -> None:
    """Probe and evaluate so many times, with 20 minutes before each."""
    for _ in range(rounds):
        evaluate_for(scene, evaluator, minutes=20)
        scene.round()
        evaluator.run_once()


def evaluate_for(scene: Scene, evaluator: Evaluator, *, minutes: int) -> None:
    """Evaluate each minute: a longer time between two evaluations counts as a jump of the time."""
    for _ in range(minutes):
        scene.pass_time(minutes=1)
        evaluator.run_once()


def open_rules(scene: Scene) -> list[str]:
    with scene.watch.store.read() as connection:
        return sorted(alert.rule for alert in open_alerts(connection))


def test_a_location_that_is_removed_from_the_settings_is_not_silent(
    watch_over: WatchOver, intermediate: Authority
) -> None:
    leaf = intermediate.issue("localhost")
    with LabServer(leaf) as server:
        scene = watch_over(leaf, host=[server_at(server.port)], vantages=["local", "fra1"])
        scene.round()
        scene.configure(host=[server_at(server.port)])
        scene.round()
    with scene.watch.store.read() as connection:
        assert [row.name for row in connection.execute(select(VANTAGES))] == ["local"]
