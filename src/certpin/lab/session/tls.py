"""TLS on the server's side of one connection, without I/O, and the application in it."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from certpin.lab.session.reason import reason_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.lab.evidence import Connection
    from certpin.lab.session.application import Application

_PIECE = 16 * 1024


class Tls:
    """The server's side. Whatever a client does, ``receive`` raises nothing.

    ``closed`` where the connection ends, once everything is sent; ``unknown_client`` where the
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
        """Take what must be sent now."""
        return self._sent.read()

    def receive(self, data: bytes, seen: Connection) -> None:
        """Take what the client sent, and write down what it said."""
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
            if not data:  # close_notify: many a client waits for the server's own
                self._close()
                return
            reply = self._application.receive(data, secure=True)
            self._keep(seen)
            if not self.closed:
                self._say(reply)

    def _leave(self) -> None:
        """Close, where the application will: once everything that came was heard."""
        if self._application.closing and not self.closed:
            farewell: Callable[[], bytes] | None = getattr(self._application, "farewell", None)
            self._say(farewell() if farewell else b"")
            self._close()

    def _keep(self, seen: Connection) -> None:
        """Write down what was said: only where it is news, for a client may say it by octets."""
        said = self._application
        if said.data != seen.data:
            seen.data = bytes(said.data)
        seen.astray = bytes(getattr(said, "astray", b""))

    def _say(self, data: bytes) -> None:
        if data:
            self._object.write(data)

    def _close(self) -> None:
        """Say that this is the end (close_notify); what the client answers to it is its own."""
        self.closed = True
        if self.listens:  # unwrap() would lose what comes now; the end of the connection says it
            return
        try:
            self._object.unwrap()
        except ssl.SSLError:
            return


def _note(exc: ssl.SSLError, seen: Connection) -> None:
    """Tell an alert of the client's from whatever else ended TLS."""
    reason = reason_of(exc)
    _, found, alert = reason.partition("_ALERT_")
    if found:
        seen.alert = alert.lower()
    else:
        seen.problem = seen.problem or reason.lower().replace("_", " ")
