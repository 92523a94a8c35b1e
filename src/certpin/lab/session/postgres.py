"""PostgreSQL, the server's side: whoever comes may connect, and each query has one answer.

"Message Flow" and "Message Formats" of PostgreSQL's documentation, version 3.0. What counts as
the client's data: the startup message, which names user and database, and whatever follows; not
the wish for TLS, and not the goodbye. Where the act injects, the startup message goes to the
honest server; it is no data, and is never answered. A client that says more has taken the
injected answer for one that came under TLS (CVE-2021-23222).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from certpin.lab.evidence import KEPT
from certpin.lab.script import Answer, Opening

if TYPE_CHECKING:
    from certpin.lab.script import Act
    from certpin.lab.session.application import Where

_SSL, _GSS, _CANCEL = 80_877_103, 80_877_104, 80_877_102
_LONGEST_STARTUP = 10_000  # MAX_STARTUP_PACKET_LENGTH of PostgreSQL
_LONGEST = 1024 * 1024  # of any other message; a client of the lab's needs less
_MOST = 10_000  # messages on one connection: else a client could keep the lab busy with empty ones
_TLS_RECORD = b"\x16"  # libpq's sslnegotiation=direct; a startup message begins with 0
_TEXT = 25  # the OID of the type text


def _message(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return kind + struct.pack(">I", 4 + len(body)) + body


_READY = _message(b"Z", b"I")
_PARAMETERS = (
    b"server_version\x0017.0\0",
    b"server_encoding\0UTF8\0",
    b"client_encoding\0UTF8\0",
    b"DateStyle\0ISO, MDY\0",
    b"TimeZone\0UTC\0",
    b"integer_datetimes\0on\0",
    b"standard_conforming_strings\0on\0",
)
_WELCOME = (
    _message(b"R", bytes(4))
    + b"".join(_message(b"S", each) for each in _PARAMETERS)
    + _message(b"K", struct.pack(">II", 1, 1))
    + _READY
)
_ROW = _message(b"T", struct.pack(">H7sIHIhih", 1, b"answer\0", 0, 0, _TEXT, -1, -1, 0))
_DONE = _message(b"C", b"SELECT 1\0")
# The answers of the extended query that are always the same: Parse, Bind, Close, Sync, Describe.
_FIXED = {
    b"P": _message(b"1"),
    b"B": _message(b"2"),
    b"C": _message(b"3"),
    b"S": _READY,
}


class Postgres:
    """One connection. The token is the one row of the answer to each query."""

    listens = True

    def __init__(self, act: Act, where: Where) -> None:
        self.data = bytearray()
        self.upgrade = False
        self.closing = False
        self.tampered = False
        self.rest = b""
        self._injects = act.opening is Opening.INJECT
        self._strips = act.opening is Opening.STRIP
        self._silent = act.answer is Answer.SILENT
        self._row = _message(b"D", struct.pack(">HI", 1, len(where.token)), where.token.encode())
        self._pending = bytearray()
        self._said = bytearray()
        self._started = False
        self._heard = 0
        self._deaf = False

    def begin(self, *, secure: bool) -> bytes:
        """Nothing: the client speaks first."""
        return b""

    def receive(self, data: bytes, *, secure: bool) -> bytes:
        """Take what the client said; the answers to the messages that are whole."""
        if self._deaf:
            return b""
        self._pending += data
        replies = bytearray()
        while self._pending and not self.upgrade and not self._deaf:
            if not secure and not self._started and self._pending[:1] == _TLS_RECORD:
                self.upgrade = True
                break
            message = self._take()
            if not message:
                break
            replies += self._hear(message, secure=secure)
        self._account(secure=secure)
        return bytes(replies)

    def _take(self) -> bytes:
        """The next message; empty where it is not whole, or none."""
        at = 1 if self._started else 0
        if len(self._pending) < at + 4:
            return b""
        size = int.from_bytes(self._pending[at : at + 4])
        longest, least = (_LONGEST, 4) if self._started else (_LONGEST_STARTUP, 8)
        if not least <= size <= longest:
            self._deaf = self.closing = True
            del self._pending[at + 4 :]  # the same for every cut
            return b""
        message = bytes(self._pending[: at + size])
        if len(message) < at + size:
            return b""
        del self._pending[: at + size]
        return message

    def _hear(self, message: bytes, *, secure: bool) -> bytes:
        self._heard += 1
        if self._heard > _MOST:
            self._deaf = self.closing = True
            self._pending.clear()
            return b""
        if self._tells(message, secure=secure):
            self._said += message[: KEPT - len(self._said)]
        if not self._started:
            return self._start(message, secure=secure)
        if self.closing:
            return b""
        self.closing = message[:1] == b"X"
        return b"" if self.closing else self._answer(message[:1], message[5:6])

    def _start(self, message: bytes, *, secure: bool) -> bytes:
        code = int.from_bytes(message[4:8])
        if code == _SSL and not secure:
            return self._agree()
        if code == _GSS:
            return b"N"
        if code == _CANCEL:
            self._deaf = self.closing = True
            return b""
        self._started = True
        self.closing = secure and (self._silent or self._injects)
        return b"" if self.closing else _WELCOME

    def _agree(self) -> bytes:
        self.tampered = self._strips or self._injects
        self.upgrade = not self._strips
        if self._strips:
            return b"N"
        return b"S" + _WELCOME if self._injects else b"S"

    def _answer(self, kind: bytes, of: bytes) -> bytes:
        if kind == b"Q":
            return _ROW + self._row + _DONE + _READY
        if kind == b"D":
            return (_message(b"t", bytes(2)) if of == b"S" else b"") + _ROW
        if kind == b"E":
            return self._row + _DONE
        return _FIXED.get(kind, b"")  # a password, Flush and the like need none

    def _tells(self, message: bytes, *, secure: bool) -> bool:
        """Whether a message, or the beginning of one, is data."""
        if self._started:
            return message[:1] != b"X"
        if secure and self._injects:
            return False
        if len(message) < 8:  # a wish for TLS, perhaps
            return len(message) >= 4 and int.from_bytes(message[:4]) not in {8, 16}
        return int.from_bytes(message[4:8]) not in {_SSL, _GSS, _CANCEL}

    def _account(self, *, secure: bool) -> None:
        """Count what is not whole yet too: a client may leave in the middle of a message."""
        if self.upgrade:
            self.rest = bytes(self._pending)
            self._pending.clear()
        self.data = self._said[:]
        if self._pending and self._tells(bytes(self._pending), secure=secure):
            self.data += self._pending[: KEPT - len(self.data)]
