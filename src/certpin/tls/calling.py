"""Which port is called, for whoever is told of a failure: TLS itself knows of the host alone.

A client adapter knows it, and says so for as long as it connects (``calling``). Without one, the
port is that of the socket's other end. Through a memory BIO (asyncio) there is no socket, and then
nobody knows. Where a caller of the bare context goes through a proxy, it is the proxy's.
"""

from __future__ import annotations

import _socket
import socket
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

from certpin.errors import HostError
from certpin.pins import normalise

if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGEST = 65535


class Called(NamedTuple):
    """Host and port as an adapter says them; the port is 0 where nobody does."""

    host: str = ""
    port: int = 0

    def port_of(self, host: str, sock: object = None) -> int:
        """Return the port of a normalised host and of its connection, or 0 if it is not known."""
        if self.port and self._is(host):
            return self.port
        return _of_the_other_end(sock)

    def _is(self, host: str) -> bool:
        """The TLS to a proxy has the same context about it, and another host."""
        with suppress(HostError):
            return normalise(self.host) == host
        return False


NOBODY = Called()
_called: ContextVar[Called] = ContextVar("certpin_called", default=NOBODY)
called_now = _called.get  # what an adapter says at this moment, in this thread or task


@contextmanager
def calling(host: str, port: int) -> Iterator[None]:
    """While the block runs, connections to this host go to this port."""
    token = _called.set(Called(host, port if 0 < port <= _LARGEST else 0))
    try:
        yield
    finally:
        with suppress(ValueError):  # a coroutine that somebody else's context closes
            _called.reset(token)


def _of_the_other_end(sock: object) -> int:
    """Return 0 for a Unix socket, which has no port, and after the peer has disconnected."""
    # The class in C, which gevent doesn't replace, and on which its sockets are based too.
    if not isinstance(sock, _socket.socket) or sock.family not in _INTERNET:
        return 0
    with suppress(OSError):
        port: int = sock.getpeername()[1]
        return port
    return 0


_INTERNET = frozenset({socket.AF_INET, socket.AF_INET6})
