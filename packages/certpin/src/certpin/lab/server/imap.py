"""The server side of IMAP in the lab, with one message in one mailbox (RFC 9051, RFC 3501).

Every login succeeds, because the lab does not know the passwords.
"""

from __future__ import annotations

import re
from typing import ClassVar

from certpin.lab.server.lines import Lines, first_word

_LITERAL = re.compile(rb"\{(\d{1,9})(\+?)\}\r?\n\Z")  # RFC 9051 section 4.3, RFC 7888 section 4
_COUNTER = re.compile(rb"\d+\Z")
_LOGIN = b"AUTH=PLAIN AUTH=LOGIN SASL-IR"
_MESSAGE = "From: lab@lab.invalid\r\nSubject: {0}\r\n\r\n{0}\r\n"
_FLAGS = b"* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n"


class Imap(Lines):
    """The lab's IMAP server for one connection.

    The answers to LOGIN and SELECT, and the message, contain the lab's token, a random text: a
    client that prints it has read the answer.
    """

    courtesies: ClassVar = frozenset({b"CAPABILITY", b"NOOP", b"ID", b"STARTTLS"})
    goodbyes: ClassVar = frozenset({b"LOGOUT"})

    _tag = b""  # the tag of a command that continues in more lines
    _command = b""
    _steps = 0  # lines of SASL that are still expected
    _octets = 0  # bytes of a literal that are still expected

    @property
    def between(self) -> bool:
        """True if the client's next line begins a new command. Only then can TLS begin.

        It is False if the line continues a command that the server has not answered.
        """
        return not self._tag

    def greeting(self) -> bytes:
        """Return the server's greeting (RFC 9051 section 7.1.1).

        The greeting lists no capabilities of the server, so that the client must request them.
        """
        return b"* OK IMAP4rev1 certpin lab\r\n"

    def word(self, line: bytes) -> tuple[bytes, bool]:
        """Return the command word of a line in upper case, and True if the word is complete.

        In IMAP, the command word follows the tag with which a line begins. A word at the end of an
        unfinished line is not complete, because more of it can still arrive.
        """
        _, _, rest = line.lstrip().partition(b" ")
        return first_word(rest)

    def answer(self, line: bytes, *, secure: bool) -> bytes:
        """Return the answer to a line, which is part of a command, or a step of a SASL login.

        A command is answered when its literals are complete; before that, the result is empty or
        asks for the literal. ``secure`` is True under TLS.
        """
        if self._octets > 0:
            self._octets -= len(line)
            if self._octets >= 0:
                return b""
        elif self._steps:
            return self._sasl(line)
        elif not self._tag:
            self._tag = line.split(b" ")[0].strip()[:64]
            self._command, _ = self.word(line)
            if self._command == b"UID":
                self._command, _ = first_word(line.split(None, 2)[-1])
        literal = _LITERAL.search(line)
        if literal:
            self._octets = int(literal[1])
            return b"" if literal[2] else b"+ go ahead\r\n"
        return self._finish(line, secure=secure)

    def _finish(self, line: bytes, *, secure: bool) -> bytes:
        if self._command == b"AUTHENTICATE":
            return self._authenticate(line.split())
        tag, self._tag = self._tag, b""
        if not tag or not self._command:
            return b"* BAD no command\r\n"
        if self._command == b"STARTTLS" and not secure:
            return self._starttls(tag)
        return self._untagged(secure=secure) + tag + self._status()

    def _untagged(self, *, secure: bool) -> bytes:
        if self._command == b"CAPABILITY":
            self.tampered |= self.strips
            offers = not secure and not self.strips
            return _capability(b"STARTTLS LOGINDISABLED" if offers else _LOGIN)
        if self._command in {b"SELECT", b"EXAMINE"}:
            return _FLAGS + b"* 1 EXISTS\r\n* 0 RECENT\r\n* OK [UIDVALIDITY 1]\r\n"
        if self._command == b"FETCH":
            body = _MESSAGE.format(self.token).encode()
            return b"* 1 FETCH (UID 1 BODY[] {%d}\r\n%s)\r\n" % (len(body), body)
        other = {
            b"LIST": b'* LIST () "/" INBOX\r\n',
            b"SEARCH": b"* SEARCH 1\r\n",
            b"LOGOUT": b"* BYE goodbye\r\n",
        }
        return other.get(self._command, b"")

    def _status(self) -> bytes:
        self.closing = self._command == b"LOGOUT"
        if self._command == b"STARTTLS":
            return b" BAD no TLS in TLS\r\n"
        if self._command in {b"SELECT", b"LOGIN", b"AUTHENTICATE"}:
            access = "[READ-WRITE] " if self._command == b"SELECT" else ""
            return f" OK {access}{self.token}\r\n".encode()
        return b" OK done\r\n"

    def _starttls(self, tag: bytes) -> bytes:
        if self.strips:
            self.tampered = True
            return tag + b" BAD no TLS here\r\n"
        return self.agree(tag + b" OK begin TLS now\r\n", _injected(tag))

    def _authenticate(self, words: list[bytes]) -> bytes:
        """Begin a login by SASL, and return the server's answer (RFC 9051 section 6.2.2).

        The mechanism LOGIN has two challenges, and PLAIN one. If the command contains a response
        already, there is one challenge less. The answer is the next challenge, or confirms the
        login if none is left. ``words`` are the words of the command.
        """
        login = len(words) > 2 and words[2].upper() == b"LOGIN"
        self._steps = (2 if login else 1) - (len(words) > 3)
        return b"+ \r\n" if self._steps else self._welcome()

    def _sasl(self, line: bytes) -> bytes:
        self._steps -= 1
        if line.strip() == b"*":
            self._steps, tag, self._tag = 0, self._tag, b""
            return tag + b" BAD cancelled\r\n"
        return b"+ \r\n" if self._steps else self._welcome()

    def _welcome(self) -> bytes:
        tag, self._tag = self._tag, b""
        return tag + self._status()


def _capability(more: bytes) -> bytes:
    return b"* CAPABILITY IMAP4rev1 " + more + b"\r\n"


def _injected(tag: bytes) -> bytes:
    """Return a forged answer to the command that the client will send after STARTTLS.

    An answer must have the tag of its command. This tag is guessed from ``tag``, the tag of the
    STARTTLS command.
    """
    return _capability(_LOGIN) + _COUNTER.sub(_next, tag) + b" OK done\r\n"


def _next(counter: re.Match[bytes]) -> bytes:
    return b"%0*d" % (len(counter[0]), int(counter[0]) + 1)
