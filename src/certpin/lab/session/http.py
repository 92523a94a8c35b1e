"""HTTP/1.1, as much of it as an answer takes (RFC 9112)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.evidence import KEPT
from certpin.lab.script import Answer

if TYPE_CHECKING:
    from certpin.lab.script import Act
    from certpin.lab.session.application import Where

_LONGEST_HEAD = 64 * 1024  # octets; RFC 9112 section 2.3 leaves it to the server


class Http:
    """Answers each request with the token, or with a redirect. All that it is sent is data."""

    upgrade = False

    def __init__(self, act: Act, where: Where) -> None:
        self.data = bytearray()
        self.closing = False
        self._answer = act.answer
        self._where = where
        self._pending = bytearray()

    def begin(self, *, secure: bool) -> bytes:
        """Nothing: the client speaks first."""
        return b""

    def receive(self, data: bytes, *, secure: bool) -> bytes:
        """Take a piece of a request; the answer, once its head is there."""
        self.data += data[: KEPT - len(self.data)]
        self._pending += data
        replies = b""
        while b"\r\n\r\n" in self._pending and not self.closing:
            head, _, rest = bytes(self._pending).partition(b"\r\n\r\n")
            self._pending = bytearray(rest[_body_length(head) :])
            replies += self._reply()
        if len(self._pending) > _LONGEST_HEAD:
            self.closing = True
        return replies

    def _reply(self) -> bytes:
        self.closing = self._answer is not Answer.KEEP
        if self._answer is Answer.SILENT:
            return b""
        to = {
            Answer.REDIRECT_SAME: self._where.same,
            Answer.REDIRECT_SECOND: self._where.second,
            Answer.REDIRECT_PLAIN: self._where.plain,
        }.get(self._answer)
        return redirect(to) if to else respond(self._where.token, keep=not self.closing)


def _body_length(head: bytes) -> int:
    """How many octets of the body belong to this request. A chunked one reads as the next head."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            return int(value[:20])
    return 0


def respond(token: str, *, keep: bool = False) -> bytes:
    """A whole answer that holds the token."""
    body = f"{token}\n".encode()
    connection = "keep-alive" if keep else "close"
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
        f"Content-Length: {len(body)}\r\nConnection: {connection}\r\n\r\n"
    )
    return head.encode() + body


def redirect(to: str) -> bytes:
    """A whole answer that sends the client elsewhere."""
    head = f"HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    return head.encode()
