"""The server side of HTTP/1.1 (RFC 9112) in the lab. It has only the parts that the lab needs."""

from __future__ import annotations

import re
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

from certpin.lab.scenario import KEEPING, Answer
from certpin.lab.server.websocket import WebSocket, accept_key, switch
from certpin.lab.verdict import KEPT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from certpin.lab.scenario import AnswerContext, ServerStep


# The limit of a chunk size line, as extensions could make it arbitrarily long (RFC 9112 section
# 7.1.1).
_LONGEST_LINE = 4096
_MAX_DIGITS = 15  # digits of a size: more than any client sends, and quick to parse


class Body(Protocol):
    """Reads the body of a request while it arrives. ``whole`` is True once the body is complete."""

    whole: bool

    def take(self, pending: bytearray) -> bytes:
        """Remove the body's next bytes from the front of ``pending``, and return them.

        ``pending`` are the received bytes that are not processed yet.
        """


class Counted:
    """Reads a request body of a known length, in bytes."""

    def __init__(self, octets: int) -> None:
        self._missing = octets
        self.whole = not octets

    def take(self, pending: bytearray) -> bytes:
        """Remove the body's next bytes from the front of ``pending``, and return them.

        ``pending`` are the received bytes that are not processed yet. Bytes after the end of the
        body stay in it. ``whole`` becomes True when the body is complete.
        """
        taken = bytes(pending[: self._missing])
        del pending[: len(taken)]
        self._missing -= len(taken)
        self.whole = not self._missing
        return taken


class Chunked:
    """Reads a chunked request body and its trailer (RFC 9112 section 7.1).

    A malformed chunk ends the body too.
    """

    def __init__(self) -> None:
        self.whole = False
        self._chunk: Counted | None = None
        self._trailer = False

    def take(self, pending: bytearray) -> bytes:
        """Remove the body's next bytes from the front of ``pending``, and return them.

        ``pending`` are the received bytes that are not processed yet.
        """
        taken = bytearray()
        while not self.whole and (pending or self._chunk):
            if self._chunk:
                taken += self._chunk.take(pending)
                if not self._chunk.whole:
                    break
                self._chunk = None
            line = self._line(pending)
            if line is None:
                break
            taken += line
        return bytes(taken)

    def _line(self, pending: bytearray) -> bytes | None:
        """Remove and return the next line (a chunk size or trailer) of the received bytes.

        ``pending`` are the received bytes. Return None if the line is incomplete.
        """
        text, end, _ = pending.partition(b"\n")
        if not end:
            self.whole = len(text) > _LONGEST_LINE
            return None
        line = bytes(pending[: len(text) + 1])
        del pending[: len(line)]
        self._understand(line.strip())
        return line

    def _understand(self, line: bytes) -> None:
        if self._trailer:
            self.whole = not line
            return
        digits = line.partition(b";")[0].strip()
        try:
            size = int(digits[:_MAX_DIGITS], 16)
        except ValueError:
            self.whole = True
            return
        self._trailer = not size
        if size > 0:
            self._chunk = Counted(size + 2)  # with the line end after the chunk


def body_of(head: bytes) -> Body:
    """Return a reader for the body of a request: chunked, or of the length that the head announces.

    Without a valid length, the body is empty. ``head`` is the request line with the headers.
    """
    if field(head, b"transfer-encoding").lower().endswith(b"chunked"):
        return Chunked()
    length = field(head, b"content-length")
    return Counted(int(length[:_MAX_DIGITS]) if length.isdigit() else 0)


def field(head: bytes, name: bytes) -> bytes:
    """Return the value of the first header ``name`` in an HTTP request; empty if it is missing.

    ``name`` must be in lower case. ``head`` is the request line with the headers.
    """
    for line in head.split(b"\n")[1:]:
        found, _, value = line.partition(b":")
        if found.strip().lower() == name:
            return value.strip()
    return b""


_LONGEST_HEAD = 64 * 1024  # bytes; RFC 9110 section 5.4 lets the server choose
# Requests per connection. nginx allows 1000 (keepalive_requests), more than a tested client needs,
# and the answers to pipelined requests use memory (CVE-2023-44487 for HTTP/2).
MAX_REQUESTS = 100
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_BASIC = 'Proxy-Authenticate: Basic realm="lab"\r\n'  # RFC 7617 section 2
_GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"


class Http:
    """The lab's HTTP/1.1 server: it answers each request with the lab's token, or with a redirect.

    The token is a random text: a client that prints it has read the answer. Everything that the
    server receives counts as data of the client. If the client requests WebSocket (RFC 6455), and
    the answer would be the token, the connection changes to WebSocket instead.
    """

    upgrade = False

    def __init__(self, step: ServerStep, answer_context: AnswerContext) -> None:
        self.data = bytearray()
        self.astray = bytearray()
        self.closing = False
        self._answer = step.answer
        self._alt_svc = answer_context.alt_svc(step)
        self._foreign = step.foreign.encode()
        self._answer_context = answer_context
        self._pending = bytearray()
        self._head = b""
        self._body: Body | None = None  # the body of the current request, after its head
        self._answered = 0
        self._socket: WebSocket | None = None  # once the client has changed to WebSocket

    def begin(self, *, secure: bool) -> bytes:
        """Return no bytes: in HTTP the client speaks first. ``secure`` has no effect."""
        return b""

    def receive(self, data: bytes, *, secure: bool) -> bytes:
        """Process bytes from the client, and return the answers to complete requests.

        ``secure`` has no effect, because the answers are the same in clear text and under TLS.
        """
        if self._socket and not self.closing:
            return self._receive_frames(self._socket, data)
        self.data += data[: KEPT - len(self.data)]
        if self.closing:
            return b""
        self._pending += data
        replies = bytearray()
        while self._pending and not self.closing:
            if self._socket:  # frames before the answer, which RFC 6455 section 4.1 forbids
                replies += self._receive_frames(self._socket, bytes(self._pending))
                self._pending.clear()
                break
            if self._body is None and not self._take_head(replies):
                break
            assert self._body is not None  # noqa: S101  # set with the head
            self._keep_astray(self._body.take(self._pending))
            if not self._body.whole:
                break
            replies += self._reply()
        return bytes(replies)

    def _receive_frames(self, socket: WebSocket, data: bytes) -> bytes:
        """Process WebSocket frames, and return the reply. Their payload is data of the client.

        ``socket`` is the lab's side of the WebSocket connection, and ``data`` the bytes of the
        frames.
        """
        said, reply = socket.receive(data)
        self.data += said[: KEPT - len(self.data)]
        self._keep_astray(said)
        self.closing = socket.closing
        return reply

    def _take_head(self, replies: bytearray) -> bool:
        """Remove the next request's head from the buffer of received bytes.

        Return True if the head is complete; otherwise it stays in the buffer. If the client waits
        for a reply before it sends the body (``Expect: 100-continue``), that reply is added to
        ``replies``.
        """
        head, end, _ = self._pending.partition(b"\r\n\r\n")
        if not end:
            self.closing = len(self._pending) > _LONGEST_HEAD
            return False
        del self._pending[: len(head) + len(end)]
        self._head, self._body = bytes(head), body_of(bytes(head))
        self._keep_astray(self._head)
        if field(self._head, b"expect").lower() == b"100-continue" and not self._pending:
            replies += _GO_ON  # RFC 9110 section 10.1.1: the client waits for this
        return True

    @property
    def _path(self) -> str:
        """The target (path or URL) of the current HTTP request; empty if the request has none."""
        first = self._head.partition(b"\r\n")[0].split(b" ")
        return first[1].decode("ascii", "replace") if len(first) > 1 else ""

    @property
    def _strayed(self) -> bool:
        """True if the current request names the second host of the case. Its data is ``astray``.

        A client must not request the second host on this connection, because it did not check the
        pins of that host here.
        """
        host = field(self._head, b"host").partition(b":")[0].lower()
        return bool(self._foreign) and host == self._foreign

    def _keep_astray(self, said: bytes) -> None:
        if self._strayed:
            self.astray += said[: KEPT - len(self.astray)]

    def _reply(self) -> bytes:
        self._body = None
        self._answered += 1
        last = field(self._head, b"connection").lower() == b"close"  # RFC 9112 section 9.6
        self.closing = self._answer not in KEEPING or last or self._answered >= MAX_REQUESTS
        if self._answer is Answer.SILENT:
            return b""
        to = "" if self._strayed else self._answer_context.redirect_url(self._answer, self._path)
        if to:
            return redirect(to, keep=not self.closing, alt_svc=self._alt_svc)
        accepted = websocket_key(self._head)
        if accepted:
            self.closing = False  # the frames end the connection
            self._socket = WebSocket(self._answer_context.token, keep=self._answer in KEEPING)
            return switch(accepted, subprotocol(self._head)) + self._socket.begin()
        only_head = self._head.startswith(b"HEAD ")
        return respond(
            self._answer_context.token,
            keep=not self.closing,
            only_head=only_head,
            alt_svc=self._alt_svc,
        )


def websocket_key(head: bytes) -> bytes:
    """Return the value of ``Sec-WebSocket-Accept`` with which a server accepts WebSocket.

    The result is empty if the request doesn't ask for WebSocket, version 13 (RFC 6455 section
    4.2.1). ``head`` is the head of the HTTP request.
    """
    asks = (
        head.startswith(b"GET ")
        and field(head, b"upgrade").lower() == b"websocket"
        and b"upgrade" in field(head, b"connection").lower()
        and field(head, b"sec-websocket-version") == b"13"
    )
    return accept_key(field(head, b"sec-websocket-key")) if asks else b""


def subprotocol(head: bytes) -> bytes:
    """Return the first WebSocket subprotocol that the client offers in the head of its request.

    The server accepts it, because some clients require a subprotocol. The result is empty if the
    client offers none, or if the first is not a token (RFC 9110 section 5.6.2).
    """
    first = field(head, b"sec-websocket-protocol").partition(b",")[0].strip()
    return first if _TOKEN.fullmatch(first) else b""


def respond(token: str, *, keep: bool = False, only_head: bool = False, alt_svc: str = "") -> bytes:
    """Return a complete HTTP response with the lab's token as its body, and the header ``Date``.

    Args:
        token: a random text: a client that prints it has read the answer.
        keep: True to keep the connection open.
        only_head: True to leave out the body, for a HEAD request.
        alt_svc: another server for later requests (RFC 7838); empty for none.
    """
    body = f"{token}\n".encode()
    head = (
        f"HTTP/1.1 200 OK\r\nDate: {formatdate(usegmt=True)}\r\nContent-Type: text/plain\r\n"
        f"Content-Length: {len(body)}\r\n{_alternative(alt_svc)}{_connection(keep=keep)}\r\n"
    )
    return head.encode() + (b"" if only_head else body)


def redirect(to: str, *, keep: bool = False, alt_svc: str = "") -> bytes:
    """Return a complete HTTP response that redirects to the URL ``to``: status 302, without a body.

    It has the header ``Date``. If ``keep`` is True, it announces that the connection stays open.
    ``alt_svc`` is the value of the header ``Alt-Svc``, with which a server offers another server
    for later requests (RFC 7838); empty for no such header.
    """
    head = (
        f"HTTP/1.1 302 Found\r\nDate: {formatdate(usegmt=True)}\r\nLocation: {to}\r\n"
        "Content-Length: 0\r\n"
    )
    return f"{head}{_alternative(alt_svc)}{_connection(keep=keep)}\r\n".encode()


def refuse_tunnel(status: int, answer_context: AnswerContext) -> bytes:
    """Return the HTTP response of a proxy that opens no tunnel, as bytes.

    Its body is the lab's token, a random text: a client that prints it has read the response. A
    status other than 2xx means that the response is the proxy's, and not the server's (RFC 9110
    section 9.3.6). The proxy closes the connection after the response.

    Args:
        status: the HTTP status, such as 403. 302 redirects to the host under test in clear text,
            and 407 asks for a password (RFC 9110 section 11.7.1).
        answer_context: the token, and the URL of the redirect.
    """
    extra = {302: f"Location: {answer_context.plain}\r\n", 407: _BASIC}.get(status, "")
    return _refusal(status, answer_context.token, extra)


def refuse_host() -> bytes:
    """Return the HTTP response of the lab's proxy to a request for a host that is not under test.

    RFC 9110 section 9.3.6 asks proxies to restrict CONNECT to safe targets. The response does not
    contain the lab's token, because a client that prints it has not read a server's answer.
    """
    return _refusal(HTTPStatus.FORBIDDEN, "certpin: the lab's proxy leads to no other host", "")


def _refusal(status: int, text: str, extra: str) -> bytes:
    body = f"{text}\n".encode()
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nDate: {formatdate(usegmt=True)}\r\n"
        f"{extra}Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body


def header_text(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the headers of an HTTP/2 or HTTP/3 request as HTTP/1.1 text.

    The lab searches this text for the canary, the secret in the URL that the client was given.
    """
    return b"".join(b"%s: %s\r\n" % (name, value) for name, value in headers) + b"\r\n"


def _alternative(alt_svc: str) -> str:
    return f"Alt-Svc: {alt_svc}\r\n" if alt_svc else ""


def _connection(*, keep: bool) -> str:
    """Return the header ``Connection: keep-alive`` if ``keep`` is True; otherwise an empty text.

    ``Connection: close`` is never sent, although RFC 9112 section 9.6 recommends it. A client that
    reads it discards the connection, together with the server's certificate. But some clients check
    the certificate only after the answer, and the lab has to test these clients too.
    """
    return "Connection: keep-alive\r\n" if keep else ""
