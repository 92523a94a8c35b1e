"""The CPU time and memory of ``certpin scan`` with a local nginx, compared with openssl and sslyze.

Times are CPU seconds of the client process (user and kernel), start-up included, with each client
pinned to the same core. So neither the server nor other programs count.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from certpin.lab import Authority
from tests._peak import CERTPIN
from tests.bench.paired import Figure
from tests.servers._run import LOOPBACK
from tests.servers.nginx import nginx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    _Measure = Callable[[], float]

_HOST = "scan.bank.test"
_HOSTS = 10_000  # enough that the start-up of the interpreter matters little
_SSLYZE_HOSTS = 200
_ROUNDS = 7
_CORE = 0


@dataclass(frozen=True)
class Run:
    """A finished run of a client: its CPU and wall time in seconds, and its output."""

    cpu: float
    wall: float
    output: str


@dataclass(frozen=True)
class Ground:
    """A running server to scan, by its port, and a folder for the root and the lists of hosts."""

    port: int
    folder: Path

    @property
    def root(self) -> str:
        """The path of the file with the root of the server's chain."""
        return str(self.folder / "root.pem")

    def hosts(self, count: int) -> str:
        """Write a file with this many names of the server. Return its path."""
        path = self.folder / f"hosts-{count}"
        path.write_text("".join(f"{number}.{_HOST}\n" for number in range(count)))
        return str(path)


def figures() -> Iterator[Figure]:
    """Measure ``certpin scan`` against ``openssl s_time`` and sslyze, and its peak memory.

    The programs run in turns. sslyze runs only if ``CERTPIN_SSLYZE`` has its path.
    """
    with _ground() as ground:
        yield Figure(
            "scan: handshakes per CPU second / openssl s_time -new",
            _median_ratio(lambda: 1 / _scan(ground), lambda: 1 / _s_time(ground)),
            limit=0.85,
            at_least=True,
        )
        root = ("-CAfile", ground.root, "-no-CApath", "-no-CAstore")
        yield Figure(
            "  beside it: the same / openssl s_time -CAfile, which verifies too",
            _median_ratio(lambda: 1 / _scan(ground), lambda: 1 / _s_time(ground, *root)),
        )
        yield from _beside_sslyze(ground)
        few, many = (_peak(ground, count) for count in (1_000, 100_000))
        yield Figure("scan: resident size of 100,000 hosts / of 1,000", many / few, limit=1.3)


def _beside_sslyze(ground: Ground) -> Iterator[Figure]:
    if program := os.environ.get("CERTPIN_SSLYZE"):
        pairs = [(_sslyze(program, ground), _certpin_scan(ground, _HOSTS)) for _ in range(_ROUNDS)]
        yield Figure(
            "scan: hosts per second on one core / sslyze certificate_info",
            statistics.median(_per_host(theirs.wall, ours.wall) for theirs, ours in pairs),
            limit=15,
            at_least=True,
        )
        yield Figure(
            "  beside it: hosts per CPU second / sslyze, which mostly waits",
            statistics.median(_per_host(theirs.cpu, ours.cpu) for theirs, ours in pairs),
        )


def _per_host(theirs: float, ours: float) -> float:
    return theirs / _SSLYZE_HOSTS / (ours / _HOSTS)


def _median_ratio(one: _Measure, other: _Measure) -> float:
    return statistics.median(one() / other() for _ in range(_ROUNDS))


def _scan(ground: Ground) -> float:
    """Return the CPU seconds of ``certpin scan`` for one host."""
    return _certpin_scan(ground, _HOSTS).cpu / _HOSTS


def _peak(ground: Ground, count: int) -> int:
    """Return the peak memory of ``certpin scan`` with this many hosts, in kB."""
    return int(_certpin_scan(ground, count).output.splitlines()[-1])


def _certpin_scan(ground: Ground, count: int) -> Run:
    connect = f"{LOOPBACK}:{ground.port}"
    command = [*CERTPIN, "scan", ground.hosts(count)]
    run = _run([*command, "--connect", connect, "--ca-file", ground.root])
    if run.output.count('"chain_verified":true') != count:
        raise RuntimeError(f"not every host answered: {run.output[-500:]}")
    return run


def _s_time(ground: Ground, *options: str) -> float:
    """Return the CPU seconds of ``openssl s_time`` for one handshake.

    Without options, openssl trusts the platform's roots and stops at the first unknown issuer, so
    that it verifies no signature of the chain.
    """
    connect = f"{LOOPBACK}:{ground.port}"
    run = _run(["openssl", "s_time", "-new", "-time", "2", "-connect", connect, *options])
    found = re.search(r"(\d+) connections in \d+ real seconds", run.output)
    if found is None:
        raise RuntimeError(f"openssl s_time said: {run.output[-500:]}")
    return run.cpu / int(found[1])


def _sslyze(program: str, ground: Ground) -> Run:
    names = [f"{number}.{_HOST}:{ground.port}{{{LOOPBACK}}}" for number in range(_SSLYZE_HOSTS)]
    report = str(ground.folder / "sslyze.json")
    return _run([program, "--certinfo", f"--json_out={report}", *names])


def _run(command: Sequence[str]) -> Run:
    """Run a command on one core. Return its output, wall time, and CPU time from the kernel."""
    with tempfile.TemporaryFile("w+") as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            ["taskset", "-c", str(_CORE), *command], stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        wall = time.perf_counter() - start
        return Run(usage.ru_utime + usage.ru_stime, wall, output.read())


@contextmanager
def _ground() -> Iterator[Ground]:
    root = Authority("Bench Root")
    identity = root.intermediate("Bench Intermediate").issue(f"*.{_HOST}")
    with tempfile.TemporaryDirectory(prefix="certpin-bench-") as folder:
        (Path(folder) / "root.pem").write_bytes(root.pem)
        with nginx({_HOST: identity}) as server:  # which answers for the names below too
            yield Ground(server.port, Path(folder))
