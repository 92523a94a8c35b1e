"""The window of a scan, which is how many hosts it scans at once.

The scan reads no more input than the window allows, and leaves no connection or thread open.
"""

from __future__ import annotations

import gc
import os
import threading
from typing import TYPE_CHECKING

import pytest

from certpin.lab import Authority, Identity, LabServer
from certpin.probe import Endpoint
from certpin.probe.scan import ScanLimits, record, scan
from tests.probe.scan import _servers
from tests.probe.scan._servers import Server

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Iterator

WINDOW = 6


@pytest.fixture(scope="module")
def identity(intermediate: Authority) -> Identity:
    return intermediate.issue("api.bank.example")


def test_the_whole_window_is_scanned_at_once(context: ssl.SSLContext, identity: Identity) -> None:
    """The server answers no connection until ``WINDOW`` connections are open; all hosts succeed."""
    together = threading.Barrier(WINDOW, timeout=10.0)
    handshake = _servers.tls(identity)

    def serve(connection: socket.socket) -> None:
        together.wait()
        handshake(connection)

    hosts = (Endpoint(f"{number}.example") for number in range(3 * WINDOW))
    limits = ScanLimits(window=WINDOW, timeout=20.0)
    with Server(serve) as server:
        seen = list(scan(hosts, context=context, limits=limits, connect=("127.0.0.1", server.port)))
    assert [record(each)["chain_verified"] for each in seen] == [True] * 3 * WINDOW


@pytest.mark.medium
@pytest.mark.parametrize("good", [True, False])
def test_no_more_than_the_window_is_read_from_the_input(
    context: ssl.SSLContext, identity: Identity, good: bool
) -> None:
    """At most ``WINDOW`` hosts have been read with results that the caller has not fetched.

    These are active hosts, hosts that wait for another attempt, and results not fetched yet.
    """
    taken, under_way = 0, []
    given = 0

    def hosts() -> Iterator[Endpoint]:
        nonlocal taken
        for number in range(10 * WINDOW):
            taken += 1
            under_way.append(taken - given)
            yield Endpoint(f"{number}.example")

    limits = ScanLimits(window=WINDOW, timeout=20.0, retries=1, pause=0.01)
    with Server(_servers.tls(identity) if good else _servers.close) as server:
        here = ("127.0.0.1", server.port)
        for _ in scan(hosts(), context=context, limits=limits, connect=here):
            given += 1
    assert given == taken == 10 * WINDOW
    assert max(under_way) == WINDOW


def test_an_empty_input_delays_no_answer(context: ssl.SSLContext, identity: Identity) -> None:
    """The first host's result arrives although the input has no second host yet.

    The input gives the second host only after that.
    """
    seen: list[str] = []

    def hosts() -> Iterator[Endpoint | None]:
        yield Endpoint("first.example")
        while not seen:
            yield None
        yield Endpoint("second.example")

    with LabServer(identity) as server:
        here = ("127.0.0.1", server.port)
        for each in scan(hosts(), context=context, connect=here):
            seen.append(each.endpoint.host)  # noqa: PERF401  # the input looks at it
    assert seen == ["first.example", "second.example"]


def test_no_hosts_give_no_results(context: ssl.SSLContext) -> None:
    assert list(scan([], context=context)) == []


def _open_files() -> int:
    return len(os.listdir("/dev/fd"))  # noqa: PTH208  # counts; Path would open one more


@pytest.mark.medium
@pytest.mark.parametrize("taken", [0, 1, 20])
def test_an_abandoned_scan_leaves_nothing_open(
    context: ssl.SSLContext, identity: Identity, taken: int
) -> None:
    with Server(_servers.tls(identity)) as server:
        gc.collect()
        before = _open_files()
        here = ("127.0.0.1", server.port)
        hosts = (Endpoint(f"{number}.example") for number in range(20))
        seen = scan(hosts, context=context, connect=here)
        for _ in range(taken):
            next(seen)
        seen.close()  # type: ignore[attr-defined]  # it is a generator
    assert _open_files() <= before
