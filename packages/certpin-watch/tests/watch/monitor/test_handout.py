"""Check how the service distributes probe jobs to workers.

Each job goes to one worker, and only the result of this worker counts.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import DataError

from certpin_watch.monitor import handout
from certpin_watch.monitor.handout import LEASE, hand_out_jobs, store_results
from certpin_watch.monitor.results import AddressResult, JobRequest, ProbeResult
from certpin_watch.monitor.sightings import record_results
from certpin_watch.store.leases import WorkerIdentity
from certpin_watch.store.probes import awaited_since
from certpin_watch.store.tables.observations import SIGHTINGS
from certpin_watch.store.tables.service import LEASES
from tests.watch.monitor.conftest import scene_of

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lab import Authority
    from certpin_watch.monitor.results import ProbeJob
    from certpin_watch.store import Store
    from tests.watch.monitor.conftest import Scene

SILENT = AddressResult("127.0.0.1", "unreachable", problem="connection refused")
ONE, OTHER = (WorkerIdentity("fra1", "token:one", number * 16) for number in "12")
ELSEWHERE = WorkerIdentity("ams1", "token:one", "1" * 16)


@pytest.fixture
def scene(store: Store, root: Authority, intermediate: Authority, tmp_path: Path) -> Scene:
    """Return a service that probes four ports of one host from the locations fra1 and ams1."""
    hosts = [
        {"name": "localhost", "port": port, "vantages": ["fra1", "ams1"]}
        for port in (443, 444, 445, 446)
    ]
    return scene_of(store, root, tmp_path, (intermediate.issue("localhost"),), {"host": hosts})


def taken(
    scene: Scene, worker: WorkerIdentity = ONE, most: int = 256, **more: Any
) -> list[ProbeJob]:
    return list(hand_out_jobs(scene.watch, worker, JobRequest(worker.process, most, **more)).jobs)


def answer(job: ProbeJob, **fields: Any) -> ProbeResult:
    result = ProbeResult(
        *(job.host, job.port, job.way, job.location, job.slot), at=job.slot + 1, seen=(SILENT,)
    )
    return msgspec.structs.replace(result, **fields)


def rows(scene: Scene) -> list[Any]:
    with scene.watch.store.read() as connection:
        return list(connection.execute(select(SIGHTINGS).order_by(SIGHTINGS.c.port)))


def test_each_job_goes_to_one_worker(scene: Scene) -> None:
    first = taken(scene, ONE, 3)
    assert [len(first), len(taken(scene, OTHER)), len(taken(scene, OTHER))] == [3, 1, 0]
    assert len(taken(scene, ELSEWHERE)) == 4
    assert {job.location for job in first} == {"fra1"}


def test_the_jobs_of_a_worker_that_stops_asking_go_to_another(scene: Scene) -> None:
    jobs = taken(scene, ONE)
    kept, lost = jobs[:1], jobs[1:]
    scene.pass_time(seconds=LEASE - 1)
    assert taken(scene, OTHER) == []
    assert taken(scene, ONE, 0, held=[job.identity for job in kept]) == []
    scene.pass_time(seconds=1)
    assert {job.port for job in taken(scene, OTHER)} == {job.port for job in lost}
    assert (
        store_results(scene.watch, ONE, [answer(job) for job in jobs])
        == ["kept"] + ["not-held"] * 3
    )
    assert len(rows(scene)) == 1


def test_a_late_result_counts_while_no_other_worker_has_the_job(scene: Scene) -> None:
    (job, *_) = taken(scene, ONE)
    scene.pass_time(seconds=LEASE + 1)
    assert store_results(scene.watch, ONE, [answer(job)]) == ["kept"]


@pytest.mark.medium
def test_a_target_that_a_location_never_probes_is_found(scene: Scene) -> None:
    def deliver(minutes: int) -> None:
        """Let workers of both locations answer all jobs, except those of fra1 for port 446."""
        for _ in range(minutes // 20):
            scene.pass_time(minutes=20)
            scene.round()
            for worker in (ONE, ELSEWHERE):
                jobs = taken(scene, worker)
                kept = [job for job in jobs if (job.location, job.port) != ("fra1", 446)]
                store_results(scene.watch, worker, [answer(job) for job in kept])

    def silent() -> list[tuple[str, str]]:
        return [
            (finding.subject, finding.summary)
            for finding in scene.found()
            if finding.rule == "vantage-silent"
        ]

    scene.round()
    planned = scene.watch.clock()
    deliver(60)  # silent_after times interval
    assert silent() == []
    assert "not-seen-lately" not in scene.host().problems
    deliver(20)
    ((subject, summary),) = silent()
    assert subject.startswith("fra1 localhost:446 ")
    assert f"since it was added on {planned:%Y-%m-%d %H:%M} UTC" in summary
    assert "not-seen-lately" in scene.host().problems
    # After a pause, and after the clock was set back, each location has time again.
    scene.pass_time(hours=3)
    deliver(80)
    assert silent() == []
    deliver(20)
    assert [subject for subject, _ in silent()] == [subject]
    scene.pass_time(hours=-3)
    deliver(80)
    assert silent() == []
    deliver(20)
    assert [subject for subject, _ in silent()] == [subject]
    # The first result resolves it. A new location has time, too, and a removed one is not silent.
    scene.pass_time(seconds=LEASE + 1)
    (job,) = (job for job in taken(scene, ONE) if job.port == 446)
    store_results(scene.watch, ONE, [answer(job)])
    assert silent() == []
    for vantages in (["fra1", "iad1"], ["fra1"]):
        scene.configure(host=[{"name": "localhost", "port": 443, "vantages": vantages}])
        scene.round()
        assert silent() == []
        with scene.watch.store.read() as connection:
            assert {key[-1] for key in awaited_since(connection)} == set(vantages[1:])


def test_returned_jobs_go_to_another_worker_at_once(scene: Scene) -> None:
    identities = tuple(job.identity for job in taken(scene, ONE))
    taken(scene, OTHER, 0, returned=identities)  # jobs of the other worker
    assert taken(scene, OTHER) == []
    taken(scene, ONE, 0, returned=identities)
    assert len(taken(scene, OTHER)) == 4


def test_no_worker_can_renew_the_lease_of_another(scene: Scene) -> None:
    identities = tuple(job.identity for job in taken(scene, ONE))
    scene.pass_time(seconds=LEASE - 1)
    taken(scene, OTHER, 0, held=identities)
    scene.pass_time(seconds=2)
    assert len(taken(scene, ONE)) == 4


def test_a_result_that_is_sent_again_counts_once(scene: Scene) -> None:
    (job, *_) = taken(scene, ONE)
    result = answer(job, at=int(scene.watch.clock().timestamp()))
    assert store_results(scene.watch, ONE, [result, result]) == ["kept", "repeat"]
    assert store_results(scene.watch, ONE, [result]) == ["repeat"]
    assert store_results(scene.watch, OTHER, [result]) == ["repeat"]
    (row,) = rows(scene)
    assert (row.port, row.count, row.slot) == (job.port, 1, job.slot)
    assert job.port not in {other.port for other in taken(scene, OTHER)}


def test_results_for_other_locations_or_jobs_are_dropped(scene: Scene) -> None:
    jobs = taken(scene, ONE)
    theirs = taken(scene, ELSEWHERE)
    future = int(scene.watch.clock().timestamp()) + 3600
    forged = {
        "foreign": [answer(theirs[0]), answer(jobs[0], location="")],
        "unasked": [answer(jobs[0], host="unasked.test"), answer(jobs[0], port=447)],
        "not-held": [answer(jobs[0], slot=future, at=future), answer(jobs[0], slot=1)],
    }
    for fate, results in forged.items():
        assert store_results(scene.watch, ONE, results) == [fate, fate]
    assert store_results(scene.watch, OTHER, [answer(jobs[0])]) == ["not-held"]
    assert rows(scene) == []


def test_the_time_of_a_result_is_between_its_slot_and_now(
    scene: Scene,
) -> None:
    early, late, *_ = taken(scene, ONE)
    now = int(scene.watch.clock().timestamp())
    results = [answer(early, at=0), answer(late, at=now + 86400)]
    assert store_results(scene.watch, ONE, results) == ["kept", "kept"]
    assert {row.port: row.last_at for row in rows(scene)} == {
        early.port: early.slot,
        late.port: now,
    }


def test_a_result_that_no_database_accepts_does_not_hold_up_the_others(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = sorted(taken(scene, ONE), key=lambda job: job.port)
    invented = tuple(msgspec.structs.replace(SILENT, edge=f"192.0.2.{n}") for n in range(9))

    def picky(connection: Any, results: list[ProbeResult], now: Any) -> int:
        if any(result.port == 444 for result in results):
            raise DataError("INSERT", None, ValueError("it does not fit"))
        return record_results(connection, results, now)

    monkeypatch.setattr(handout, "record_results", picky)
    answers = [*map(answer, jobs[:3]), answer(jobs[3], seen=invented)]  # addresses that no job has
    assert store_results(scene.watch, ONE, answers) == ["kept", "unfit", "kept", "unasked"]
    assert [row.port for row in rows(scene)] == [443, 445]
    scene.pass_time(seconds=LEASE + 1)
    assert 444 not in {job.port for job in taken(scene, OTHER)}


@pytest.mark.parametrize(
    ("worker", "note"),
    [
        (WorkerIdentity("sin1", "token:one", "1" * 16), "add it to monitor.vantages"),
        (WorkerIdentity("local", "token:one", "1" * 16), "the service itself probes from local"),
    ],
)
def test_a_worker_that_gets_no_jobs_gets_the_reason(
    scene: Scene, worker: WorkerIdentity, note: str
) -> None:
    batch = hand_out_jobs(scene.watch, worker, JobRequest(worker.process, 9))
    assert (batch.jobs, note in batch.note) == ((), True)


def test_leases_of_jobs_are_removed(scene: Scene) -> None:
    store_results(scene.watch, ONE, [answer(job) for job in taken(scene, ONE)])
    for _ in range(3):
        scene.pass_time(seconds=3600)
        taken(scene, ONE)
    with scene.watch.store.read() as connection:
        assert len(connection.execute(select(LEASES)).all()) == 4


def test_a_lease_with_an_end_too_far_ahead_does_not_count(scene: Scene) -> None:
    taken(scene, ONE)
    tomorrow = int(scene.watch.clock().timestamp()) + 86400
    with scene.watch.store.write() as connection:
        connection.execute(update(LEASES).values(until=tomorrow))
    assert len(taken(scene, OTHER)) == 4


def test_a_job_that_was_done_since_it_was_planned_is_not_handed_out_again(scene: Scene) -> None:
    now = int(scene.watch.clock().timestamp())
    planned = handout._planned(scene.watch, "fra1", now)  # by a service that is slow then
    done = [answer(job, at=now) for job in taken(scene, ONE)]
    assert store_results(scene.watch, ONE, done) == ["kept"] * 4
    with scene.watch.store.write() as connection:
        assert handout._claim(connection, OTHER, planned, now) == []


@pytest.mark.slow
def test_concurrent_workers_get_each_job_once(scene: Scene) -> None:
    """Four workers in each of two locations take jobs, renew their leases and send results, all at
    once.
    """
    workers = [
        WorkerIdentity(at, f"token:{n}", f"{n:016x}") for at in ("fra1", "ams1") for n in range(4)
    ]
    given: list[tuple[str, int]] = []

    def go(worker: WorkerIdentity) -> None:
        for _ in range(10):
            jobs = taken(scene, worker, 1)
            held = tuple(job.identity for job in jobs)
            assert taken(scene, worker, 0, held=held) == []
            given.extend((job.location, job.port) for job in jobs)
            now = int(scene.watch.clock().timestamp())
            assert store_results(scene.watch, worker, [answer(job, at=now) for job in jobs]) == [
                "kept" for _ in jobs
            ]

    with ThreadPoolExecutor(len(workers)) as pool:
        for future in [pool.submit(go, worker) for worker in workers]:
            future.result()
    assert sorted(given) == [(at, port) for at in ("ams1", "fra1") for port in range(443, 447)]
    assert {row.count for row in rows(scene)} == {1}
