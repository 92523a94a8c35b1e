"""Conversations that note what they hear, and a loop to have them in."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from certpin.lab.server.proxy import Destination


class Noting:
    """Answers once ``ends`` has come, and is done then; notes all that it hears."""

    passing: Destination | None = None
    early = b""

    def __init__(self, answer: bytes = b"", ends: bytes = b"\n") -> None:
        self.heard = bytearray()
        self.done = False
        self.hung_up = False
        self.octets = 0
        self._answer = answer
        self._ends = ends
        self._out = b""

    def passed(self, data: bytes, *, back: bool) -> None:
        """Note it."""
        self.octets += len(data) if back else 0

    def data_to_send(self) -> bytes:
        """The answer, once."""
        out, self._out = self._out, b""
        return out

    def receive(self, data: bytes) -> None:
        """Note it."""
        self.hung_up |= not data
        self.heard += data
        if self._ends in self.heard and not self.done:
            self._out, self.done = self._answer, True


def connect(port: int) -> socket.socket:
    """A client of the loopback."""
    return socket.create_connection(("127.0.0.1", port), 10)


def read_all(sock: socket.socket) -> bytes:
    """Until the end."""
    got = bytearray()
    while piece := sock.recv(65_536):
        got += piece
    return bytes(got)


def reset(sock: socket.socket) -> None:
    """Break off: a reset instead of an end."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()
