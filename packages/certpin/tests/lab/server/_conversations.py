"""Substitutes for the server's side of a connection that record input, and socket helpers."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from certpin.lab.server.session import Destination


class RecordingConversation:
    """The server's side of a connection, which records all input for the test.

    Once the bytes ``ends`` have arrived, it sends ``answer`` and is done.
    """

    passing: Destination | None = None
    early = b""

    def __init__(self, answer: bytes = b"", ends: bytes = b"\n") -> None:
        self.received = bytearray()
        self.done = False
        self.resets = False
        self.pause = 0.0
        self.hung_up = False
        self.octets = 0
        self._answer = answer
        self._ends = ends
        self._out = b""

    def resume(self) -> None:
        """Do nothing: this conversation never pauses."""

    def passed(self, data: bytes, *, back: bool) -> None:
        """Count the bytes of relayed data that came from the server (``back`` is True)."""
        self.octets += len(data) if back else 0

    def data_to_send(self) -> bytes:
        """Return the answer when it is due, and empty bytes on later calls."""
        out, self._out = self._out, b""
        return out

    def receive(self, data: bytes) -> None:
        """Record data of the client; empty data means that the client closed its side."""
        self.hung_up |= not data
        self.received += data
        if self._ends in self.received and not self.done:
            self._out, self.done = self._answer, True


def connect(port: int) -> socket.socket:
    """Return a connection to this port on loopback."""
    return socket.create_connection(("127.0.0.1", port), 10)


def read_all(sock: socket.socket) -> bytes:
    """Read until the peer closes the connection, and return everything."""
    got = bytearray()
    while piece := sock.recv(65_536):
        got += piece
    return bytes(got)


def reset(sock: socket.socket) -> None:
    """Close with a reset instead of an orderly end."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()
