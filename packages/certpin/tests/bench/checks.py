"""The cost of an update check that finds nothing new, compared with the client of python-tuf.

The benchmark counts requests and bytes at the server; it measures no time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tuf import ngclient

from tests.bench.bank import bank
from tests.bench.paired import Figure
from tests.servers.tap import tap
from tests.updates._publisher import CHANNEL
from tests.updates._server import FolderServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bench.bank import Bank
    from tests.updates._server import Handler


class _Cost(NamedTuple):
    """The cost of one update check: the number of requests, and the bytes sent and received.

    ``http`` is the bytes without TLS, ``wire`` is all bytes over TCP.
    """

    requests: int
    http: int
    wire: int


def figures() -> Iterator[Figure]:
    """Measure the second update check of certpin and of python-tuf, when each has all files.

    certpin requests the next root only in the first check of a process and every six hours.
    """
    with bank() as ours:
        ours.publish(2)
        certpin = _cost(ours, _certpin)
        peer = _cost(ours, _ngclient)
    yield Figure("check with nothing new: requests", certpin.requests, "", limit=1)
    yield Figure("  beside it: tuf.ngclient", peer.requests, "")
    yield Figure("check with nothing new: bytes, without TLS", certpin.http, " B", limit=2000)
    yield Figure("  beside it: tuf.ngclient", peer.http, " B")
    yield Figure("  beside it: with TLS and its handshake", certpin.wire, " B")
    yield Figure("  beside it: with TLS and its handshake, tuf.ngclient", peer.wire, " B")


def _cost(ours: Bank, client: Callable[[Bank, int], Callable[[], object]]) -> _Cost:
    """Return the cost of the second update check of a client.

    Args:
        ours: the publisher.
        client: returns a function that makes one check, for a publisher and the port of its server.
    """
    with FolderServer(ours.repository.folder, ours.identity) as server:
        check = client(ours, server.port)
        check()
        server.taken()
        meter = _Meter(server)
        check()
        requests = len(server.taken())
        return _Cost(
            requests, meter.count, _wire(ours, client, server, 2) - _wire(ours, client, server, 1)
        )


def _wire(
    ours: Bank,
    client: Callable[[Bank, int], Callable[[], object]],
    server: FolderServer,
    times: int,
) -> int:
    """Return the bytes, in both directions, that TCP carries for ``times`` checks of one client."""
    with tap(server.port) as wire:
        check = client(ours, wire.port)
        for _ in range(times):
            check()
    return sum(wire.passed)


class _Meter:
    """A counter of the bytes of HTTP requests and responses at a server, with their headers."""

    def __init__(self, server: FolderServer) -> None:
        self.count = 0
        server.answers[""] = self._answer

    def _answer(self, handler: Handler) -> None:
        self.count += len(handler.requestline) + len(b"\r\n") + len(bytes(handler.headers))
        write = handler.wfile.write

        def counted(data: Any) -> int:
            self.count += len(data)
            return write(data)

        handler.wfile.write = counted  # type: ignore[method-assign]
        handler.serve_file()
        handler.wfile.write = write  # type: ignore[method-assign]


def _certpin(ours: Bank, port: int) -> Callable[[], object]:
    return ours.app(port).refresh


def _ngclient(ours: Bank, port: int) -> Callable[[], object]:
    def check() -> None:
        ngclient.Updater(
            str(ours.folder / "peer"),
            f"https://{CHANNEL}:{port}/metadata/",
            bootstrap=ours.repository.first_root,
        ).refresh()

    return check
