"""The common base of the lab's SMTP, IMAP and PostgreSQL servers: messages and STARTTLS.

The servers record which bytes are data of the client. In clear text, all bytes are data, except
commands that request TLS or end the connection. Under TLS, all bytes are data, except commands that
end the connection. A client that refuses the server sends nothing under TLS. So even a first
command such as EHLO or CAPABILITY shows that the client accepted the server.

In some cases the server injects an answer: it sends a forged answer in clear text, and then begins
TLS as the honest server. The lab does not answer the first command under TLS, and closes its side
of the connection. If the client waits for the answer, it sends nothing more, which is right. If it
sends a second command, it has taken the injected answer for one under TLS, which is a finding.

This does not depend on timing, because an SMTP client must wait for the answer to EHLO (RFC 2920
section 3.1). But an IMAP client need not wait (RFC 9051 section 5.5). So an IMAP client that sends
its first commands together fails the case, although it may be right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from certpin.lab.scenario import Answer, Opening
from certpin.lab.verdict import KEPT

if TYPE_CHECKING:
    from certpin.lab.scenario import AnswerContext, ServerStep


# The first byte of a ClientHello, which begins no message of these protocols. libpq sends it
# directly with sslnegotiation=direct.
_TLS_RECORD = b"\x16"


class MessageServer:
    """Base class of the lab's servers for protocols that consist of messages, such as SMTP.

    Each object serves one connection. Subclasses define how messages are split and answered.

    Args:
        step: how the lab serves this connection.
    """

    listens = True
    max_messages: ClassVar[int]  # the limit of messages on one connection

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
        self.message_count = 0
        self.deaf = False
        self._said = bytearray()

    def receive(self, data: bytes, *, secure: bool) -> bytes:
        """Process bytes from the client, and return the answers to complete messages.

        Processing stops if the client begins TLS, or if the connection ends: the bytes that remain
        are in ``pending``. ``secure`` is True under TLS.
        """
        if self.deaf:
            return b""
        self.pending += data
        replies = bytearray()
        while self.pending and not self.upgrade and not self.deaf:
            if not secure and self.between and self.pending[:1] == _TLS_RECORD:
                self.upgrade = True  # the client begins TLS without STARTTLS
                break
            piece = self.take()
            if not piece:
                break
            replies += self._hear(piece, secure=secure)
        self._account(secure=secure)
        return bytes(replies)

    def end(self, keep: int = 0) -> None:
        """Ignore further bytes from the client, and close the connection.

        Of the received bytes that are not processed yet (``pending``), only the first ``keep``
        still count as data of the client, and the others are discarded. So the evidence does not
        depend on how the network split the data.
        """
        self.deaf = self.closing = True
        del self.pending[keep:]

    def _hear(self, piece: bytes, *, secure: bool) -> bytes:
        self.message_count += 1
        if self.message_count > self.max_messages:
            self.end()
            return b""
        if self.is_data(piece, secure=secure):
            self._said += piece[: KEPT - len(self._said)]
        return self.reply(piece, secure=secure)

    def _account(self, *, secure: bool) -> None:
        """Set ``data``, the data that the client has sent so far, from the received messages.

        A message that is still incomplete counts too, because the client may disconnect in the
        middle of it. ``secure`` is True under TLS.
        """
        if self.upgrade:
            self.rest = bytes(self.pending)
            self.pending.clear()
        self.data = self._said[:]
        if self.pending and self.is_data(bytes(self.pending), secure=secure):
            self.data += self.pending[: KEPT - len(self.data)]

    @property
    def between(self) -> bool:
        """True if TLS can begin with the next bytes of the client.

        It can't if these bytes continue a command or a message, or if the protocol doesn't allow it
        at this point.
        """
        raise NotImplementedError

    def take(self) -> bytes:
        """Remove the next message from the received bytes, ``pending``, and return it.

        The result is empty if the message is incomplete.
        """
        raise NotImplementedError

    def is_data(self, piece: bytes, *, secure: bool) -> bool:
        """Return True if a message is data of the client, and not overhead of the protocol.

        Args:
            piece: the message, complete or not.
            secure: True if the message arrived under TLS.
        """
        raise NotImplementedError

    def reply(self, piece: bytes, *, secure: bool) -> bytes:
        """Return the server's answer to a complete message.

        ``piece`` is the message; ``secure`` is True if it arrived under TLS.
        """
        raise NotImplementedError


# The maximum length of a SASL line (RFC 4954 section 4). Commands are shorter: 512 (RFC 5321
# section 4.5.3.1.4), 8192 (RFC 7162 section 4).
LONGEST_LINE = 12_288
# Lines per connection, so that a client can't keep the lab busy with empty ones. A message of the
# 4 MiB that the lab reads has fewer, with the 78 characters of RFC 5322 section 2.1.1.
MAX_LINES = 50_000


class Lines(MessageServer):
    """Base class of the lab's servers for protocols of text lines (SMTP, IMAP).

    Each object serves one connection. Subclasses declare the commands that are not data, and answer
    complete lines.

    Args:
        step: how the lab serves this connection.
        answer_context: the content of answers, such as the lab's token.
        implicit: True if TLS begins with the first byte, without STARTTLS.
    """

    max_messages = MAX_LINES
    courtesies: ClassVar[frozenset[bytes]]  # not counted as data in clear text
    goodbyes: ClassVar[frozenset[bytes]]  # never counted as data

    def __init__(
        self, step: ServerStep, answer_context: AnswerContext, *, implicit: bool = False
    ) -> None:
        super().__init__(step)
        self.token = answer_context.token
        self._implicit = implicit

    def begin(self, *, secure: bool) -> bytes:
        """Return the server's greeting; empty if TLS begins now after STARTTLS.

        ``secure`` is True if TLS begins now. After STARTTLS, a server sends no second greeting (RFC
        3207 section 4.2, RFC 9051 section 6.2.1).
        """
        return self.greeting() if secure is self._implicit else b""

    def take(self) -> bytes:
        """Remove the next line from the received bytes, ``pending``, and return it.

        The result is empty if the line is incomplete.
        """
        end = self.pending.find(b"\n", 0, LONGEST_LINE)
        if end < 0:
            if len(self.pending) >= LONGEST_LINE:
                self.end(keep=LONGEST_LINE)
            return b""
        line = bytes(self.pending[: end + 1])
        del self.pending[: end + 1]
        return line

    def reply(self, line: bytes, *, secure: bool) -> bytes:
        """Return the server's answer to a line; empty if the line must not be answered.

        Under TLS, a server that is silent or has injected an answer does not answer its first line,
        and closes the connection. ``secure`` is True if the line arrived under TLS.
        """
        if self.closing:
            return b""
        if secure and (self.silent or self.injects):
            self.closing = True
            return b""
        return self.answer(line, secure=secure)

    def is_data(self, line: bytes, *, secure: bool) -> bool:
        """Return True if a line, complete or not, counts as data of the client.

        All lines do, except commands that end the connection; in clear text, those that request
        TLS; and the first command under TLS if the case injects an answer. An incomplete line
        doesn't count if it can still become such a command. ``secure`` is True if the line arrived
        under TLS.
        """
        if not self.between:
            return True
        first = self.message_count <= (1 if b"\n" in line else 0)
        if secure and self.injects and first:
            return False
        word, whole = self.word(line)
        polite = self.goodbyes if secure else self.goodbyes | self.courtesies
        if whole or (secure and b"\n" in line):
            return word not in polite
        return bool(word) and not any(courtesy.startswith(word) for courtesy in polite)

    def agree(self, go_ahead: bytes, injected: bytes) -> bytes:
        """Set ``upgrade``, so that TLS begins now, and return the reply that accepts STARTTLS.

        Args:
            go_ahead: the reply.
            injected: a forged answer. It is appended in clear text if the case injects an answer.
        """
        self.upgrade = True
        self.tampered = self.injects
        return go_ahead + injected if self.injects else go_ahead

    def greeting(self) -> bytes:
        """Return the greeting that the server sends first on a connection."""
        raise NotImplementedError

    def word(self, line: bytes) -> tuple[bytes, bool]:
        """Return the command word of a line in upper case, and True if the word is complete.

        A word at the end of an unfinished line is not complete, because more of it can still
        arrive.
        """
        raise NotImplementedError

    def answer(self, line: bytes, *, secure: bool) -> bytes:
        """Return the server's answer to a complete line: a part of a command, or of a message.

        It is empty if more lines are needed first. ``secure`` is True under TLS.
        """
        raise NotImplementedError


def first_word(text: bytes) -> tuple[bytes, bool]:
    """Return the first word of a line in upper case, and True if the word is complete.

    ``text`` is the line. The word is complete if a space or a line end follows it. Without one,
    more of the word can still arrive. If there is no word, the result is empty and False.
    """
    words = text.split(None, 1)
    ended = bool(words) and text.lstrip()[len(words[0]) :] != b""
    return (words[0].upper() if words else b""), ended
