"""A service on several machines: its programs are killed and disconnected one after another.

Two services, a writer, two workers, NATS and PostgreSQL run as separate processes. Their disks get
full, and the clock of certpin's processes jumps. Order and pauses are random: CERTPIN_SEED repeats
those of a failed run, as far as timing allows.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import random
import sys
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

import pytest
from sqlalchemy import func, select, text

from certpin.errors import StoreError
from certpin.lab import Authority, LabServer
from certpin.pins import utc_now
from certpin_watch.auth.credentials import make_token
from certpin_watch.permissions import worker_scope
from certpin_watch.store import migrate, open_store
from certpin_watch.store.tables.observations import LATEST, REPORT_GROUPS, SIGHTINGS
from certpin_watch.store.tables.service import TELLINGS
from tests import kit
from tests.servers import disk
from tests.servers._run import free_port, running, scratch
from tests.servers.nats import nats
from tests.servers.postgres import cluster
from tests.watch import _clock
from tests.watch._sums import assert_sums_are_right
from tests.watch.cli.test_serve import chat
from tests.watch.collector import bodies
from tests.watch.collector.network import line

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from certpin_watch.store import Store
    from tests.watch.collector.network import Line

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
_HASTY = [sys.executable, "-m", "tests.watch._hasty"]
_BAD = "bad.bank.example"
_VANTAGES = ("ams1", "fra1")
_PATIENCE = 60.0

_SETTINGS = """\
store = "{store}"
nats = "nats://127.0.0.1:{nats}"
pins = ["{folder}/pins.toml"]

[collector]
rate = 1000000
burst = 1000000
stream_bytes = 67108864

[monitor]
vantage = ""
vantages = ["ams1", "fra1"]
interval = "2s"
confirm = "1s"
timeout = "1s"

{hosts}
[alerts]
every = "1s"
hold = "1h"
deadline = "2s"

[[alerts.tell]]
name = "chat"
url = "{chat}"
hosts = ["bad.bank.example"]
rules = ["pin-mismatch"]
"""
_HOST = '[[monitor.host]]\nname = "{name}"\nconnect = "127.0.0.1:{port}"\n'
_PINS = '[[host]]\nname = "{name}"\ntrust = "root.pem"\n' + '[[host.pin]]\npin = "{}"\n' * 2


class Unit:
    """A program that the test kills and restarts."""

    def __init__(
        self, begin: Callable[[], contextlib.AbstractContextManager[subprocess.Popen[bytes]]]
    ) -> None:
        self._begin = begin
        self._ends = contextlib.ExitStack()
        self.restore()

    def restore(self) -> None:
        self._process = self._ends.enter_context(self._begin())

    def break_(self) -> None:
        """Kill the program with SIGKILL."""
        self._process.kill()
        self._process.wait()
        self._ends.close()

    def close(self) -> None:
        self._ends.close()


class Full:
    """The failure of a full disk, which the test causes and later ends.

    When the disk has room again, the program that uses it is restarted: PostgreSQL ends if it can't
    write its log, and NATS stores nothing after a failed write.
    """

    def __init__(self, small: disk.Disk, unit: Unit, use_up: Callable[[], None]) -> None:
        self._small = small
        self._unit = unit
        self._use_up = use_up

    def break_(self) -> None:
        self._small.fill()
        self._use_up()

    def restore(self) -> None:
        self._small.free()
        self._unit.break_()
        self._unit.restore()


class Cut:
    """The failure of the network between the services and NATS, which the test causes and later
    ends.
    """

    def __init__(self, cable: Line) -> None:
        self._cable = cable

    def break_(self) -> None:
        self._cable.open.clear()

    def restore(self) -> None:
        self._cable.open.set()


class Load:
    """Threads that send reports while the block runs, each report until the response has status
    2xx.
    """

    def __init__(self, ports: tuple[int, int]) -> None:
        self.acknowledged = [0, 0, 0]  # by thread; its marker is a version of an app
        self._ports = ports
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._go, args=(n,)) for n in range(3)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(_PATIENCE)
        assert not any(thread.is_alive() for thread in self._threads)

    @property
    def total(self) -> int:
        return sum(self.acknowledged)

    def _go(self, marker: int) -> None:
        for number in itertools.count():
            body = bodies.body(number * 3 + marker, **{"app-version": f"marker-{marker}"})
            attempts = itertools.cycle(self._ports)  # again at the other service: it counts once
            while not _post(next(attempts), body):
                time.sleep(0.05)
            self.acknowledged[marker] += 1
            if self._stop.wait(0.05):
                return


def _post(port: int, body: bytes) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=8)
    try:
        connection.request("POST", "/reports", body, {"Content-Type": "application/json"})
        return 200 <= connection.getresponse().status < 300
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _get(port: int, path: str, accept: str = "application/json") -> tuple[int, str]:
    """Return status and text; status 0 if the service doesn't answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    try:
        connection.request("GET", path, headers={"Accept": accept})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()


def _until(holds: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)  # many of these ask a service for a page


def _not_ready(port: int, word: str) -> bool:
    status, text = _get(port, "/readyz")
    return status == 503 and word in json.loads(text)["wrong"]


def _counted(store: Store) -> list[int]:
    columns = REPORT_GROUPS.c
    with store.read() as connection:
        rows = connection.execute(
            select(columns.app_version, func.sum(columns.count)).group_by(columns.app_version)
        )
        found = {name: int(number) for name, number in rows}
    return [found.pop(f"marker-{n}", 0) for n in range(3)] + list(found.values())


def _seen_since(store: Store, moment: int) -> set[tuple[str, str]]:
    """Return hosts and locations with a probe result since ``moment``, not in the future."""
    last = SIGHTINGS.c.last_at
    with store.read() as connection:
        rows = connection.execute(
            select(SIGHTINGS.c.host, SIGHTINGS.c.vantage).where(
                LATEST, last > moment, last <= time.time()
            )
        )
        return {(row.host, row.vantage) for row in rows}


def _all_sent(store: Store) -> bool:
    """Return True if there were notifications, and all of them are sent."""
    with store.read() as connection:
        told = connection.execute(select(TELLINGS.c.told_at)).scalars().all()
    return bool(told) and None not in told


def _check_sent(store: Store, sent: list[str], deaths: int) -> None:
    """Check that each notification was sent once, and at most once more for each killed process.

    A notification is sent again if the process that was sending it was killed. The first
    notification is the opening of an alert.

    Args:
        store: the store of the services.
        sent: the messages that arrived.
        deaths: the number of killed processes.
    """
    with store.read() as connection:
        rows = connection.execute(select(TELLINGS).order_by(TELLINGS.c.id)).all()
    assert rows[0].what == "opened"
    assert all(row.attempts <= 1 + deaths for row in rows)
    known = sum(row.told_at is not None for row in rows)
    assert 0 < known <= len(sent) <= sum(row.attempts for row in rows), (sent, rows)


def test_each_accepted_report_counts_once_whatever_is_killed(  # noqa: PLR0915  # a story
    tmp_path: Path, root: Authority, intermediate: Authority
) -> None:
    seed = int(os.environ.get("CERTPIN_SEED") or random.SystemRandom().randrange(2**32))
    print(f"CERTPIN_SEED={seed}")  # noqa: T201  # pytest shows it if the test fails
    rng = random.Random(seed)
    good, bad = intermediate.issue(bodies.HOST), intermediate.issue(_BAD)
    (tmp_path / "root.pem").write_bytes(root.pem)
    (tmp_path / "pins.toml").write_text(
        'schema = 1\nname = "bank-app"\nversion = 12\n'
        + _PINS.format(good.pin, kit.NOBODY, name=bodies.HOST)
        + _PINS.format(bad.pin, kit.NOBODY, name=_BAD)
    )
    ports, broker = (free_port(), free_port()), free_port()
    with contextlib.ExitStack() as ends:
        one, other = ends.enter_context(LabServer(good)), ends.enter_context(LabServer(bad))
        address, sent = ends.enter_context(chat())
        room = _disks(ends)
        database = ends.enter_context(cluster(disk=room.get("postgres")))
        clock = _clock.Clock(tmp_path / "clock")
        cable = ends.enter_context(line(broker))
        store = open_store(f"postgresql://postgres@127.0.0.1:{database.port}/postgres")
        ends.callback(store.close)

        def settings(name: str, way: int) -> Path:
            hosts = _HOST.format(name=bodies.HOST, port=one.port)
            hosts += _HOST.format(name=_BAD, port=other.port)
            url = f"postgresql://postgres@127.0.0.1:{database.port}/postgres"
            text = _SETTINGS.format(store=url, nats=way, folder=tmp_path, hosts=hosts, chat=address)
            (tmp_path / name).write_text(text)
            return tmp_path / name

        through, direct = settings("serve.toml", cable.port), settings("writer.toml", broker)

        def unit(*words: object, port: int | None = None) -> Unit:
            argv = [*_HASTY, *map(str, words)]
            listens = [] if port is None else [port]
            made = Unit(lambda: running(argv, listens, env=clock.variables, deadline=60.0))
            ends.callback(made.close)
            return made

        units: dict[str, Any] = {"postgres": Unit(database.running)}
        ends.callback(units["postgres"].close)
        units["nats"] = Unit(lambda: _nats(tmp_path / "nats", broker, room.get("nats")))
        ends.callback(units["nats"].close)
        migrate(store)
        for port in ports:
            listen = f"127.0.0.1:{port}"
            units[f"serve {port}"] = unit(
                "serve", "--config", through, "--listen", listen, port=port
            )
        units["writer"] = unit("watch", "writer", "--config", direct)
        for name, port in zip(_VANTAGES, ports, strict=True):
            file = tmp_path / f"token-{name}"
            file.write_text(_token(store, name))
            url = f"http://127.0.0.1:{port}"  # each worker uses another service
            units[name] = unit("watch", "worker", "--url", url, "--token-file", file)
        units["network"] = Cut(cable)
        units["clock"] = clock
        for name, small in room.items():
            use_up = (lambda: _use_up(store)) if name == "postgres" else (lambda: None)
            units[f"disk of {name}"] = Full(small, units[name], use_up)

        with Load(ports) as load:
            _until(lambda: load.total > 50, "nothing was taken in")
            other.use(intermediate.issue(_BAD))
            order = list(units)
            rng.shuffle(order)
            for name in order:
                print(f"{time.monotonic():.1f} {name}")  # noqa: T201  # likewise
                before = load.total
                units[name].break_()
                _see(name, ports, load)
                time.sleep(rng.uniform(0, 1))
                units[name].restore()
                more = before + rng.randrange(20, 60)
                _until(lambda more=more: load.total > more, f"nothing after {name}")  # type: ignore[misc]
            clock.step(timedelta(0))
        _until(lambda: _counted(store) == load.acknowledged, "not every report is counted")
        assert_sums_are_right(store)
        for port in ports:
            _until(lambda port=port: _get(port, "/readyz")[0] == 200, "not ready")  # type: ignore[misc]
        now = int(time.time())
        every = {(host, vantage) for host in (bodies.HOST, _BAD) for vantage in _VANTAGES}
        _until(lambda: _seen_since(store, now) == every, "a location does not probe")
        _until(lambda: _all_sent(store), "a notification was not sent")
        _until(lambda: not json.loads(_get(ports[0], "/api/v1/status")[1])["queue"]["messages"], "")
        assert _counted(store) == load.acknowledged
        _check_sent(store, sent, deaths=4)


def _token(store: Store, location: str) -> str:
    scopes = (worker_scope(location),)
    with store.write() as connection:
        return make_token(connection, location, scopes, by="test", now=utc_now())[1]


def _nats(
    stored: Path, port: int, small: disk.Disk | None
) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    @contextlib.contextmanager
    def server() -> Any:
        with nats(stored, port=port, disk=small) as found:
            yield found.process

    return server()


def _disks(ends: contextlib.ExitStack) -> dict[str, disk.Disk]:
    """Make small disks for NATS and for PostgreSQL's log; none if this machine forbids it."""
    if not disk.allowed():
        return {}
    folder, found = ends.enter_context(scratch(drop_root=True)), {}
    for name in ("nats", "postgres"):
        (folder / name).mkdir()
        found[name] = ends.enter_context(disk.small_disk(folder / name, 96 * 2**20))
    return found


def _use_up(store: Store) -> None:
    """Use up PostgreSQL's remaining log segments on the full disk, so that PostgreSQL ends."""
    with contextlib.suppress(StoreError):
        while True:
            with store.write() as connection:
                connection.execute(text("SELECT pg_switch_wal()"))


def _see(name: str, ports: tuple[int, int], load: Load) -> None:
    """Check that the other processes report the failure ``name``, and do the work that is
    unaffected.
    """
    port = ports[0]
    if name.endswith("postgres"):
        _until(lambda: _not_ready(port, "store"), "/readyz does not miss the store")
        assert _get(port, "/", "text/html")[0] == 503
        assert _get(port, "/healthz")[0] == 200
        before = load.total
        _until(lambda: load.total > before, "the stream takes no reports without the store")
    elif name == "clock":
        before = load.total
        _until(lambda: load.total > before + 20, "reports are not taken while the clock steps")
        assert _get(port, "/", "text/html")[0] == 200
    elif name.endswith("nats") or name == "network":
        _until(lambda: _not_ready(port, "stream"), "/readyz does not miss the stream")
        said = "be accepted now: NATS is unavailable"
        _until(lambda: said in _get(port, "/", "text/html")[1], "no page misses the stream")
        if name == "nats":  # a cut doesn't affect the writer, which has its own connection
            said = "Reports wait to be counted"
            _until(lambda: said in _get(port, "/about", "text/html")[1], "no page misses the queue")
    elif name.startswith("serve"):
        before = load.total
        _until(lambda: load.total > before + 5, "the other one does not go on")
    elif name in _VANTAGES:
        said = f"The location {name} is silent"
        _until(lambda: said in _get(port, "/about", "text/html")[1], "no page misses the vantage")
