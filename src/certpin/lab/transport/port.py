"""Listening sockets on loopback, and the links of whoever comes."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from certpin.lab.transport.link import Link
from certpin.lab.transport.relay import relay

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from certpin.lab.transport.conversation import Conversation

_BACKLOG = 1024  # connections that wait while the loop is busy; the kernel has a cap of its own
_ANY_PORT = 0


class Port:
    """A listening socket whose connections each get a conversation. For the loop's thread alone.

    Raises ``OSError`` where it cannot listen.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        make: Callable[[], Conversation],
        address: tuple[str, int] = ("127.0.0.1", _ANY_PORT),
    ) -> None:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._listener = socket.create_server(address, family=family, backlog=_BACKLOG)
        self._listener.setblocking(False)
        self._loop = loop
        self._make = make
        self._links: set[Link] = set()
        loop.add_reader(self._listener, self._accept)

    @property
    def number(self) -> int:
        """Which port it is."""
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        """Take what has arrived so far, on connections that wait too, and end everything.

        What a client on this machine sent before this call is read, all of it: loopback delivers
        while the client sends.
        """
        self._accept()
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for link in tuple(self._links):
            while link.read():
                pass
            link.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # gone before it was accepted, or no descriptor is left for it
                return
            self._links.add(Link(self._loop, sock, self._make(), self._ended))

    def _ended(self, link: Link) -> None:
        self._links.discard(link)
        to = link.conversation.passing
        if to is not None:
            with suppress(RuntimeError):  # the loop is closing
                relay(self._loop, link.hand_over(), link.conversation, to)
