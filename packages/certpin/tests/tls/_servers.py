"""Real TLS servers for the tests of the enforcement rules (``_wire.py`` has handshakes in memory).

A ``RecordingServer`` records all bytes that it receives, before and after decryption. So a test can
check whether a refused client sent an application byte, inside TLS or in clear text.
"""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from cryptography.hazmat.primitives import serialization

from certpin.lab import Identity
from certpin.lab.lab_server import server_context

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cryptography import x509

    from certpin import PinnedSSLContext
    from certpin.lab import Authority

SECRET = b"the secret that must not leave"
GREETING = b"greetings from the server"
_PATIENCE = 10.0  # seconds to wait for a silent peer


@dataclass
class Recording:
    """What a ``RecordingServer`` recorded of one client connection: its bytes and its TLS state."""

    raw: bytes = field(default=b"", repr=False)  # bytes received over TCP
    application: bytes = b""  # the decrypted bytes
    client_certificate: bytes | None = None  # DER
    server_name: str | None = None  # SNI
    resumed: bool = False
    finished: bool = False  # the handshake


class RecordingServer:
    """A server that sends a greeting after each completed handshake, and records each connection.

    A context manager on a free port of 127.0.0.1. With ``context=None`` it uses no TLS: it only
    records, and sends nothing. ``context`` may be replaced between two connections.
    """

    def __init__(self, context: ssl.SSLContext | None, *, greeting: bytes = GREETING) -> None:
        self.context = context
        self._greeting = greeting
        self._recordings: list[Recording] = []
        self._heard = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._accept)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.port)

    def connect(self) -> socket.socket:
        """Open a TCP connection to this server."""
        return socket.create_connection(self.address, timeout=_PATIENCE)

    def recordings(self, count: int = 1) -> list[Recording]:
        """Wait until ``count`` connections have ended, and return the recordings of all of them."""
        with self._heard:
            if not self._heard.wait_for(lambda: len(self._recordings) >= count, _PATIENCE):
                raise TimeoutError(f"{count} connections did not end")
            return list(self._recordings)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._thread.join()
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(connection,))
                thread.start()
                self._threads.append(thread)

    def _serve(self, connection: socket.socket) -> None:
        recording = Recording()
        with connection, suppress(OSError):
            connection.settimeout(_PATIENCE)
            if self.context is None:
                _drain(connection, recording)
            else:
                _Conversation(connection, self.context, recording).run(self._greeting)
        with self._heard:
            self._recordings.append(recording)
            self._heard.notify_all()


class _Conversation:
    """Server side of one TLS connection, over memory BIOs to record the encrypted bytes too."""

    def __init__(
        self, connection: socket.socket, context: ssl.SSLContext, recording: Recording
    ) -> None:
        self._connection = connection
        self._recording = recording
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context.sni_callback = _note_name
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def run(self, greeting: bytes) -> None:
        try:
            self._drive(self._tls.do_handshake)
            self._note_handshake()
            self._tls.write(greeting)
            while piece := self._drive(lambda: self._tls.read(65536)):
                self._recording.application += piece
            self._tls.unwrap()
        finally:
            self._recording.server_name = getattr(self._tls, "asked_for", None)
            with suppress(OSError):  # the client may have closed already
                self._flush()
            _drain(self._connection, self._recording)  # all bytes after the end of TLS

    def _note_handshake(self) -> None:
        self._recording.finished = True
        self._recording.client_certificate = self._tls.getpeercert(binary_form=True)
        self._recording.resumed = bool(self._tls.session_reused)

    def _drive(self, step: Callable[[], Any]) -> Any:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self._flush()
                piece = self._connection.recv(65536)
                self._recording.raw += piece
                self._incoming.write(piece) if piece else self._incoming.write_eof()
            finally:
                self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._connection.sendall(self._outgoing.read())


def _note_name(connection: Any, name: str | None, _: ssl.SSLContext) -> None:
    connection.asked_for = name


def _drain(connection: socket.socket, recording: Recording) -> None:
    while piece := connection.recv(65536):
        recording.raw += piece


class EncodedCertificate:
    """Substitute for a certificate in a lab ``Identity``, which serves ``der`` unchanged."""

    def __init__(self, der: bytes) -> None:
        self._der = der

    def public_bytes(self, encoding: serialization.Encoding) -> bytes:
        text = ssl.DER_cert_to_PEM_cert(self._der).encode()
        return text if encoding is serialization.Encoding.PEM else self._der


def server_sending(
    identity: Identity, folder: Path, also: Sequence[x509.Certificate] = ()
) -> ssl.SSLContext:
    """Return a server context that sends the identity's chain, then the certificates ``also``."""
    sent = Identity(identity.key, (*identity.chain, *also))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*sent.write(folder, f"sending-{len(also)}"))
    return context


def asking_for_certificate(identity: Identity, authority: Authority) -> ssl.SSLContext:
    """Return a server context that requires a client certificate issued by ``authority``."""
    context = server_context(identity)
    context.load_verify_locations(cadata=authority.certificate.der)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def greeted(server: RecordingServer, context: PinnedSSLContext, host: str) -> Recording:
    """Connect with pins, read the greeting, close, and return the server's recording."""
    with context.wrap_socket(server.connect(), server_hostname=host) as tls:
        assert tls.recv(len(GREETING)) == GREETING
    return server.recordings()[-1]
