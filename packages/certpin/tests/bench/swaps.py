"""The effect on the connections of a busy app when an update replaces its pin set (a swap)."""

from __future__ import annotations

import socket
import statistics
import threading
import time
from typing import TYPE_CHECKING, NamedTuple, Self

from tests.bench.bank import bank
from tests.bench.paired import Figure
from tests.servers._run import LOOPBACK
from tests.servers.nginx import nginx
from tests.updates._publisher import CHANNEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from certpin import PinnedSSLContext
    from certpin.updates import PinUpdater
    from tests.bench.bank import Bank

_HOSTS = 50
_MANY_HOSTS = 2_000
_PAIRS = 31  # of a second without a swap and one with it
_SECOND = 1.0
_CLIENTS = 3  # threads that connect
_REST = (
    0.004  # seconds between two connections of one thread: both cores are busy, but not saturated
)


class _Pair(NamedTuple):
    """Handshake times in a second with a swap of the pin set and in the second before it.

    All but the last two fields are multiples of the median handshake in the second without a swap.
    """

    with_swap: float  # the slowest
    without: float  # the slowest
    update: float  # the slowest of those during the update
    no_update: float  # the slowest in an equal part of the other second
    typical: float  # the median of those during the update
    both: float  # the slowest with a swap, as a multiple of the slowest without
    took: float  # milliseconds of the update


def figures() -> Iterator[Figure]:
    """Measure swaps to a pin set of usual size and to a huge one.

    The huge one holds Python's global lock for longer while it is parsed.
    """
    middle, load = _measured(_HOSTS, _PAIRS)
    name = f"swap, {_HOSTS} hosts: slowest handshake with a swap / without one"
    yield Figure(name, middle.both, limit=1.5)
    yield Figure("  beside it: slowest in its second / usual median", middle.with_swap)
    yield Figure("  beside it: slowest in a second without a swap / the same", middle.without)
    yield from _while_it_runs(_HOSTS, middle)
    yield Figure(f"swap: requests that failed, of {load.count:,}", load.failed, "", limit=0)
    huge, load = _measured(_MANY_HOSTS, _PAIRS // 3)
    name = f"swap, {_MANY_HOSTS:,} hosts: slowest handshake with a swap / without one"
    yield Figure(name, huge.both, limit=2)
    yield from _while_it_runs(_MANY_HOSTS, huge)


def _while_it_runs(hosts: int, middle: _Pair) -> Iterator[Figure]:
    name = f"an update to {hosts:,} hosts"
    yield Figure(f"  beside it: slowest during {name} / usual median", middle.update)
    yield Figure("  beside it: slowest in as long without one / the same", middle.no_update)
    yield Figure(f"  beside it: median during {name} / the same", middle.typical)
    yield Figure(f"  beside it: {name}, with all fetches and writes", middle.took, " ms")


def _measured(hosts: int, pairs: int) -> tuple[_Pair, _Load]:
    """Measure pairs of seconds, one without and one with a swap.

    nginx serves the app and the updates. The sets are signed before, as on another machine.

    Args:
        hosts: the number of hosts in each pin set.
        pairs: the number of pairs.

    Returns:
        The median of each value over the pairs, and the threads that made the connections.
    """
    with bank(hosts) as ours, nginx({CHANNEL: ours.identity}, folders=_served(ours)) as server:
        moments = [_signed(ours, version) for version in range(2, 2 + pairs)]
        app = ours.app(server.port)
        with _Load(app.context, server.port) as load:
            load.during(lambda: None)
            found = [_pair(app, load, ours, moment) for moment in moments]
        if app.context.pins.version != 1 + pairs:
            raise RuntimeError(f"not every set was swapped in: {app.status}")
    return _Pair(*(statistics.median(each) for each in zip(*found, strict=True))), load


def _served(ours: Bank) -> dict[str, Path]:
    return {CHANNEL: ours.repository.folder}


def _signed(ours: Bank, version: int) -> bytes:
    """Sign and publish a version of the pin set, and return its signed timestamp file.

    A client accepts the version as the newest once the server serves that timestamp.
    """
    ours.publish(version)
    return ours.repository.path("timestamp").read_bytes()


def _pair(app: PinUpdater, load: _Load, ours: Bank, moment: bytes) -> _Pair:
    without = load.during(lambda: None)
    ours.repository.path("timestamp").write_bytes(moment)
    with_swap = load.during(app.refresh)
    usual, took = statistics.median(without.all()), with_swap.took
    update = with_swap.all(took)
    return _Pair(
        max(with_swap.all()) / usual,
        max(without.all()) / usual,
        max(update) / usual,
        max(without.all(took)) / usual,
        statistics.median(update) / usual,
        max(with_swap.all()) / max(without.all()),
        took * 1000,
    )


class _Second(NamedTuple):
    """The handshakes of one second, which began with an action that took ``took`` seconds."""

    begin: float
    took: float
    shaken: list[tuple[float, float]]  # handshakes: start time and duration

    def all(self, length: float = _SECOND) -> list[float]:
        """Return the durations of the handshakes that ran in the first ``length`` seconds."""
        end = self.begin + length
        return [took for at, took in self.shaken if at < end and at + took > self.begin] or [0.0]


class _Load:
    """Threads that connect to a server again and again through one TLS context.

    Each connection makes one request.
    """

    def __init__(self, context: PinnedSSLContext, port: int) -> None:
        self.failed = 0
        self._context = context
        self._port = port
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(_CLIENTS)]
        self._shaken: list[tuple[float, float]] = []  # start time and duration

    @property
    def count(self) -> int:
        """Return the number of requests that got a response."""
        return len(self._shaken)

    def during(self, job: Callable[[], object]) -> _Second:
        """Run a function, wait until a second has passed since its start, and return a ``_Second``.

        It has the function's duration, and the handshakes so far.
        """
        begin = time.perf_counter()
        job()
        done = time.perf_counter()
        time.sleep(max(begin + _SECOND - done, 0))
        return _Second(begin, done - begin, list(self._shaken))

    def _work(self) -> None:
        while not self._stop.wait(_REST):
            try:
                self._shaken.append(self._request())
            except OSError:
                self.failed += 1

    def _request(self) -> tuple[float, float]:
        with socket.create_connection((LOOPBACK, self._port)) as plain:
            begin = time.perf_counter()
            with self._context.wrap_socket(plain, server_hostname=CHANNEL) as tls:
                took = time.perf_counter() - begin
                tls.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                if not tls.recv(4096).startswith(b"HTTP/1.1 "):
                    raise ConnectionError("no answer")
        return begin, took

    def __enter__(self) -> Self:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        for each in self._threads:
            each.join()
