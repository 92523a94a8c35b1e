"""The collector beside a bare ASGI application on the same server, which reads and says 204.

What it costs is the CPU time of its process, user and kernel, over reports of 3 kB that are each
durable before they are answered: in SQLite, and in JetStream. Beside it, what the writer costs,
which is a process of its own there. The load comes from another process (``load``).

``CERTPIN_REPORTS=1000000`` measures over a million reports; 100,000 without it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.paired import Figure
from tests.servers._run import free_port, running
from tests.servers.nats import nats
from tests.watch.collector.bodies import template

if TYPE_CHECKING:
    from collections.abc import Iterator

_REPORTS = int(os.environ.get("CERTPIN_REPORTS", "100000"))
_WARM = 10_000  # reports before anything is measured: caches are full then, and memory is had
_PROMISED = 5000  # reports a second on one core
_TICKS = os.sysconf("SC_CLK_TCK")
_ROOM = 16 * 1024**3  # bytes: none of them is counted before all of them are taken in
_SERVING = [sys.executable, "-m", "tests.watch.collector.serving"]
_BARE = [sys.executable, "-m", "tests.bench.bare"]


@dataclass(frozen=True)
class Load:
    """What a load came to: of the server CPU seconds and memory, of the answers their waits."""

    count: int
    cpu: float
    first_kb: int
    last_kb: int
    said: dict[str, Any]

    @property
    def per_core(self) -> float:
        """Reports for one second of CPU."""
        return self.count / self.cpu


class Served:
    """A server that is running, and loads on it."""

    def __init__(self, process: int, port: int, body: Path) -> None:
        self._process = process
        self._port = port
        self._body = body
        self._sent = 0

    def load(self, count: int, *options: str) -> Load:
        """Send so many, and look at what it took."""
        cpu, size = cpu_of(self._process), _resident(self._process)
        command = [sys.executable, "-m", "tests.bench.load", str(self._port), str(self._body)]
        numbers = ["--count", str(count), "--first", str(self._sent)]
        done = subprocess.run(
            [*command, *numbers, "--forwarded", *options], check=True, stdout=subprocess.PIPE
        )
        self._sent += count
        said = json.loads(done.stdout)
        if said["statuses"] != {"204": count}:
            raise RuntimeError(f"not every report was taken in: {said['statuses']}")
        last = _resident(self._process)
        return Load(count, cpu_of(self._process) - cpu, size, last, said)


def figures() -> Iterator[Figure]:
    """The bare server first, for the ratio."""
    with tempfile.TemporaryDirectory(prefix="certpin-bench-") as name:
        folder = Path(name)
        body = folder / "body.json"
        body.write_bytes(template())
        yield Figure("collector: size of a body", body.stat().st_size, " B")
        port = free_port()
        with running([*_BARE, str(port)], port) as process:
            server = Served(process.pid, port, body)
            server.load(_WARM)
            bare = server.load(_REPORTS).per_core
        url = f"sqlite:///{folder}/watch.db"
        yield from _measured("SQLite", bare, body, [url])
        yield from _on_jetstream(folder, bare, body)


def _on_jetstream(folder: Path, bare: float, body: Path) -> Iterator[Figure]:
    url = f"sqlite:///{folder}/written.db"
    with nats(folder / "nats", most=_ROOM) as server:
        large = ["--nats", server.url, "--stream-bytes", str(_ROOM)]
        yield from _measured("JetStream", bare, body, [url, *large])
        argv = [*_SERVING, "0", url, *large, "--role", "writer"]
        waiting = _WARM + _REPORTS + _at_half()
        with running(argv, server.port) as process:
            while _counted(folder / "written.db") < waiting:
                time.sleep(0.1)
            per_core = waiting / cpu_of(process.pid)  # its start-up is in it
        yield Figure("  beside it: reports per CPU second of the writer", per_core, "")


def _measured(where: str, bare: float, body: Path, words: list[str]) -> Iterator[Figure]:
    port = free_port()
    with running([*_SERVING, str(port), *words], port) as process:
        server = Served(process.pid, port, body)
        server.load(_WARM)
        full = server.load(_REPORTS)
        half = server.load(_at_half(), "--rate", str(_PROMISED / 2))
    name = f"collector on {where}: "
    per_core = Figure(name + "reports per CPU second", full.per_core, "", _PROMISED, at_least=True)
    yield per_core
    yield Figure("  beside it: the share of a bare ASGI application", full.per_core / bare)
    yield Figure("  beside it: reports per second of time", full.said["rate"], "")
    grown = full.last_kb / full.first_kb
    yield Figure(f"{name}resident size after {full.count:,} more", grown, limit=1.1)
    wait = half.said["p99"] * 1000
    yield Figure(f"{name}p99 at {_PROMISED // 2} a second", wait, " ms", limit=50)


def _at_half() -> int:
    """Reports at half of what is promised: of so many it can be said what one in a hundred took."""
    return max(_REPORTS // 4, 10_000)


def cpu_of(process: int) -> float:
    """Seconds of CPU that it took so far, in all its threads (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _resident(process: int) -> int:
    """Its resident size in kB."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    if found is None:
        raise RuntimeError("the server is gone")
    return int(found[1])


def _counted(database: Path) -> int:
    """What is committed so far."""
    import sqlite3

    with contextlib.closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT sum(count) FROM report_groups").fetchone()[0] or 0
