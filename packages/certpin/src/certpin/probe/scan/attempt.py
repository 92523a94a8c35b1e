"""One server of a scan: its result, its progress, and its non-blocking connection."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import ssl
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from certpin.probe.dial import HANDSHAKE_CHUNK, continue_handshake
from certpin.x509 import Chain
from certpin.x509.openssl import served_chain, verified_chain

if TYPE_CHECKING:
    from certpin.errors import ProbeError
    from certpin.probe.dial import Endpoint
    from certpin.probe.scan.resolver import Address

READ, WRITE, DONE = selectors.EVENT_READ, selectors.EVENT_WRITE, 0
# Close with RST. Otherwise each host leaves a port in TIME_WAIT, and many names that share one
# address exhaust the ports of this machine.
_LINGER_ZERO = struct.pack("ii", 1, 0)
# Before a handshake is complete. OpenSSL reads at most 100 KiB of certificates in one
# (SSL_MAX_CERT_LIST_DEFAULT, openssl/ssl.h), and the other messages are small.
_MAX_HANDSHAKE_BYTES = 256 * 1024
_CONNECTING = {0, errno.EINPROGRESS, errno.EWOULDBLOCK}


@dataclass(frozen=True, slots=True)
class ScanResult:
    """The chain of one scanned server, or the error.

    A server that fails after it sent its chain, for example because it wants a client certificate,
    has both ``served`` and ``error``, and its chain was not verified.

    Attributes:
        endpoint: the server.
        address: the IP address of the last attempt; empty if name resolution failed.
        attempts: the number of connections.
        seconds: the time since the first attempt began.
        tls: the TLS version; empty if the handshake did not get to the certificates.
        served: the chain as it was sent; it proves nothing.
        verified: the chain that OpenSSL built from ``served``, leaf to root; ``None`` if OpenSSL
            did not accept it. The name is not checked.
        refusal: the reason why OpenSSL refused the chain; otherwise empty.
        error: the error that prevented a complete handshake, or reading the certificates;
            otherwise ``None``.
        code: OpenSSL's number for ``refusal`` (X509_V_ERR_…); otherwise 0.
    """

    endpoint: Endpoint
    address: str
    attempts: int
    seconds: float
    tls: str = ""
    served: Chain | None = None
    verified: Chain | None = None
    refusal: str = ""
    error: ProbeError | None = None
    code: int = 0


class ScanConnection:
    """A non-blocking TCP connection with a TLS handshake.

    The constructor begins to connect, and raises ``OSError`` if that fails. Before the first call
    of ``advance``, wait until ``fd`` is ready for ``WRITE``.

    Args:
        address: the IP address and port.
        context: the TLS context, which verifies the chain.
        server_name: the name to send as SNI.

    Attributes:
        fd: the file descriptor of the socket, for a selector.
    """

    def __init__(self, address: Address, context: ssl.SSLContext, server_name: str) -> None:
        family, target = address
        self._context = context
        self._server_name = server_name
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        self._received = 0  # bytes
        self._unsent = b""
        self._next = READ  # the event to wait for once all is sent
        self._tcp = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._tcp.setblocking(False)
            self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
            _check(self._tcp.connect_ex(target), _CONNECTING)
        except OSError:
            self._tcp.close()
            raise
        self.fd = self._tcp.fileno()

    def advance(self) -> int:
        """Read once from the network, and continue the TLS handshake as far as possible.

        Returns:
            The event to wait for, ``READ`` or ``WRITE``; or ``DONE`` after the handshake.

        Raises:
            ssl.SSLError: TLS failed, or the server sent too much before the end of the handshake.
            OSError: the network failed.
        """
        if not self._unsent:
            tls = self._begin() if self._tls is None else self._receive(self._tls)
            is_done, self._unsent = continue_handshake(tls, self._outgoing, self._tcp)
            self._next = DONE if is_done else READ
        if self._unsent:
            with suppress(BlockingIOError):
                self._unsent = self._unsent[self._tcp.send(self._unsent) :]
        return WRITE if self._unsent else self._next

    def _begin(self) -> ssl.SSLObject:
        _check(self._tcp.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), {0})
        self._tls = self._context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=self._server_name
        )
        return self._tls

    def _receive(self, tls: ssl.SSLObject) -> ssl.SSLObject:
        with suppress(BlockingIOError):
            data = self._tcp.recv(HANDSHAKE_CHUNK)
            self._received += len(data)
            if self._received > _MAX_HANDSHAKE_BYTES:
                problem = f"it sent more than {_MAX_HANDSHAKE_BYTES} bytes in the handshake"
                raise ssl.SSLError(ssl.SSL_ERROR_SSL, problem)
            self._incoming.write(data) if data else self._incoming.write_eof()
        return tls

    def chains(self, *, verified: bool) -> dict[str, Any]:
        """Return the received certificates as fields of ``ScanResult``: a dictionary by field name.

        The fields are ``tls``, ``served``, and, if ``verified`` is True, also ``verified``. The
        dictionary is empty if the server sent no chain. The served chain can also be read after
        OpenSSL refused it.

        Args:
            verified: True to include the verified chain, which exists only after ``DONE``.

        Raises:
            CertificateParseError: a certificate can't be read.
        """
        raw: Any = getattr(self._tls, "_sslobj", None)  # up to 3.12 the socket has no chains
        served = served_chain(raw) if raw else ()
        if not served:
            return {}
        found = {"served": Chain.from_der(served), "tls": _version(raw)}
        return found | ({"verified": Chain.from_der(verified_chain(raw))} if verified else {})

    def close(self) -> None:
        """Close the connection without a TLS closure alert."""
        self._tcp.close()


def _check(code: int, good: set[int]) -> None:
    if code not in good:
        raise OSError(code, os.strerror(code))


def _version(raw: Any) -> str:
    """Return the TLS version of a handshake in which the server has sent its certificates.

    ``raw`` is the TLS object of the handshake. Python reports the version only after a complete
    handshake. So the version is derived from the cipher, which is negotiated before the
    certificates: TLS 1.3 has its own ciphers, and the only other version that a scan offers is TLS
    1.2.
    """
    cipher = raw.cipher()
    return "TLSv1.3" if cipher and cipher[1] == "TLSv1.3" else "TLSv1.2"


@dataclass(slots=True, eq=False)
class HostScan:
    """The progress of one endpoint during a scan. Times are seconds on the scanner's clock.

    Attributes:
        endpoint: the server.
        started: the time at which the first attempt began.
        attempts: the number of attempts so far.
        deadline: the time at which the current attempt times out.
        addresses: the IP addresses of the server; empty before the name lookup.
        connection: the open connection; ``None`` during the name lookup and between two attempts.
        event: the event that the selector waits for, ``READ`` or ``WRITE``.
    """

    endpoint: Endpoint
    started: float
    attempts: int = 0
    deadline: float = 0.0
    addresses: tuple[Address, ...] = ()
    connection: ScanConnection | None = None
    event: int = WRITE

    @property
    def address(self) -> Address:
        """The IP address of the current attempt. Attempts take the host's addresses in turn."""
        return self.addresses[(self.attempts - 1) % len(self.addresses)]

    def error(self, kind: type[ProbeError], problem: str, fix: str) -> ProbeError:
        """Return an error of class ``kind`` that names this endpoint.

        ``problem`` is the text of the error, and ``fix`` the advice in it.
        """
        return kind(problem, host=self.endpoint.host, port=self.endpoint.port, fix=fix)

    def result(self, now: float, found: dict[str, Any]) -> ScanResult:
        """Return the result of this endpoint at the time ``now`` (seconds, the scanner's clock).

        ``found`` has the other fields of ``ScanResult`` by name, such as ``served`` or ``error``.
        """
        address = self.address[1][0] if self.addresses else ""
        return ScanResult(self.endpoint, address, self.attempts, now - self.started, **found)
