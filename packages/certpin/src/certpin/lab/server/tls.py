"""The lab's side of TLS: one connection, and the OpenSSL context with which it is served.

A *step* is how the lab serves one connection. OpenSSL reads chains and keys from files. The lab
passes them in memory files or pipes, because a killed process must not leave a key on the disk.
"""

from __future__ import annotations

import ssl
import warnings
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from certpin.lab.case import CannotServeError
from certpin.lab.server.stapling import StaplingTls
from certpin.lab.server.weak_tls import NotOfferedError, WeakTls
from certpin.support.files import as_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.lab.scenario import ServerStep, TLSSettings
    from certpin.lab.server.protocols import Application
    from certpin.lab.verdict import Connection


_PIECE = 16 * 1024


class Tls:
    """The server's side of a TLS connection. ``receive`` never raises, whatever a client sends.

    Args:
        wrap: makes the TLS connection between two memory buffers: for bytes from the client, and
            for bytes to it.
        application: the server of the application protocol under TLS.

    Attributes:
        closed: True if the connection ends once all pending bytes are sent.
        unknown_client: True if the client presented a certificate that cannot be verified.
        listens: True if client data that arrives after the lab closed its side is processed too.
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
        """Return the bytes to send to the client, and remove them from the buffer."""
        return self._sent.read()

    def receive(self, data: bytes, seen: Connection) -> None:
        """Process bytes from the client, and record its data and TLS settings in ``seen``.

        ``seen`` is the evidence of the connection.
        """
        self._in.write(data)
        try:
            if not seen.secured:
                self._handshake(seen)
            self._read(seen)
        except ssl.SSLWantReadError:
            self._leave()
        except ssl.SSLError as exc:
            if seen.secured and isinstance(exc, ssl.SSLEOFError):
                # Java sends user_canceled before close_notify (RFC 8446 section 6.1). OpenSSL then
                # reports the end of the transport, and a memory buffer has none.
                self._close()
                return
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
        self.say(self._application.begin(secure=True))

    def _read(self, seen: Connection) -> None:
        while not self.closed or self.listens:
            data = self._object.read(_PIECE)
            if not data:  # close_notify: many clients wait for the server's
                self._close()
                return
            reply = self._application.receive(data, secure=True)
            self._keep(seen)
            if not self.closed:
                self.say(reply)

    def _leave(self) -> None:
        """Close TLS if the application protocol has ended the connection; otherwise do nothing.

        The closing message of the protocol is sent first. Call this only after all received data
        was processed.
        """
        if self._application.closing and not self.closed:
            farewell: Callable[[], bytes] | None = getattr(self._application, "farewell", None)
            self.say(farewell() if farewell else b"")
            self._close()

    def _keep(self, seen: Connection) -> None:
        """Copy the client's data into the evidence ``seen``, if there is new data.

        This function is called after every read. Unchanged data is not copied again, to save time.
        """
        said = self._application
        if said.data != seen.data:
            seen.data = bytes(said.data)
        seen.astray = bytes(getattr(said, "astray", b""))

    def say(self, data: bytes) -> None:
        """Encrypt bytes for the client, which ``data_to_send`` then returns.

        Call this only after the handshake. Empty bytes send no record.
        """
        if data:
            self._object.write(data)

    def end(self) -> None:
        """Send the alert close_notify, if no received data of the client is still unread.

        Data that the client sends later can still be read.
        """
        with suppress(ssl.SSLError):  # the client's own close_notify has not arrived
            self._object.unwrap()

    def _close(self) -> None:
        """Send the alert close_notify (the end of TLS), and don't wait for the client's alert."""
        self.closed = True
        if self.listens:  # unwrap() would lose later data
            return
        try:
            self._object.unwrap()
        except ssl.SSLError:
            return


def _note(exc: ssl.SSLError, seen: Connection) -> None:
    """Record why TLS failed in the evidence: the client's alert, or else a problem in words.

    Args:
        exc: the error of TLS.
        seen: the evidence of the connection. A problem that it already has is kept.
    """
    if isinstance(exc, NotOfferedError):
        seen.problem = str(exc.args[0])
        return
    reason = reason_of(exc)
    _, found, alert = reason.partition("_ALERT_")
    if found:
        seen.alert = alert.lower()
    else:
        # OpenSSL has a name for every other reason. Python 3.14 and newer add its number.
        unnamed = (
            "an alert that OpenSSL has no name for" if reason.startswith("UNKNOWN_ERROR") else ""
        )
        seen.problem = seen.problem or unnamed or reason.lower().replace("_", " ")


def reason_of(exc: ssl.SSLError) -> str:
    """Return the reason of a TLS error: OpenSSL's name, such as ``TLSV1_ALERT_UNKNOWN_CA``.

    If Python does not know OpenSSL's name for the error, the reason is derived from the message,
    such as ``RECORD_LAYER_FAILURE`` from ``[SSL] record layer failure (_ssl.c:2580)``. ``exc`` is
    the error.
    """
    known: str | None = getattr(exc, "reason", None)
    if known:
        return known
    words = str(exc.args[-1] if exc.args else "").rpartition("] ")[2]
    return words.partition(" (_ssl.c")[0].strip(" .").upper().replace(" ", "_")


# The lab must serve short keys and SHA-1, which real servers should not
# (SSL_CTX_set_security_level).
_LAX = ":@SECLEVEL=0"


class Contexts:
    """The OpenSSL contexts with which the lab serves the steps of one case.

    A step is how the lab serves one connection. A session ticket from one step can be valid for
    another, as between the virtual hosts of real servers. OpenSSL encrypts a ticket with keys of
    the context with which the connection began (``session_ctx``), even if another context takes
    over after the ClientHello. So connections of steps that share tickets begin with one common
    context, and then switch to the context of their step.

    Args:
        clients: the client certificates to accept, as PEM.
    """

    def __init__(self, clients: str = "") -> None:
        self._clients = clients
        self._keepers: dict[str, _Keeper] = {}

    def wrap(
        self,
        step: ServerStep,
        alpn: tuple[str, ...],
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
    ) -> ssl.SSLObject:
        """Return a TLS connection, between two memory buffers, that serves a client.

        Args:
            step: how the lab serves the connection: the chain, the key and the TLS settings.
            alpn: the ALPN names to accept.
            incoming: the buffer with bytes from the client.
            outgoing: the buffer for bytes to the client.

        Raises:
            CannotServeError: this machine's OpenSSL, or the lab's own TLS, can't serve the step.
        """
        if step.settings.weakness:
            return cast("ssl.SSLObject", WeakTls(step, alpn, incoming, outgoing))
        if step.staple:
            # It has those methods of ``SSLObject`` that ``Tls`` calls.
            return cast("ssl.SSLObject", StaplingTls(step, alpn, incoming, outgoing))
        context = _context(step.chain, step.key_pem, step.settings, alpn, self._clients)
        if not step.settings.tickets:
            return context.wrap_bio(incoming, outgoing, server_side=True)
        keeper = self._keeper(step.settings, alpn)
        moving = keeper.wrap_bio(incoming, outgoing, server_side=True)
        assert isinstance(moving, _Moving)  # noqa: S101  # a keeper creates these
        moving.to = context
        return moving

    def _keeper(self, settings: TLSSettings, alpn: tuple[str, ...]) -> _Keeper:
        if settings.tickets not in self._keepers:
            keeper = _Keeper(ssl.PROTOCOL_TLS_SERVER)
            _set_up(keeper, settings, alpn, self._clients)
            # OpenSSL also calls it for a client that sends no name.
            keeper.sni_callback = _move
            self._keepers[settings.tickets] = keeper
        return self._keepers[settings.tickets]


class _Moving(ssl.SSLObject):
    """A TLS connection that switches to the context ``to`` after the ClientHello.

    It begins with a context that several server steps share, so a session ticket of one is valid
    for the others.
    """

    to: ssl.SSLContext


class _Keeper(ssl.SSLContext):
    """A TLS context without a certificate. It holds session ticket keys for several server steps.

    A step is how the lab serves one connection. A session ticket from one step is then valid for
    the others.
    """

    sslobject_class = _Moving


def _move(connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
    assert isinstance(connection, _Moving)  # noqa: S101  # only a keeper calls
    connection.context = connection.to


@lru_cache(maxsize=256)  # the steps of one case share a context, and so their session tickets
def _context(
    chain: tuple[bytes, ...],
    key_pem: bytes,
    settings: TLSSettings,
    alpn: tuple[str, ...],
    clients: str,
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _set_up(context, settings, alpn, clients)
    if chain:
        try:
            chain_pem = "".join(map(ssl.DER_cert_to_PEM_cert, chain))
            load(context, chain_pem.encode(), key_pem)
        except ssl.SSLError as exc:
            raise _will_not(exc) from exc
    return context


def _set_up(
    context: ssl.SSLContext, settings: TLSSettings, alpn: tuple[str, ...], clients: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TLS 1.0 and 1.1: that is the point
        context.minimum_version = ssl.TLSVersion[settings.oldest]
        context.maximum_version = ssl.TLSVersion[settings.newest]
    if settings.needs_certificate or settings.asks_certificate:
        needed = settings.needs_certificate
        context.verify_mode = ssl.CERT_REQUIRED if needed else ssl.CERT_OPTIONAL
    # A connection that shares tickets may begin with a context that requests a certificate, and
    # switch to one that does not.
    if clients and (settings.tickets or context.verify_mode is not ssl.CERT_NONE):
        context.load_verify_locations(cadata=clients)
    try:
        context.set_ciphers((settings.ciphers or "DEFAULT") + _LAX)
        if settings.dh_params:
            with as_file(settings.dh_params.encode()) as group:
                context.load_dh_params(group)
    except ssl.SSLError as exc:
        raise _will_not(exc) from exc
    if alpn:
        context.set_alpn_protocols(list(alpn))


def _will_not(exc: ssl.SSLError) -> CannotServeError:
    return CannotServeError(f"this machine's OpenSSL will not serve it: {reason_of(exc)}")


def load(context: ssl.SSLContext, chain_pem: bytes, key_pem: bytes) -> None:
    """Load a chain and a private key, both as PEM, into a context.

    Raises ``ssl.SSLError`` if one of them is invalid, or they don't belong together.
    """
    with as_file(chain_pem) as chain, as_file(key_pem) as key:
        try:
            context.load_cert_chain(chain, key)
        except ssl.SSLError:
            raise
        except OSError as exc:  # Python raises it for junk from a pipe
            raise ssl.SSLError("no certificate, or no key") from exc
