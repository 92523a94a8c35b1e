"""Listening sockets on loopback, and the links of their connections."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

from certpin.lab.transport.link import Link
from certpin.lab.transport.relay import relay

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from certpin.lab.transport.conversation import Conversation

_BACKLOG = 1024  # connections that wait while the loop is busy; the kernel has a cap of its own
_ANY_PORT = 0
# Pieces of 64 KiB that are read of a client when the case ends: more than the 4 MiB that a session
# reads, with a limit for clients that never stop.
_LAST_PIECES = 128
_BREATH = 0.1  # seconds until the next attempt if no descriptor is left
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Port:
    """A listening socket whose connections each get a conversation. Only for the loop's thread.

    Raises ``OSError`` if it cannot listen.
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
        self._descriptor = self._listener.fileno()  # asyncio finds it faster than the socket
        self._loop = loop
        self._make = make
        self._links: set[Link] = set()
        self._closed = False
        loop.add_reader(self._descriptor, self._accept)

    @property
    def number(self) -> int:
        """The port number."""
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        """Take what has arrived so far, on connections that wait too, and end everything.

        What a client on this machine sent before this call is read, all of it: loopback delivers
        while the client sends.
        """
        if self._closed:
            return
        self._accept()
        self._closed = True
        self._loop.remove_reader(self._descriptor)
        self._listener.close()
        for link in tuple(self._links):
            for _ in range(_LAST_PIECES):
                if not link.read():
                    break
            link.close()

    def _accept(self) -> None:
        while self._accept_one():
            pass

    def _accept_one(self) -> bool:
        """Accept one connection. Return True if there may be more."""
        try:
            sock, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as exc:
            if exc.errno not in _EXHAUSTED:
                return True  # gone before it was accepted (accept(2): ECONNABORTED and others)
            self._breathe(exc)
            return False
        link = Link(self._loop, sock, self._make(), self._ended)
        if link.open:
            self._links.add(link)
        return True

    def _breathe(self, exc: OSError) -> None:
        """Pause accepting: a listener that stays readable would keep the loop busy."""
        self._loop.remove_reader(self._descriptor)
        self._loop.call_later(_BREATH, self._listen_on)

    def _listen_on(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._descriptor, self._accept)

    def _ended(self, link: Link) -> None:
        self._links.discard(link)
        to = link.conversation.passing
        if to is None:
            return
        sock = link.hand_over()
        if self._closed:
            sock.close()
        else:
            relay(self._loop, sock, link.conversation, to)
