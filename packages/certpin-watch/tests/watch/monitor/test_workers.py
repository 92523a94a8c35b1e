"""Workers over HTTPS: a real service and real worker processes, on both databases."""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
import urllib.error
import urllib.request
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from certpin.lab import LabServer
from certpin_watch import service
from certpin_watch.api import workers as workers_api
from certpin_watch.application import application
from certpin_watch.auth.credentials import make_token
from certpin_watch.health import ProcessHealth
from certpin_watch.monitor import scheduler
from certpin_watch.monitor.results import (
    MAX_REQUEST,
    AddressResult,
    JobRequest,
    ProbeJob,
    ProbeResult,
)
from certpin_watch.monitor.uplink import ServiceAccess, ServiceLink, parse_service_url
from certpin_watch.monitor.worker import WorkerEvents, _Worker
from certpin_watch.permissions import WORKER_JOBS, WORKER_RESULTS, worker_scope
from certpin_watch.store.accounts import revoke_token
from certpin_watch.store.queries.freshness import workers
from certpin_watch.store.tables.observations import SIGHTINGS
from certpin_watch.store.tables.service import TOKENS
from tests import kit
from tests.cli.conftest import program
from tests.probe.scan._servers import Server, say_nothing
from tests.servers._run import free_port
from tests.watch.monitor.conftest import scene_of

if TYPE_CHECKING:
    import subprocess
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from certpin.lab import Authority, Identity
    from certpin_watch.store import Store
    from tests.watch.monitor.conftest import Scene

pytestmark = pytest.mark.slow

DEADLINE = 30.0
SILENT = AddressResult("127.0.0.1", "unreachable", problem="connection refused")
ONE_PROCESS = "0123456789abcdef"


@dataclass
class Site:
    """A service with TLS and a pin file, and methods that create tokens, run workers and send
    requests.
    """

    scene: Scene
    folder: Path
    identity: Identity

    @property
    def url(self) -> str:
        return f"https://localhost:{self.scene.watch.settings.listen[1]}"

    def token(self, location: str = "fra1", *scopes: str) -> str:
        with self.scene.watch.store.write() as connection:
            now = self.scene.watch.clock()
            wanted = scopes or (worker_scope(location),)
            return make_token(connection, f"test {location}", wanted, by="test", now=now)[1]

    def worker(
        self, token: str, *more: str | Path, ca: bool = True, **options: Any
    ) -> subprocess.Popen[str]:
        file = self.folder / f"token-{token[8:20]}"
        file.write_text(f"{token}\n")
        trust = ("--ca-file", self.folder / "root.pem") if ca else ()
        words = ("--url", self.url, "--token-file", file, *trust, *more)
        return program("watch", "worker", *words, **options)

    def ask(
        self, path: str, token: str = "", body: Any = None, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """Send a request. Return the status, and the JSON of the response."""
        data = body if body is None or isinstance(body, bytes) else msgspec.json.encode(body)
        request = urllib.request.Request(f"{self.url}{path}", data)
        named = {"Authorization": f"Bearer {token}"} if token else {}
        named |= {"Content-Type": "application/json"} if data is not None else {}
        for name, value in (named | headers).items():
            request.add_header(name, value)
        context = ssl.create_default_context(cafile=self.folder / "root.pem")
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE, context=context) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as exc:
            with exc:
                status, text = exc.code, exc.read()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, {}

    def rows(self) -> list[Any]:
        with self.scene.watch.store.read() as connection:
            return list(connection.execute(select(SIGHTINGS)))


@pytest.fixture
def site(
    sqlite_store: Store,
    root: Authority,
    intermediate: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Site]:
    """Return a function that makes a ``Site`` on SQLite.

    Its arguments are the identities with their keys in the pin file, all for ``localhost``, and
    settings of the monitor.
    """
    return maker(sqlite_store, root, intermediate, tmp_path, monkeypatch)


@pytest.fixture
def any_site(
    store: Store,
    root: Authority,
    intermediate: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Site]:
    """Return a function that makes a ``Site``, on SQLite in one run and on PostgreSQL in another.

    Its arguments are the identities with their keys in the pin file, all for ``localhost``, and
    settings of the monitor.
    """
    return maker(store, root, intermediate, tmp_path, monkeypatch)


def maker(
    store: Store,
    root: Authority,
    intermediate: Authority,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Site]:
    monkeypatch.setattr(service, "TASKS", {"monitor": scheduler.run})
    identity = intermediate.issue("localhost")
    (folder / "chain.pem").write_bytes(identity.chain_pem)
    (folder / "key.pem").write_bytes(identity.key_pem)

    def make(*identities: Identity, **data: Any) -> Site:
        more = {
            "listen": ("127.0.0.1", free_port()),
            "tls": (folder / "chain.pem", folder / "key.pem"),
        }
        wanted = {"confirm": "1s", "timeout": "1s"} | data | more
        scene = scene_of(store, root, folder, identities or (identity,), wanted)
        return Site(scene, folder, identity)

    return make


def elsewhere(port: int, **more: Any) -> dict[str, Any]:
    return {"name": "localhost", "port": port, "vantages": ["fra1"]} | more


@asynccontextmanager
async def serving(site: Site) -> AsyncIterator[None]:
    """Run the service while the block runs, and end it as SIGTERM does."""
    stop, listening = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(service.serve(site.scene.watch, stop, listening.set))
    opened = asyncio.create_task(listening.wait())
    await asyncio.wait({task, opened}, return_when=asyncio.FIRST_COMPLETED)
    try:
        yield
    finally:
        opened.cancel()
        stop.set()
        await task


def while_serving(site: Site, story: Callable[[], Any]) -> Any:
    """Run the function ``story`` in a thread while the service runs, and return its result."""

    async def run() -> Any:
        async with serving(site):
            return await asyncio.to_thread(story)

    return asyncio.run(run())


def until(done: Callable[[], Any]) -> None:
    asyncio.run(_until(done))


async def _until(done: Callable[[], Any]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not await asyncio.to_thread(done):  # noqa: ASYNC110  # it waits for a database
            await asyncio.sleep(0.05)


def ended(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[int, str, str]:
    process.send_signal(number)
    out, err = process.communicate(timeout=DEADLINE)
    return process.returncode, out, err


def test_a_worker_needs_no_pin_file_and_its_results_are_checked(
    any_site: Callable[..., Site], intermediate: Authority
) -> None:
    good, bad = intermediate.issue("localhost"), intermediate.issue("localhost")
    with LabServer(good) as one, LabServer(bad) as other:
        here = {"name": "localhost", "port": one.port}
        made = any_site(good, host=[here, elsewhere(other.port)])

        def story() -> tuple[int, str, str]:
            worker = made.worker(made.token())
            until(lambda: len(made.rows()) == 2)
            made.scene.pass_time(seconds=61)
            until(lambda: all(row.count == 2 for row in made.rows()))
            return ended(worker)

        code, out, err = while_serving(made, story)
    assert (code, out) == (0, "")
    assert err.splitlines()[1:] == ["certpin: probing from fra1"]
    assert {row.vantage for row in made.rows()} == {"local", "fra1"}
    (finding,) = made.scene.found()
    assert (finding.rule, finding.details["vantage"]) == ("pin-mismatch", "fra1")


def test_two_workers_of_a_location_share_its_jobs(
    any_site: Callable[..., Site], intermediate: Authority
) -> None:
    """Each worker probes one target at a time, and waits a second for a silent server."""
    with Server(say_nothing) as server:
        connect = f"127.0.0.1:{server.port}"
        hosts = [elsewhere(port, connect=connect) for port in range(1, 5)]
        made = any_site(host=hosts)

        def story() -> list[tuple[int, str, str]]:
            workers = [made.worker(made.token(), "--window", "1", "--json") for _ in range(2)]
            until(lambda: len(made.rows()) == len(hosts))
            return [ended(worker) for worker in workers]

        for code, out, err in while_serving(made, story):
            events = [json.loads(line) for line in out.splitlines()]
            assert [event["event"] for event in events[:2]] == ["begun", "connected"]
            assert sum(event.get("results", 0) for event in events) > 0
            assert (code, err) == (0, "")
    assert {row.count for row in made.rows()} == {1}


def test_the_job_of_a_killed_worker_goes_to_another(
    any_site: Callable[..., Site], intermediate: Authority
) -> None:
    """The first worker is killed while it waits for a server that sends nothing."""
    leaf = intermediate.issue("localhost")
    with Server(say_nothing) as server, LabServer(leaf) as good:
        hosts = [elsewhere(server.port), elsewhere(good.port)]
        made = any_site(leaf, host=hosts, timeout="2s")

        def story() -> tuple[int, str, str]:
            first = made.worker(made.token())
            until(lambda: server.connections)
            first.kill()
            first.communicate(timeout=DEADLINE)
            made.scene.pass_time(seconds=61)
            second = made.worker(made.token())
            until(lambda: len(made.rows()) == 2)
            return ended(second)

        assert while_serving(made, story)[0] == 0
    assert sorted(row.outcome for row in made.rows()) == ["unreachable", "verified"]


def test_a_stopped_worker_returns_its_jobs_at_once(site: Callable[..., Site]) -> None:
    with Server(say_nothing) as server:
        made = site(host=[elsewhere(server.port)], timeout="60s")

        def story() -> dict[str, Any]:
            worker = made.worker(made.token())
            until(lambda: server.connections)
            assert ended(worker)[0] == 0
            body = {"process": ONE_PROCESS, "most": 9}
            return made.ask(WORKER_JOBS, made.token(), body)[1]

        assert [job["port"] for job in while_serving(made, story)["jobs"]] == [server.port]


def test_a_revoked_token_ends_its_worker_with_the_reason(
    any_site: Callable[..., Site],
) -> None:
    made = any_site(vantages=["local", "fra1"])
    token = made.token()

    def story() -> tuple[str, str, int]:
        worker = made.worker(token)
        assert worker.stderr
        first, second = worker.stderr.readline(), worker.stderr.readline()
        with made.scene.watch.store.write() as connection:
            revoke_token(connection, token[8:20], made.scene.watch.clock())
        _, err = worker.communicate(timeout=DEADLINE)
        return first + second, err, worker.returncode

    begun, err, code = while_serving(made, story)
    assert "certpin: probing from fra1" in begun
    assert "does not accept this token: it was revoked" in err
    assert "fix: make a new one" in err
    assert (code, token in begun + err) == (2, False)


def test_a_worker_continues_when_the_service_is_back(
    site: Callable[..., Site], intermediate: Authority
) -> None:
    leaf = intermediate.issue("localhost")
    with LabServer(leaf) as server:
        made = site(leaf, host=[elsewhere(server.port)])
        worker = made.worker(made.token())  # before the service runs
        assert worker.stderr
        assert "asking https://localhost" in worker.stderr.readline()
        assert "cannot be reached" in worker.stderr.readline()
        assert "fix: check the address" in worker.stderr.readline()
        while_serving(made, lambda: until(made.rows))
        made.scene.pass_time(seconds=61)
        while_serving(made, lambda: until(lambda: made.rows()[0].count == 2))
        code, _, err = ended(worker)
    assert (code, "certpin: probing from fra1" in err) == (0, True)
    assert [row.outcome for row in made.rows()] == ["verified"]


def test_a_worker_that_sends_false_results_changes_nothing(any_site: Callable[..., Site]) -> None:
    made = any_site(host=[elsewhere(443, vantages=["fra1", "ams1"])])
    mine, theirs = made.token("fra1"), made.token("ams1")
    job: dict[str, Any] = {}

    def post(results: Any, token: str = mine, **more: str) -> tuple[int, dict[str, Any]]:
        return made.ask(WORKER_RESULTS, token, {"process": ONE_PROCESS, "results": results}, **more)

    def story() -> None:
        _, batch = made.ask(WORKER_JOBS, mine, {"process": ONE_PROCESS, "most": 9})
        (found,) = batch["jobs"]
        job.update({name: found[name] for name in ("host", "port", "way", "slot", "vantage")})
        seen = [msgspec.to_builtins(SILENT)]
        good = job | {"at": job["slot"], "seen": seen}
        for fields, fate in (
            ({"vantage": "ams1"}, "foreign"),
            ({"slot": job["slot"] - 1}, "not-held"),
            ({"host": "unasked.test"}, "unasked"),
        ):
            assert post([good | fields]) == (200, {"fates": [fate]})
        assert post([good], theirs) == (200, {"fates": ["foreign"]})
        assert post([good | {"vantage": "ams1"}], theirs) == (200, {"fates": ["not-held"]})
        for wrong in (
            *([], [good] * 300, [good | {"command": "rm"}], [good | {"seen": []}]),
            *([good | {"certificates": ["%%"]}], [good | {"at": -1}]),
        ):
            assert post(wrong)[0] == 400
        giant = {"Content-Length": str(MAX_REQUEST + 1)}  # refused before the body
        assert made.ask(WORKER_RESULTS, mine, b"", **giant)[0] == 413
        assert made.ask(WORKER_RESULTS, mine, b"{" * 100_000)[0] == 400
        assert post([good], **{"Content-Type": "text/plain"})[0] == 415
        assert made.rows() == []
        assert post([good]) == (200, {"fates": ["kept"]})

    while_serving(made, story)
    (row,) = made.rows()
    assert (row.host, row.vantage, row.count, row.slot) == ("localhost", "fra1", 1, job["slot"])


def test_results_that_are_too_large_for_one_request_are_divided(
    site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = site(host=[elsewhere(port) for port in range(1, 8)])
    token, said = made.token(), list[str]()

    class Events(WorkerEvents):
        def trouble(self, problem: str, fix: str) -> None:
            said.append(f"{problem}; {fix}")

    async def run() -> None:
        access = ServiceAccess(parse_service_url(made.url), lambda: token, made.folder / "root.pem")
        async with serving(made), ServiceLink(access) as link:
            worker = _Worker(link, asyncio.Event(), 8, Events())
            jobs = (await link.jobs(JobRequest(worker._process, 8))).jobs
            results = [
                ProbeResult(
                    *(job.host, job.port, job.way, job.location),
                    *(job.slot, job.slot, (SILENT,), (bytes(500 * job.port),)),
                )
                for job in jobs
            ]
            monkeypatch.setattr(workers_api, "MAX_REQUEST", 4000)
            await worker._deliver(results)

    asyncio.run(run())
    # Only the results that no request can carry are lost: of 3,000 and 3,500 bytes, in base64.
    assert sorted(row.port for row in made.rows()) == [1, 2, 3, 4, 5]
    (problem,) = said
    assert "(413)" in problem
    assert "bodies of 4 MiB" in problem


def test_only_a_token_of_a_worker_permits_the_urls_of_workers_and_nothing_else(
    site: Callable[..., Site],
) -> None:
    made = site(vantages=["local", "fra1"])
    worker, admin = made.token(), made.token("", "read", "metrics", "silence", "admin")

    def story() -> None:
        for path in ("/", "/api/v1/hosts", "/api/v1/openapi.json", "/metrics", "/tokens", "/audit"):
            assert made.ask(path, worker)[0] == 403, path
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        assert made.ask("/api/v1/alerts/1/acknowledge", worker, b"note=x", **form)[0] == 403
        assert made.ask("/tokens", worker, b"name=x&scope=admin", **form)[0] == 403
        for path in (WORKER_JOBS, WORKER_RESULTS):
            assert made.ask(path, admin, {"process": ONE_PROCESS})[0] == 403
            assert made.ask(path, "", {"process": ONE_PROCESS})[0] in {401, 403}
            assert made.ask(path, worker)[0] == 405

    while_serving(made, story)


def test_a_worker_reports_a_wrong_certificate_or_address(
    site: Callable[..., Site],
) -> None:
    made = site(vantages=["local", "fra1"])
    token = made.token()

    def story() -> list[tuple[int, str]]:
        workers = [
            made.worker(token, ca=False),
            made.worker(token, "--url", f"{made.url}/pages"),
            made.worker(made.token("", "read")),
        ]
        return [(worker.wait(DEADLINE), worker.communicate()[1]) for worker in workers]

    for (code, err), words in zip(
        while_serving(made, story),
        ("does not verify", "is not the address of a monitoring service", "not that of a worker"),
        strict=True,
    ):
        assert (code, words in err, "\n  fix: " in err) == (2, True, True), err


def test_the_service_must_match_the_pins_of_its_host(site: Callable[..., Site]) -> None:
    made = site(vantages=["local", "fra1"])
    token, pins = made.token(), made.folder / "service.toml"
    entry = '[[host.pin]]\npin = "{}"\n'

    def written(*found: Any) -> Path:
        head = 'schema = 1\nname = "service"\nversion = 1\n[[host]]\nname = "localhost"\n'
        pins.write_text(head + 'trust = "root.pem"\n' + "".join(map(entry.format, found)))
        return pins

    def story() -> tuple[int, str, str]:
        wrong = made.worker(token, "--pins", written(kit.NOBODY), ca=False)
        _, refused = wrong.communicate(timeout=DEADLINE)
        right = made.worker(token, "--pins", written(made.identity.pin, kit.NOBODY), ca=False)
        assert right.stderr
        first = right.stderr.readline(), right.stderr.readline()
        assert "probing from fra1" in first[1], first
        return wrong.returncode, refused, str(ended(right)[0])

    code, refused, right = while_serving(made, story)
    assert (code, right) == (2, "0")
    assert "pin" in refused
    with made.scene.watch.store.read() as connection:
        used = connection.execute(select(TOKENS.c.used_at)).scalars().all()
    assert used[0] is not None  # by the second worker: the first one sent no token


def test_a_body_that_is_too_large_is_refused_while_it_is_read(site: Callable[..., Site]) -> None:
    made = site(vantages=["local", "fra1"])
    headers = {"Authorization": f"Bearer {made.token()}", "Content-Type": "application/json"}
    sent = 0

    def body() -> Iterator[bytes]:
        nonlocal sent
        while sent < 8 * MAX_REQUEST:
            sent += 2**20
            yield bytes(2**20)

    async def nothing(*_: Any) -> None:
        """Do nothing, as an ASGI application in place of the collector of reports."""

    app = application(made.scene.watch, nothing, ProcessHealth())
    with TestClient(app, base_url=made.url, client=("127.0.0.1", 40000)) as client:
        answer = client.post(WORKER_RESULTS, content=body(), headers=headers)
    assert answer.status_code == 413


def test_a_location_without_a_worker_token_is_named_at_the_start(
    site: Callable[..., Site],
) -> None:
    made = site(vantages=["local", "fra1", "ams1"])
    made.token("ams1")
    watch = made.scene.watch
    with watch.store.read() as connection:
        known = {worker.vantage for worker in workers(connection, watch.clock())}
    assert scheduler.locations_without_worker(watch.settings.monitor, known) == ["fra1"]


def test_results_and_jobs_have_the_same_identity() -> None:
    job = ProbeJob("localhost", 443, "", "fra1", 7)
    assert (
        ProbeResult("localhost", 443, "", "fra1", 7, at=8, seen=(SILENT,)).identity == job.identity
    )
