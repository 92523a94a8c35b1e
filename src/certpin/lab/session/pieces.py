"""What protocols that begin in clear text share: whole pieces in, answers out, what counts kept.

A protocol says what a piece is (a line, a message), which pieces are the client's own data, and
how they are answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from certpin.lab.evidence import KEPT
from certpin.lab.scenario import Answer, Opening

if TYPE_CHECKING:
    from certpin.lab.scenario import ServerStep

# The first octet of a ClientHello; no piece begins so. libpq's sslnegotiation=direct does.
_TLS_RECORD = b"\x16"


class Pieces:
    """One connection."""

    listens = True
    most: ClassVar[int]  # pieces that one connection may say

    def __init__(self, step: ServerStep) -> None:
        self.data = bytearray()
        self.upgrade = False
        self.closing = False
        self.tampered = False
        self.rest = b""
        self.injects = step.opening is Opening.INJECT
        self.strips = step.opening is Opening.STRIP
        self.silent = step.answer is Answer.SILENT
        self.pending = bytearray()
        self.heard = 0
        self.deaf = False
        self._said = bytearray()

    def receive(self, data: bytes, *, secure: bool) -> bytes:
        """Take what the client said; the answers to the pieces that are whole."""
        if self.deaf:
            return b""
        self.pending += data
        replies = bytearray()
        while self.pending and not self.upgrade and not self.deaf:
            if not secure and self.between and self.pending[:1] == _TLS_RECORD:
                self.upgrade = True  # it begins TLS without being asked to
                break
            piece = self.take()
            if not piece:
                break
            replies += self._hear(piece, secure=secure)
        self._account(secure=secure)
        return bytes(replies)

    def end(self, keep: int = 0) -> None:
        """Hear no more. The same octets of what waits are kept, however it was cut."""
        self.deaf = self.closing = True
        del self.pending[keep:]

    def _hear(self, piece: bytes, *, secure: bool) -> bytes:
        self.heard += 1
        if self.heard > self.most:
            self.end()
            return b""
        if self.tells(piece, secure=secure):
            self._said += piece[: KEPT - len(self._said)]
        return self.reply(piece, secure=secure)

    def _account(self, *, secure: bool) -> None:
        """Count what is not whole yet too: a client may leave in the middle of a piece."""
        if self.upgrade:
            self.rest = bytes(self.pending)
            self.pending.clear()
        self.data = self._said[:]
        if self.pending and self.tells(bytes(self.pending), secure=secure):
            self.data += self.pending[: KEPT - len(self.data)]

    @property
    def between(self) -> bool:
        """Whether TLS may begin here, and not in the middle of something."""
        raise NotImplementedError

    def take(self) -> bytes:
        """The next piece, off ``pending``; empty where it is not whole, or none."""
        raise NotImplementedError

    def tells(self, piece: bytes, *, secure: bool) -> bool:
        """Whether a piece, or the beginning of one, is data."""
        raise NotImplementedError

    def reply(self, piece: bytes, *, secure: bool) -> bytes:
        """The answer to a piece."""
        raise NotImplementedError
