"""Workers over a real NATS server: nothing is lost, or counts twice, and nothing forged is kept."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import nats as client
import pytest
from sqlalchemy import select
from sqlalchemy.exc import DataError

from certpin.lab import Authority, LabServer
from certpin.watch.monitor import desk, link
from certpin.watch.monitor.desk import Desk
from certpin.watch.monitor.jobs import job_of
from certpin.watch.monitor.link import (
    JOBS,
    RESULTS,
    job_subject,
    make_streams,
    result_subject,
)
from certpin.watch.monitor.run import run
from certpin.watch.monitor.schedule import due
from certpin.watch.monitor.sightings import keep_results
from certpin.watch.monitor.targets import charges, targets_of
from certpin.watch.monitor.wire import Result, Seen, encode
from certpin.watch.monitor.worker import work
from certpin.watch.secret import Secret
from certpin.watch.store.tables.sightings import SIGHTINGS
from tests.probe.scan._servers import Server, say_nothing
from tests.servers.nats import nats

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from certpin.watch.monitor.wire import Job
    from tests.watch.monitor.conftest import Scene

    WatchOver = Callable[..., Scene]

DEADLINE = 30.0
SILENT = Seen("127.0.0.1", "unreachable", problem="nobody")
WORKER = """
import asyncio, sys
from certpin.watch.monitor.worker import work
from certpin.watch.secret import Secret
asyncio.run(work("fra1", Secret(sys.argv[1]), asyncio.Event()))
"""


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    with nats() as server:
        yield server.url


def elsewhere(port: int, **more: Any) -> dict[str, Any]:
    return {"name": "localhost", "port": port, "vantages": ["fra1"]} | more


def jobs_of(scene: Scene) -> list[Job]:
    settings, now = scene.watch.settings.monitor, scene.watch.clock()
    targets = targets_of(charges(scene.watch.watched.glance().sets, settings, now))
    found = due(targets, {}, settings, int(now.timestamp()))
    return [job_of(each, settings) for each in found]


def rows(scene: Scene) -> list[Any]:
    with scene.watch.store.read() as connection:
        return list(connection.execute(select(SIGHTINGS)))


@asynccontextmanager
async def emptied(url: str) -> AsyncIterator[Any]:
    """JetStream without the streams of another test."""
    connection = await client.connect(url)
    jetstream = connection.jetstream()
    for name in (JOBS, RESULTS):
        try:
            await jetstream.delete_stream(name)
        except client.js.errors.NotFoundError:
            continue
    yield jetstream
    await connection.close()


async def until(done: Callable[[], Any]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not await asyncio.to_thread(done):  # noqa: ASYNC110  # it waits for a database
            await asyncio.sleep(0.05)


@asynccontextmanager
async def going(*parts: Callable[[asyncio.Event], Any]) -> AsyncIterator[None]:
    """Run some parts beside the block, and stop them as a service is stopped."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for part in parts:
            group.create_task(part(stop))
        try:
            yield
        finally:
            stop.set()


@pytest.mark.slow
def test_a_worker_elsewhere_needs_no_pin_file_and_its_sightings_are_judged(
    broker: str, watch_over: WatchOver, intermediate: Authority
) -> None:
    good, bad = intermediate.issue("localhost"), intermediate.issue("localhost")

    async def serve(scene: Scene) -> None:
        async with (
            emptied(broker),
            going(
                lambda stop: run(scene.watch, stop), lambda stop: work("fra1", Secret(broker), stop)
            ),
        ):
            await until(lambda: len(rows(scene)) == 2)
            scene.pass_time(seconds=61)
            await until(lambda: all(row.count == 2 for row in rows(scene)))

    with LabServer(good) as one, LabServer(bad) as other:
        here = {"name": "localhost", "port": one.port}
        hosts = [here, elsewhere(other.port)]
        scene = watch_over(good, host=hosts, confirm="1s", nats=Secret(broker))
        asyncio.run(serve(scene))
    assert {row.vantage for row in rows(scene)} == {"local", "fra1"}
    (finding,) = scene.found()
    assert (finding.rule, finding.details["vantage"]) == ("pin-mismatch", "fra1")


def test_what_two_services_hand_out_is_there_once(
    broker: str, watch_over: WatchOver, intermediate: Authority
) -> None:
    async def hand_out(scene: Scene) -> int:
        async with emptied(broker) as jetstream:
            await make_streams(jetstream, scene.watch.settings.monitor)
            for _ in range(2):
                one = Desk(scene.watch)
                one._jetstream = jetstream
                for _ in range(2):
                    await one.hand_out(jobs_of(scene))
            info = await jetstream.stream_info(JOBS)
            return int(info.state.messages)

    leaf = intermediate.issue("localhost")
    scene = watch_over(leaf, host=[elsewhere(443), elsewhere(444)], nats=Secret(broker))
    assert asyncio.run(hand_out(scene)) == 2


@pytest.mark.slow
def test_a_job_of_a_worker_that_was_killed_goes_to_another(
    broker: str, watch_over: WatchOver, intermediate: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first worker hangs on a server that says nothing when it is killed."""
    monkeypatch.setattr(link, "JOB_PATIENCE", 1.0)
    leaf = intermediate.issue("localhost")

    async def serve(scene: Scene, server: Server) -> None:
        async with emptied(broker), going(lambda stop: run(scene.watch, stop)):
            process = await asyncio.to_thread(
                subprocess.Popen, [sys.executable, "-c", WORKER, broker], stdin=subprocess.DEVNULL
            )
            await until(lambda: server.connections)
            os.kill(process.pid, signal.SIGKILL)
            await asyncio.to_thread(process.wait)
            async with going(lambda stop: work("fra1", Secret(broker), stop)):
                await until(lambda: len(rows(scene)) == 2)

    with Server(say_nothing) as server, LabServer(leaf) as working:
        hosts = [elsewhere(server.port), elsewhere(working.port)]
        scene = watch_over(leaf, host=hosts, timeout="1s", confirm="1s", nats=Secret(broker))
        asyncio.run(serve(scene, server))
    assert sorted(row.outcome for row in rows(scene)) == ["unreachable", "verified"]
    assert all(row.count == 1 for row in rows(scene))


@pytest.mark.slow
def test_forged_and_repeated_results_count_for_nothing(
    broker: str, watch_over: WatchOver, intermediate: Authority
) -> None:
    leaf = intermediate.issue("localhost")
    ways = [elsewhere(443, vantages=["fra1", "ams1"])]
    scene = watch_over(leaf, host=ways, nats=Secret(broker))
    job = next(each for each in jobs_of(scene) if each.vantage == "fra1")
    good = Result(
        *(job.host, job.port, job.way, job.vantage, job.slot),
        at=job.slot + 1,
        seen=(SILENT,),
    )
    future = int(scene.watch.clock().timestamp()) + 3600
    forged = [
        b"junk",
        encode(msgspec.structs.replace(good, vantage="ams1")),
        encode(msgspec.structs.replace(good, host="unasked.test")),
        encode(msgspec.structs.replace(good, port=444)),
        encode(msgspec.structs.replace(good, slot=future, at=future)),
    ]

    async def serve() -> None:
        async with emptied(broker) as jetstream:
            await make_streams(jetstream, scene.watch.settings.monitor)
            for payload in [*forged, encode(good), encode(good)]:  # without an identity
                await jetstream.publish(result_subject("fra1"), payload)
            async with going(Desk(scene.watch).collect):
                async with asyncio.timeout(DEADLINE):
                    while (await jetstream.stream_info(RESULTS)).state.messages:  # noqa: ASYNC110
                        await asyncio.sleep(0.05)

    asyncio.run(serve())
    (row,) = rows(scene)
    assert (row.host, row.vantage, row.count, row.slot) == ("localhost", "fra1", 1, job.slot)


@pytest.mark.slow
def test_no_vantage_can_have_the_answer_of_another_dropped_as_a_repeat(
    broker: str, watch_over: WatchOver, intermediate: Authority
) -> None:
    """The identity of an answer follows from its job, and neighbours have jobs like it."""

    async def serve(scene: Scene) -> None:
        async with emptied(broker) as jetstream:
            await make_streams(jetstream, scene.watch.settings.monitor)
            for job in jobs_of(scene):
                named = {"Nats-Msg-Id": job.identity}
                await jetstream.publish(result_subject("ams1"), b"junk", headers=named)
                await jetstream.publish(job_subject("fra1"), encode(job))
            async with going(
                Desk(scene.watch).collect, lambda stop: work("fra1", Secret(broker), stop)
            ):
                await until(lambda: rows(scene))

    with LabServer(leaf := intermediate.issue("localhost")) as server:
        scene = watch_over(leaf, host=[elsewhere(server.port)], nats=Secret(broker))
        asyncio.run(serve(scene))
    assert [row.outcome for row in rows(scene)] == ["verified"]


def test_a_result_that_fits_into_no_store_stands_in_no_others_way(
    watch_over: WatchOver, intermediate: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = [elsewhere(port) for port in (443, 444, 445, 446)]
    scene = watch_over(intermediate.issue("localhost"), host=hosts, nats=Secret("nats://x"))
    answers = [
        Result(*(job.host, job.port, job.way, job.vantage, job.slot), job.slot, (SILENT,))
        for job in jobs_of(scene)
    ]
    invented = tuple(msgspec.structs.replace(SILENT, edge=f"192.0.2.{n}") for n in range(9))

    def picky(connection: Any, results: list[Result], now: Any) -> int:
        if any(each.port == 444 for each in results):
            raise DataError("INSERT", None, ValueError("it does not fit"))
        return keep_results(connection, results, now)

    monkeypatch.setattr(desk, "keep_results", picky)
    edges = msgspec.structs.replace(answers[-1], seen=invented)  # nobody asked at these
    assert Desk(scene.watch)._keep([*answers[:-1], edges])
    assert sorted(row.port for row in rows(scene)) == [443, 445]


@pytest.mark.slow
def test_a_broker_that_is_killed_and_comes_back_loses_nothing(
    watch_over: WatchOver, intermediate: Authority, tmp_path: Path
) -> None:
    leaf = intermediate.issue("localhost")

    async def serve(scene: Scene, port: int, url: str) -> None:
        async with going(
            lambda stop: run(scene.watch, stop), lambda stop: work("fra1", Secret(url), stop)
        ):
            with nats(tmp_path / "jetstream", port=port) as server:
                await until(lambda: len(rows(scene)) == 1)
                server.process.kill()
                server.process.wait()
            scene.pass_time(seconds=61)  # the second look is due while the broker is away
            await asyncio.sleep(0)
            with nats(tmp_path / "jetstream", port=port):
                await until(lambda: rows(scene)[0].count == 2)

    with nats() as first:  # for a free port
        port, url = first.port, first.url
    with LabServer(leaf) as server:
        scene = watch_over(leaf, host=[elsewhere(server.port)], confirm="1s", nats=Secret(url))
        asyncio.run(serve(scene, port, url))
    assert [row.outcome for row in rows(scene)] == ["verified"]


@pytest.mark.slow
def test_streams_that_somebody_deletes_are_made_anew_and_all_go_on(
    broker: str, watch_over: WatchOver, intermediate: Authority
) -> None:
    leaf = intermediate.issue("localhost")

    async def serve(scene: Scene) -> None:
        async with (
            emptied(broker) as jetstream,
            going(
                lambda stop: run(scene.watch, stop), lambda stop: work("fra1", Secret(broker), stop)
            ),
        ):
            await until(lambda: len(rows(scene)) == 1)
            for gone in ((JOBS, RESULTS), (JOBS,)):
                for name in gone:
                    await jetstream.delete_stream(name)
                before = rows(scene)[0].count
                scene.pass_time(seconds=1000)
                await until(lambda before=before: rows(scene)[0].count > before)  # type: ignore[misc]

    with LabServer(leaf) as server:
        scene = watch_over(leaf, host=[elsewhere(server.port)], confirm="1s", nats=Secret(broker))
        asyncio.run(serve(scene))


def test_without_a_broker_everything_else_goes_on_and_whoever_is_stopped_ends(
    watch_over: WatchOver, intermediate: Authority
) -> None:
    leaf = intermediate.issue("localhost")
    nobody = Secret("nats://127.0.0.1:1")

    async def serve(scene: Scene) -> None:
        async with going(
            lambda stop: run(scene.watch, stop), lambda stop: work("fra1", nobody, stop)
        ):
            await until(lambda: rows(scene))

    with LabServer(leaf) as server:
        scene = watch_over(leaf, host=[{"name": "localhost", "port": server.port}], nats=nobody)
        asyncio.run(asyncio.wait_for(serve(scene), DEADLINE))


def test_a_worker_ends_with_0_when_it_is_told_to(broker: str) -> None:
    command = [sys.executable, "-m", "certpin.cli.main", "watch", "worker", "--vantage", "fra1"]
    with subprocess.Popen(
        command, env={**os.environ, "CERTPIN_NATS": broker}, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        assert "looking from fra1" in process.stderr.readline()
        process.terminate()
        assert process.wait(DEADLINE) == 0
        assert broker not in process.stderr.read()
