"""Report intake of ``certpin serve``, compared with a bare ASGI application on the same server.

Both programs run at the same time. The load generator ``load`` sends reports of 3 kB to one and
then to the other, in pairs. The cost of a report is the CPU time of the server process, in user and
kernel mode. ``certpin serve`` responds to a report only when the report is durable: in SQLite, in
PostgreSQL, or in JetStream, from which the same process counts the reports in SQLite. The bare
application reads the body and responds with status 204.

``CERTPIN_REPORTS=1000000`` measures over a million reports; the default is 100,000.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import sqlite3
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tests.bench.paired import Figure
from tests.servers._run import LOOPBACK, free_port, running
from tests.servers.nats import nats
from tests.servers.postgres import postgres
from tests.watch.collector.bodies import HOST, template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_REPORTS = int(os.environ.get("CERTPIN_REPORTS", "100000"))
_WARM = 10_000  # reports before the measurement: then caches are full and memory is allocated
_PAIRS = 11  # loads of each program, in changing order
_ROOM = 16 * 1024**3  # bytes of NATS's streams
_PATIENCE = 600.0  # seconds to count the reports in the stream
_TICKS = os.sysconf("SC_CLK_TCK")
_BARE = [sys.executable, "-m", "tests.bench.bare"]
_CERTPIN = [sys.executable, "-m", "certpin"]

# The minimum share of the bare application's reports per CPU second. With JetStream, one process
# packs, publishes, fetches and counts each report.
_ON_SQLITE, _ON_POSTGRESQL, _ON_JETSTREAM = 0.35, 0.3, 0.25

_PINS = f"""\
schema = 1
name = "bank-app"
version = 12
[[host]]
name = "{HOST}"
expires = 2099-01-01
[[host.pin]]
pin = "sha256/ktu7Bv6aAKo1NOkV9MfxnxIdVPRfANDhmR5wkPyi2Vs="
[[host.pin]]
pin = "sha256/qx2dgB8AEbJ/gcsCIRB6THXLuYRICgXn8MpmvMHPTFY="
role = "backup"
"""
_SETTINGS = """\
listen = "{address}:{port}"
store = "{store}"
pins = ["pins.toml"]
{nats}

[access]
behind_proxy = true

[collector]
rate = 1000000
burst = 10000000
stream_bytes = {room}

[monitor]
vantage = ""
"""


@dataclass(frozen=True)
class Load:
    """One load of reports on a server: its cost in CPU seconds, and the load generator's result."""

    cpu: float
    rate: float  # reports per second of time, until all of them were counted
    said: dict[str, Any]


class Served:
    """A running server process that a benchmark sends reports to.

    ``counted`` returns the number of counted reports, for a server that counts them after its
    response; without it, a report with a response is processed.
    """

    def __init__(
        self, process: int, port: int, body: Path, counted: Callable[[], int] | None = None
    ) -> None:
        self.process = process
        self._port = port
        self._body = body
        self._counted = counted
        self._sent = 0
        self.load(_WARM)

    def load(self, count: int, *options: str) -> Load:
        """Send this many reports, and wait until all of them are processed."""
        cpu = cpu_of(self.process)
        command = [sys.executable, "-m", "tests.bench.load", str(self._port), str(self._body)]
        numbers = ["--count", str(count), "--first", str(self._sent)]
        done = subprocess.run(
            [*command, *numbers, "--forwarded", *options], check=True, stdout=subprocess.PIPE
        )
        self._sent += count
        said = json.loads(done.stdout)
        if said["statuses"] != {"204": count}:
            raise RuntimeError(f"not every report was taken in: {said['statuses']}")
        answered = time.monotonic()
        while self._counted is not None and self._counted() < self._sent:
            if time.monotonic() > answered + _PATIENCE:
                raise TimeoutError("reports in the stream are not counted")
            time.sleep(0.1)
        rate = count / (said["seconds"] + time.monotonic() - answered)
        return Load(cpu_of(self.process) - cpu, rate, said)


def figures() -> Iterator[Figure]:
    """Measure ``certpin serve`` with each kind of store, in turns with the bare application."""
    with TemporaryDirectory(prefix="certpin-bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        body = folder / "body.json"
        body.write_bytes(template())
        yield Figure("collector: size of a body", body.stat().st_size, " B")
        port = free_port()
        process = stack.enter_context(running([*_BARE, str(port)], port))
        bare = Served(process.pid, port, body)
        with _serving(folder / "sqlite", body, "sqlite:///watch.db") as server:
            yield from _measured("SQLite", bare, server, _ON_SQLITE)
        with postgres() as port:
            url = f"postgresql://postgres@{LOOPBACK}:{port}/postgres"
            with _serving(folder / "postgresql", body, url) as server:
                yield from _measured("PostgreSQL", bare, server, _ON_POSTGRESQL)
        with nats(folder / "nats", most=_ROOM) as stream:
            large = f'nats = "{stream.url}"'
            with _serving(folder / "jetstream", body, "sqlite:///watch.db", large) as server:
                yield from _measured("JetStream", bare, server, _ON_JETSTREAM)


@contextlib.contextmanager
def _serving(folder: Path, body: Path, store: str, large: str = "") -> Iterator[Served]:
    """Run ``certpin serve`` with a pin set and the default settings, pages and alerts included.

    Args:
        folder: a new folder for the settings and the database.
        body: the file from which the load generator makes its reports; it goes into the result.
        store: the URL of the database.
        large: the line of the settings that makes the service queue reports in NATS, as large
            installations do; empty to write them to the database directly.
    """
    folder.mkdir()
    port = free_port()
    (folder / "pins.toml").write_text(_PINS)
    settings = folder / "watch.toml"
    settings.write_text(
        _SETTINGS.format(address=LOOPBACK, port=port, store=store, nats=large, room=_ROOM // 2)
    )
    for words in (["migrate"], ["token", "add", "bench", "--scope", "read"]):
        command = [*_CERTPIN, "watch", *words, "--config", str(settings)]
        subprocess.run(command, check=True, capture_output=True)
    counted = (lambda: _counted(folder / "watch.db")) if large else None
    with running([*_CERTPIN, "serve", "--config", settings], port, deadline=60) as process:
        _wait_until_ready(port)
        yield Served(process.pid, port, body, counted)


def _wait_until_ready(port: int) -> None:
    """Wait until the server's ``/readyz`` succeeds, because it refuses reports before that.

    Raises ``TimeoutError`` after 60 seconds.
    """
    until = time.monotonic() + 60
    while time.monotonic() < until:
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.1)
    raise TimeoutError("certpin serve does not get ready")


def _measured(where: str, bare: Served, server: Served, promised: float) -> Iterator[Figure]:
    count, size = _REPORTS // _PAIRS, _resident(server.process)
    loads: dict[Served, list[Load]] = {bare: [], server: []}
    for turn in range(_PAIRS):
        for each in (bare, server) if turn % 2 else (server, bare):
            loads[each].append(each.load(count))
    name = f"certpin serve on {where}"
    pairs = zip(loads[bare], loads[server], strict=True)
    share = statistics.median(one.cpu / other.cpu for one, other in pairs)
    yield Figure(f"{name}: reports per CPU second / bare", share, limit=promised, at_least=True)
    for who, each in (("certpin serve", server), ("a bare ASGI application", bare)):
        cpu = statistics.median(load.cpu for load in loads[each])
        yield Figure(f"  beside it: reports per CPU second, {who}", count / cpu, "")
    capacity = statistics.median(load.rate for load in loads[server])
    yield Figure("  beside it: its capacity here, reports per second of time", capacity, "")
    grown = _resident(server.process) / size
    yield Figure(f"{name}: resident size after {count * _PAIRS:,} more", grown, limit=1.1)
    half = server.load(max(_REPORTS // 4, 10_000), "--rate", str(capacity / 2)).said
    full = statistics.median(load.said["p50"] for load in loads[server])
    yield Figure(f"{name}: median wait, half of its capacity / all", half["p50"] / full, limit=1.5)
    yield Figure("  beside it: median wait at half of its capacity", half["p50"] * 1000, " ms")
    yield Figure("  beside it: one in a hundred waits longer than", half["p99"] * 1000, " ms")


def cpu_of(process: int) -> float:
    """Return the CPU seconds of a process so far, of all threads (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _resident(process: int) -> int:
    """Return the resident memory of a process in kB."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    if found is None:
        raise RuntimeError("the server is gone")
    return int(found[1])


def _counted(database: Path) -> int:
    """Return the number of reports that a server has counted in its SQLite database so far."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT sum(count) FROM report_groups").fetchone()[0] or 0
