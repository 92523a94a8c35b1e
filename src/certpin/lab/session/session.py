"""One connection to the lab, without I/O: bytes in, bytes out, and what was seen written down.

Every transport is a thin shell around it: a port, a CONNECT proxy, SOCKS5, WireGuard.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from certpin.lab.case import CannotServeError
from certpin.lab.evidence import KEPT, Connection
from certpin.lab.script import Opening
from certpin.lab.session.context import act_context
from certpin.lab.session.hello import NotTLSError, read_hello
from certpin.lab.session.http import respond

if TYPE_CHECKING:
    from certpin.lab.play import Play
    from certpin.lab.session.application import Application

_TLS_RECORD = b"\x16"  # the first byte of every ClientHello (RFC 8446 section 5.1)
_PIECE = 16 * 1024
_MOST_IN = 4 * 1024 * 1024  # octets that one client may send before it is cut off


class Session:
    """Serves one connection of a play. ``seen`` is the evidence.

    Send ``data_to_send()`` after each step; when ``done``, send what is left and close.
    """

    def __init__(self, play: Play, *, via: str = "port", target: str = "") -> None:
        self.seen = Connection(via=via, target=target)
        self.done = False
        self._play = play
        self._out = bytearray()
        self._waiting = bytearray()  # of a ClientHello that has not come whole
        self._tls: _Tls | None = None
        self._taken = 0
        # A protocol with STARTTLS begins in clear text; the act is then chosen by its first word.
        self._clear: Application | None = play.clear_application(self.seen)
        if self._clear:
            self._out += self._clear.begin(secure=False)
        play.opened(self.seen)

    def data_to_send(self) -> bytes:
        """Take what must be sent now."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def receive(self, data: bytes) -> None:
        """Take what the client sent; empty where it hung up. Never raises."""
        self._taken += len(data)
        if not data or self._taken > _MOST_IN:
            self._end("" if not data else "the client sent more than the lab reads")
            return
        try:
            self._take(data)
        except NotTLSError as exc:
            self._end(str(exc))
        except CannotServeError as exc:
            self._play.failed(exc)
            self._end(str(exc))

    def _take(self, data: bytes) -> None:
        if self._tls:
            self._secure(data)
        elif self._clear and not self._clear.upgrade:
            self._speak(data)
        elif not self._waiting and data[:1] != _TLS_RECORD:
            self._unexpected(data)
        else:
            self._waiting += data
            self._begin_tls()

    def _speak(self, data: bytes) -> None:
        """The part before STARTTLS."""
        assert self._clear is not None  # noqa: S101  # the caller looked
        self._out += self._clear.receive(data, secure=False)
        self.seen.clear = bytes(self._clear.data)
        self.done = self._clear.closing

    def _unexpected(self, data: bytes) -> None:
        """A client that speaks in clear text where TLS should be: all of it is given away."""
        self.seen.clear += data[: KEPT - len(self.seen.clear)]
        if b"\r\n\r\n" in self.seen.clear or len(self.seen.clear) >= KEPT:
            self._out += respond(self._play.where.token)
            self._end("the client spoke in clear text")

    def _begin_tls(self) -> None:
        hello = read_hello(bytes(self._waiting))
        if hello is None:
            return
        self.seen.hello = hello
        act = self.seen.act or self._play.next_act(hello.server_name, self.seen.target)
        self.seen.act = act
        if act.opening is Opening.PLAIN:
            self._out += respond(self._play.where.token)
            self._end("the lab answered in clear text")
            return
        application = self._clear or self._play.application(act, hello)
        self._tls = _Tls(act_context(act, self._play.alpn), application)
        self._secure(bytes(self._waiting))

    def _secure(self, data: bytes) -> None:
        assert self._tls is not None  # noqa: S101  # the caller looked
        self._tls.receive(data, self.seen)
        self._out += self._tls.data_to_send()
        self.done = self._tls.closed

    def _end(self, problem: str) -> None:
        self.seen.problem = self.seen.problem or problem
        self.done = True


class _Tls:
    """The server's side of TLS, and of the application in it."""

    def __init__(self, context: ssl.SSLContext, application: Application) -> None:
        self.closed = False
        self._in, self._sent = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._in, self._sent, server_side=True)
        self._application = application

    def data_to_send(self) -> bytes:
        return self._sent.read()

    def receive(self, data: bytes, seen: Connection) -> None:
        self._in.write(data)
        try:
            if not seen.secured:
                self._handshake(seen)
            self._read(seen)
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass
        except ssl.SSLError as exc:
            self.closed = True
            _note(exc, seen)

    def _handshake(self, seen: Connection) -> None:
        self._object.do_handshake()
        seen.secured = True
        seen.version = self._object.version() or ""
        seen.cipher = (self._object.cipher() or ("",))[0]
        seen.alpn = self._object.selected_alpn_protocol() or ""
        seen.resumed = bool(self._object.session_reused)
        seen.client_certificate = self._object.getpeercert(binary_form=True) or b""
        self._say(self._application.begin(secure=True))

    def _read(self, seen: Connection) -> None:
        while not self.closed:
            data = self._object.read(_PIECE)
            if not data:
                return
            reply = self._application.receive(data, secure=True)
            seen.data = bytes(self._application.data)
            self._say(reply)
            if self._application.closing:
                self._close()

    def _say(self, data: bytes) -> None:
        if data:
            self._object.write(data)

    def _close(self) -> None:
        """Say that this is the end (close_notify); what the client answers to it is its own."""
        self.closed = True
        try:
            self._object.unwrap()
        except ssl.SSLError:
            return


def _note(exc: ssl.SSLError, seen: Connection) -> None:
    """Tell an alert of the client's from whatever else ended TLS."""
    reason = exc.reason or ""
    _, found, alert = reason.partition("_ALERT_")
    if found:
        seen.alert = alert.lower()
    else:
        seen.problem = seen.problem or reason.lower().replace("_", " ")
