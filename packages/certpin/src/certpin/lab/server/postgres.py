"""The server side of PostgreSQL in the lab: every login succeeds, all queries get one answer.

It follows "Message Flow" and "Message Formats" of PostgreSQL's documentation, version 3.0. The
client's data is the startup message, with user and database, and everything after it except the
termination message. The request for TLS is not data.

In some cases the server injects an answer: it sends an answer in clear text, before TLS with the
honest server begins. In these cases the startup message doesn't count as data, because it goes to
the honest server, and the lab never answers it. If the client sends more, it has taken the injected
answer for one under TLS (CVE-2021-23222).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from certpin.lab.server.lines import MessageServer

if TYPE_CHECKING:
    from certpin.lab.scenario import AnswerContext, ServerStep


_SSL, _GSS, _CANCEL = 80_877_103, 80_877_104, 80_877_102
_LONGEST_STARTUP = 10_000  # MAX_STARTUP_PACKET_LENGTH of PostgreSQL
_LONGEST = 1024 * 1024  # the limit of any other message; tested clients need less
_MAX_MESSAGES = 10_000  # per connection, so that empty ones can't keep the lab busy
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
    + b"".join(_message(b"S", parameter) for parameter in _PARAMETERS)
    + _message(b"K", struct.pack(">II", 1, 1))
    + _READY
)
_ROW = _message(b"T", struct.pack(">H7sIHIhih", 1, b"answer\0", 0, 0, _TEXT, -1, -1, 0))
_DONE = _message(b"C", b"SELECT 1\0")
# The constant answers of the extended query: Parse, Bind, Close, Sync, Describe.
_FIXED = {
    b"P": _message(b"1"),
    b"B": _message(b"2"),
    b"C": _message(b"3"),
    b"S": _READY,
}


class Postgres(MessageServer):
    """The lab's PostgreSQL server for one connection.

    The answer to each query is one row with the lab's token, a random text: a client that prints it
    has read the answer.
    """

    max_messages = _MAX_MESSAGES

    def __init__(self, step: ServerStep, answer_context: AnswerContext) -> None:
        super().__init__(step)
        self._row = _message(
            b"D", struct.pack(">HI", 1, len(answer_context.token)), answer_context.token.encode()
        )
        self._started = False

    def begin(self, *, secure: bool) -> bytes:
        """Return no bytes: in PostgreSQL the client speaks first. ``secure`` has no effect."""
        return b""

    @property
    def between(self) -> bool:
        """True until the client sends its startup message. TLS can begin only before this message.

        The first byte distinguishes both: it is zero in a startup message, and never in a
        ClientHello.
        """
        return not self._started

    def take(self) -> bytes:
        """Remove the next message from the received bytes, ``pending``, and return it.

        The result is empty if the message is incomplete, or if its length is invalid: then the
        connection ends.
        """
        at = 1 if self._started else 0
        if len(self.pending) < at + 4:
            return b""
        size = int.from_bytes(self.pending[at : at + 4])
        longest, least = (_LONGEST, 4) if self._started else (_LONGEST_STARTUP, 8)
        if not least <= size <= longest:
            self.end(keep=at + 4)
            return b""
        message = bytes(self.pending[: at + size])
        if len(message) < at + size:
            return b""
        del self.pending[: at + size]
        return message

    def reply(self, message: bytes, *, secure: bool) -> bytes:
        """Return the server's answer to a complete message; empty after the termination message.

        ``secure`` is True under TLS.
        """
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
            self.deaf = self.closing = True
            return b""
        self._started = True
        self.closing = secure and (self.silent or self.injects)
        return b"" if self.closing else _WELCOME

    def _agree(self) -> bytes:
        self.tampered = self.strips or self.injects
        self.upgrade = not self.strips
        if self.strips:
            return b"N"
        return b"S" + _WELCOME if self.injects else b"S"

    def _answer(self, kind: bytes, of: bytes) -> bytes:
        if kind == b"Q":
            return _ROW + self._row + _DONE + _READY
        if kind == b"D":
            return (_message(b"t", bytes(2)) if of == b"S" else b"") + _ROW
        if kind == b"E":
            return self._row + _DONE
        return _FIXED.get(kind, b"")  # passwords, Flush and others need no answer

    def is_data(self, message: bytes, *, secure: bool) -> bool:
        """Return True if a message, complete or not, counts as data of the client.

        All messages do, except the termination message, and requests for encryption or
        cancellation. In cases that inject an answer, the startup message under TLS doesn't either.
        ``secure`` is True if the message arrived under TLS.
        """
        if self._started:
            return message[:1] != b"X"
        if secure and self.injects:
            return False
        if len(message) < 8:  # perhaps a request for TLS
            return len(message) >= 4 and int.from_bytes(message[:4]) not in {8, 16}
        return int.from_bytes(message[4:8]) not in {_SSL, _GSS, _CANCEL}
