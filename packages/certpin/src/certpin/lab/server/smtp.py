"""The server side of SMTP in the lab. It has only the parts that receive a message (RFC 5321).

Every login succeeds (RFC 4954), because the lab does not know the passwords.
"""

from __future__ import annotations

from typing import ClassVar

from certpin.lab.server.lines import Lines, first_word

# The lab reads 4 MiB of a connection; RFC 5321 section 4.5.3.1.7 requires at least 64 KiB.
_LARGEST = 3_000_000
_NAME = b"lab.invalid"  # RFC 6761 section 6.4: reserved
_OK = b"250 2.0.0 OK\r\n"
_GO_ON = b"334 \r\n"  # RFC 4954 section 4: a challenge without text
_EXTENSIONS = (b"8BITMIME", b"SMTPUTF8", b"ENHANCEDSTATUSCODES", b"SIZE %d" % _LARGEST)
_LOGIN = b"AUTH PLAIN LOGIN"


class Smtp(Lines):
    """The lab's SMTP server for one connection.

    The answer to each message contains the lab's token, a random text: a client that prints it has
    read the answer. PIPELINING (RFC 2920) is not offered, so a client must wait for each answer.
    """

    courtesies: ClassVar = frozenset(
        {b"EHLO", b"HELO", b"LHLO", b"NOOP", b"RSET", b"HELP", b"STARTTLS"}
    )
    goodbyes: ClassVar = frozenset({b"QUIT"})

    _state = "command"  # or "message"; or "sasl" with _left challenges left
    _left = 0

    @property
    def between(self) -> bool:
        """True if the client's next line begins a new command. Only then can TLS begin.

        It is False during a SASL login and in the text of a message.
        """
        return self._state == "command"

    def greeting(self) -> bytes:
        """Return the greeting that the server sends first (RFC 5321 section 3.1)."""
        return b"220 " + _NAME + b" ESMTP certpin lab\r\n"

    def word(self, line: bytes) -> tuple[bytes, bool]:
        """Return the command word of a line in upper case, and True if the word is complete.

        A word at the end of an unfinished line is not complete, because more of it can still
        arrive.
        """
        return first_word(line)

    def answer(self, line: bytes, *, secure: bool) -> bytes:
        """Return the answer to a line: a command, a step of a SASL login, or the end of a message.

        ``secure`` is True under TLS.
        """
        if not self.between:
            return self._message(line) if self._state == "message" else self._sasl(line)
        verb, _ = self.word(line)
        if verb in {b"EHLO", b"LHLO"}:
            return self._ehlo(secure=secure)
        if verb == b"HELO":
            self.tampered |= self.strips
            return b"250 " + _NAME + b"\r\n"
        if verb == b"STARTTLS" and not secure:
            return self._starttls()
        if verb == b"AUTH":
            return self._auth(line.split())
        return self._plain(verb)

    def _plain(self, verb: bytes) -> bytes:
        if verb == b"DATA":
            self._state = "message"
            return b"354 go ahead, end with a line of one dot\r\n"
        if verb == b"QUIT":
            self.closing = True
            return b"221 2.0.0 goodbye\r\n"
        if verb == b"VRFY":
            return b"252 2.1.5 it may be so\r\n"
        known = {b"MAIL", b"RCPT", b"RSET", b"NOOP", b"HELP"}
        return _OK if verb in known else b"500 5.5.2 no such command\r\n"

    def _ehlo(self, *, secure: bool) -> bytes:
        self.tampered |= self.strips
        offers = not secure and not self.strips
        return _multiline(_NAME, *_EXTENSIONS, b"STARTTLS" if offers else _LOGIN)

    def _starttls(self) -> bytes:
        if self.strips:
            self.tampered = True
            return b"454 4.7.0 TLS not available\r\n"  # RFC 3207 section 4
        return self.agree(b"220 2.0.0 go ahead\r\n", _multiline(_NAME, _LOGIN))

    def _auth(self, words: list[bytes]) -> bytes:
        """Begin a login by SASL, and return the server's answer (RFC 4954 section 4).

        The mechanism LOGIN has two challenges, and PLAIN one. If the command contains a response
        already, there is one challenge less. The answer is the next challenge, or confirms the
        login if none is left. ``words`` are the words of the command.
        """
        mechanism = words[1].upper() if len(words) > 1 else b""
        steps = 2 if mechanism == b"LOGIN" else 1
        self._left = steps - (len(words) > 2)
        return self._challenge(mechanism)

    def _challenge(self, mechanism: bytes = b"LOGIN") -> bytes:
        if not self._left:
            self._state = "command"
            return b"235 2.7.0 welcome\r\n"
        self._state = "sasl"
        asks = {2: b"VXNlcm5hbWU6", 1: b"UGFzc3dvcmQ6"}[self._left]
        return b"334 " + asks + b"\r\n" if mechanism == b"LOGIN" else _GO_ON

    def _sasl(self, line: bytes) -> bytes:
        self._left -= 1
        if line.strip() == b"*":
            self._state = "command"
            return b"501 5.7.0 cancelled\r\n"
        return self._challenge()

    def _message(self, line: bytes) -> bytes:
        if line not in {b".\r\n", b".\n"}:
            return b""
        self._state = "command"
        return f"250 2.0.0 OK: queued as {self.token}\r\n".encode()


def _multiline(*lines: bytes) -> bytes:
    """Return an SMTP reply with code 250 and these texts, one a line (RFC 5321 section 4.2.1)."""
    *others, last = lines
    return b"".join(b"250-%s\r\n" % line for line in others) + b"250 %s\r\n" % last
