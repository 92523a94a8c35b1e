"""One connection to the lab without I/O: processes bytes, and records the evidence.

Port, CONNECT proxy, SOCKS5 and WireGuard only move its bytes.
"""

from __future__ import annotations

import ssl
from functools import partial
from typing import TYPE_CHECKING

from certpin.lab.case import CannotServeError
from certpin.lab.evidence import KEPT, Connection
from certpin.lab.scenario import Opening
from certpin.lab.server.hello import HelloReader, NotTLSError
from certpin.lab.server.http import respond
from certpin.lab.server.protocols import choose
from certpin.lab.server.records import RecordCounter
from certpin.lab.server.tls import reason_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.lab.case_run import CaseRun
    from certpin.lab.server.application import Application, Starting
    from certpin.lab.server.proxy import Destination


_PIECE = 16 * 1024


class Tls:
    """The server's side of a TLS connection. ``receive`` never raises, whatever a client sends.

    ``closed`` is set if the connection ends once everything is sent; ``unknown_client`` if the
    client presented a certificate that cannot be verified.
    """

    def __init__(
        self,
        wrap: Callable[[ssl.MemoryBIO, ssl.MemoryBIO], ssl.SSLObject],
        application: Application,
    ) -> None:
        self.closed = False
        self.unknown_client = False
        self._in, self._sent = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = wrap(self._in, self._sent)
        self._application = application
        self.listens: bool = getattr(application, "listens", False)

    def data_to_send(self) -> bytes:
        """Return the bytes to send to the client, and clear them."""
        return self._sent.read()

    def receive(self, data: bytes, seen: Connection) -> None:
        """Process bytes from the client, and record its data as evidence in ``seen``."""
        self._in.write(data)
        try:
            if not seen.secured:
                self._handshake(seen)
            self._read(seen)
        except ssl.SSLWantReadError:
            self._leave()
        except ssl.SSLError as exc:
            self.closed = True
            self.unknown_client = isinstance(exc, ssl.SSLCertVerificationError)
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
        while not self.closed or self.listens:
            data = self._object.read(_PIECE)
            if not data:  # close_notify: many clients wait for the server's
                self._close()
                return
            reply = self._application.receive(data, secure=True)
            self._keep(seen)
            if not self.closed:
                self._say(reply)

    def _leave(self) -> None:
        """Close TLS if the application protocol has finished.

        Called after all received data was processed.
        """
        if self._application.closing and not self.closed:
            farewell: Callable[[], bytes] | None = getattr(self._application, "farewell", None)
            self._say(farewell() if farewell else b"")
            self._close()

    def _keep(self, seen: Connection) -> None:
        """Copy the client's data into the evidence, if there is new data since the last copy.

        It is copied only then, because this runs after every read, even if nothing was received.
        """
        said = self._application
        if said.data != seen.data:
            seen.data = bytes(said.data)
        seen.astray = bytes(getattr(said, "astray", b""))

    def _say(self, data: bytes) -> None:
        if data:
            self._object.write(data)

    def _close(self) -> None:
        """Send close_notify (the end of TLS), without waiting for that of the client."""
        self.closed = True
        if self.listens:  # unwrap() would lose later data
            return
        try:
            self._object.unwrap()
        except ssl.SSLError:
            return


def _note(exc: ssl.SSLError, seen: Connection) -> None:
    """Record in the evidence why TLS failed: the client's alert, or another problem."""
    reason = reason_of(exc)
    _, found, alert = reason.partition("_ALERT_")
    if found:
        seen.alert = alert.lower()
    else:
        seen.problem = seen.problem or reason.lower().replace("_", " ")


_TLS_RECORD = b"\x16"  # the first byte of every ClientHello (RFC 8446 section 5.1)
_RECORD_TYPES = range(20, 25)  # RFC 8446 section 5.1, RFC 6520
_TEXT = frozenset(b"\t\r\n") | frozenset(range(32, 127))
_GLIMPSE = 16  # bytes that are examined to distinguish text from junk
_MAX_RECEIVED = 4 * 1024 * 1024  # bytes of one client, after which it is disconnected


class Session:
    """Serves one connection of a case. ``seen`` is its evidence.

    Send ``data_to_send()`` after each call; when ``done``, send the remaining bytes and close.
    """

    def __init__(self, case_run: CaseRun, *, via: str = "port", target: str = "") -> None:
        self.seen = Connection(via=via, target=target)
        self.done = False
        self.passing: Destination | None = None  # set if the real server takes over
        self._case_run = case_run
        self._out = bytearray()
        self._hello = HelloReader()
        self._plain = False  # whether the client sent clear text instead of TLS
        self._tls: Tls | None = None
        self._records = RecordCounter()  # of a connection that passes through
        self._left = False  # whether the client closed a relayed connection
        self._taken = 0
        self._unread = bytearray()  # the beginning of a TLS record
        self._astray = False  # whether the client changed from TLS to clear text
        # A protocol with STARTTLS begins in clear text.
        self._clear: Starting | None = case_run.clear_application(self.seen)
        if self._clear:
            self._out += self._clear.begin(secure=False)
        case_run.opened(self.seen)

    def data_to_send(self) -> bytes:
        """Return the bytes to send to the client, and clear them."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def receive(self, data: bytes) -> None:
        """Process bytes from the client; empty bytes mean that it closed. Never raises."""
        self._taken += len(data)
        if self.done:
            self._hear_out(data)
            return
        if not data or self._taken > _MAX_RECEIVED:
            self._end("" if not data else "the client sent more than the lab reads")
            return
        try:
            self._take(data)
        except NotTLSError as exc:
            self._end(str(exc))
        except CannotServeError as exc:
            self._case_run.failed(exc)
            self._end(str(exc))

    def _take(self, data: bytes) -> None:
        if self._tls:
            self._secure(data)
        elif self._clear and not self._clear.upgrade:
            self._speak(data)
        elif not self._hello.raw and (data[:1] != _TLS_RECORD or self._plain):
            self._unexpected(data)
        else:
            self._begin_tls(data)

    def _speak(self, data: bytes) -> None:
        """Process bytes of the clear-text part before STARTTLS."""
        assert self._clear is not None  # noqa: S101  # the caller checks this
        self._out += self._clear.receive(data, secure=False)
        self.seen.clear = bytes(self._clear.data)
        self.seen.tampered = self._clear.tampered
        self.done = self._clear.closing
        if self._clear.upgrade and self._clear.rest:
            self._take(self._clear.rest)

    def _unexpected(self, data: bytes) -> None:
        """Record bytes in clear text where TLS had to begin: all of them are leaked data."""
        self._plain = True
        self.seen.clear += data[: KEPT - len(self.seen.clear)]
        if self._clear:
            self._end("the client went on in clear text")
        elif b"\r\n\r\n" in self.seen.clear or len(self.seen.clear) >= KEPT:
            self._out += respond(self._case_run.answer_context.token)
            self._end("the client spoke in clear text")

    def _begin_tls(self, data: bytes) -> None:
        hello = self._hello.feed(data)
        if hello is None:
            return
        self.seen.hello = hello
        step = self.seen.step or self._case_run.next_step(hello.server_name, self.seen.target)
        self.seen.step = step
        if step.opening is Opening.RELAY:
            self.passing = self._case_run.upstream
            self._records.from_client(self.early)
            return
        if step.opening is Opening.STRIP:
            self._end("the client began TLS though it was not offered")
            return
        if step.opening is Opening.PLAIN:
            self._out += respond(self._case_run.answer_context.token)
            self._end("the lab answered in clear text")
            return
        alpn = choose(hello.alpn, self._case_run.alpn)
        application = self._case_run.application(step, hello, self.seen)
        self._tls = Tls(partial(self._case_run.contexts.wrap, step, alpn), application)
        self._secure(self.early)

    @property
    def early(self) -> bytes:
        """The client's bytes that arrived before relaying began; the relay sends them first."""
        return bytes(self._hello.raw)

    def passed(self, data: bytes, *, back: bool) -> None:
        """Record evidence from relayed bytes of the client, or of the server if ``back``.

        Empty bytes mean that this side closed.
        """
        if not back:
            self._records.from_client(data)
            self._left = self._left or not data
        else:
            self._records.from_server(data)
            self.seen.answered += len(data)
        self.seen.passed, self.seen.unclear = self._records.data, self._records.unclear
        if back and not (data or self._left or self.seen.passed):
            self.seen.problem = self.seen.problem or "the real server ended the connection"

    def _secure(self, data: bytes) -> None:
        assert self._tls is not None  # noqa: S101  # the caller looked
        self._note_clear(data)
        self._tls.receive(data, self.seen)
        self._out += self._tls.data_to_send()
        self.done = self._tls.closed
        if self._tls.unknown_client:
            if self.seen.exposed:
                self.seen.certificate_shown = True  # an attacker learns the client's identity
                return
            raise CannotServeError(
                "the client presented its own certificate, which the lab does not know",
                fix="give it the lab's certificate and key: {client_cert} and {client_key}",
            )

    def _hear_out(self, data: bytes) -> None:
        """Record bytes that arrive after the server closed, if they still count as data."""
        if self._tls and self._taken <= _MAX_RECEIVED:
            self._note_clear(data)
        if self._tls and self._tls.listens and data and self._taken <= _MAX_RECEIVED:
            self._tls.receive(data, self.seen)

    def _note_clear(self, data: bytes) -> None:
        """Record clear text that arrives in the place of a TLS record, with everything after it.

        Junk is ignored: the data must begin with printable characters.
        """
        self._unread += data
        while len(self._unread) >= 5 and not self._astray:
            if self._unread[0] not in _RECORD_TYPES or self._unread[1] != 3:
                beginning = self._unread[:_GLIMPSE]
                if len(beginning) < _GLIMPSE:
                    return
                self._astray = _TEXT.issuperset(beginning)
                if not self._astray:
                    self._unread.clear()
                break
            size = 5 + int.from_bytes(self._unread[3:5])
            if len(self._unread) < size:
                return
            del self._unread[:size]
        if self._astray:
            self.seen.clear += self._unread[: KEPT - len(self.seen.clear)]
            self._unread.clear()

    def _end(self, problem: str) -> None:
        self.seen.problem = self.seen.problem or problem
        self.done = True
