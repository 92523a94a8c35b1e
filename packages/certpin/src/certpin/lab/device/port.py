"""The listening port for devices, with a limit on concurrent connections."""

from __future__ import annotations

import ipaddress
import resource
from functools import partial
from typing import TYPE_CHECKING, Any

from certpin.lab.case import LabError
from certpin.lab.server.port import Port
from certpin.lab.server.relay import relay

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable

    from certpin.lab.device.connection import DeviceConnection
    from certpin.lab.server.port import Link
    from certpin.lab.server.proxy import Destination

_RESERVED = 64  # descriptors for the program itself and its libraries
_MIN_CONNECTIONS = 32  # a lab with fewer connections is of no use
_MAX_CONNECTIONS = 4096


def max_connections() -> int:
    """Raise this process's limit of open files; return how many of them connections may use.

    Raises:
        LabError: there are too few.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MAX_CONNECTIONS + _RESERVED
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft != resource.RLIM_INFINITY and soft < _RESERVED + _MIN_CONNECTIONS:
        needed = _RESERVED + _MIN_CONNECTIONS
        raise LabError(
            f"this system allows {soft} open files, and the lab needs {needed}",
            fix="raise the limit: ulimit -n 4096",
        )
    return (
        _MAX_CONNECTIONS
        if soft == resource.RLIM_INFINITY
        else min(_MAX_CONNECTIONS, soft - _RESERVED)
    )


class DevicePort(Port):
    """The lab's listening port for devices.

    Connections use at most ``limit`` file descriptors; further ones wait. ``error`` is called if
    this system can accept no more connections.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        make: Callable[[], DeviceConnection],
        address: tuple[str, int],
        *,
        limit: int,
        error: Callable[[OSError], None],
    ) -> None:
        self._limit = limit
        self._on_error = error
        self._relays = 0
        super().__init__(loop, make, address)

    def _accept(self) -> None:
        while len(self._links) + 2 * self._relays < self._limit:
            if not self._accept_one():
                return
        self._loop.remove_reader(self._descriptor)

    def _breathe(self, exc: OSError) -> None:
        self._loop.remove_reader(self._descriptor)
        self._on_error(exc)

    def _ended(self, link: Link) -> None:
        self._links.discard(link)
        conversation: Any = link.conversation
        to = conversation.passing
        if to is None:
            conversation.ended()
        elif self._closed:
            link.hand_over().close()
        else:
            self._relay(link, to)
        self._listen_on()

    def _relay(self, link: Link, to: Destination) -> None:
        sock = link.hand_over()
        self._relays += 1
        task = relay(self._loop, sock, link.conversation, to, allow=_allowed(sock))
        task.add_done_callback(partial(self._relayed, link.conversation))

    def _relayed(self, conversation: Any, _: object) -> None:
        self._relays -= 1
        conversation.ended()
        self._listen_on()


def _allowed(client: socket.socket) -> Callable[[str], bool]:
    """Return a function that decides whether a client may be relayed to an address.

    Another device must not reach this machine's loopback and link-local addresses.
    """
    try:
        here = ipaddress.ip_address(client.getpeername()[0].partition("%")[0]).is_loopback
    except (OSError, ValueError):
        here = False
    return lambda address: here or not _inner(address)


def _inner(address: str) -> bool:
    """Return True for loopback and link-local addresses (such as a cloud's metadata service)."""
    found = ipaddress.ip_address(address.partition("%")[0])
    found = getattr(found, "ipv4_mapped", None) or found
    return found.is_loopback or found.is_link_local or found.is_unspecified
