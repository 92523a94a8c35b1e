"""One connection of a scan: TCP, then a TLS handshake, without ever waiting."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import ssl
import struct
from typing import TYPE_CHECKING, Any

from certpin.x509 import Chain
from certpin.x509.stdlib import served_chain, verified_chain

if TYPE_CHECKING:
    from certpin.probe.scan.resolver import Address

READ, WRITE, DONE = selectors.EVENT_READ, selectors.EVENT_WRITE, 0
# Close at once (RST). Else each host leaves a port in TIME_WAIT, and many names that lead to one
# address use up the ports of this machine.
_CLOSE_AT_ONCE = struct.pack("ii", 1, 0)
_UNDER_WAY = {0, errno.EINPROGRESS, errno.EWOULDBLOCK}


class Connection:
    """A TCP connection that becomes a TLS one. ``fd`` is its file number, until ``close``.

    Begins to connect when it is made; ``WRITE`` is what to wait for first. Raises OSError.
    """

    def __init__(self, address: Address, context: ssl.SSLContext, server_name: str) -> None:
        family, where = address
        self._context = context
        self._server_name = server_name
        self._tls: ssl.SSLSocket | None = None
        self._tcp = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._tcp.setblocking(False)
            self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _CLOSE_AT_ONCE)
            _check(self._tcp.connect_ex(where), _UNDER_WAY)
        except OSError:
            self._tcp.close()
            raise
        self.fd = self._tcp.fileno()

    def advance(self) -> int:
        """Go as far as the bytes allow that have come. Returns what to wait for, or ``DONE``.

        Raises ssl.SSLError where TLS fails and OSError where the network does.
        """
        try:
            self._over_tls().do_handshake()
        except ssl.SSLWantReadError:
            return READ
        except ssl.SSLWantWriteError:
            return WRITE
        return DONE

    def _over_tls(self) -> ssl.SSLSocket:
        if self._tls is None:
            _check(self._tcp.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), {0})
            self._tls = self._context.wrap_socket(
                self._tcp, server_hostname=self._server_name, do_handshake_on_connect=False
            )
        return self._tls

    def chains(self, *, verified: bool) -> dict[str, Any]:
        """What was served and the TLS version, also when OpenSSL refused it; else nothing.

        ``verified`` asks for what OpenSSL built too, which means something only after ``DONE``.
        The keys are fields of ``Sighting``. Raises ``CertificateParseError``.
        """
        raw: Any = getattr(self._tls, "_sslobj", None)  # up to 3.12 the socket has no chains
        served = served_chain(raw) if raw else ()
        if not served:
            return {}
        found = {"served": Chain.from_der(served), "tls": _version(raw)}
        return found | ({"verified": Chain.from_der(verified_chain(raw))} if verified else {})

    def close(self) -> None:
        """Close it, without a farewell. What was read of it stays."""
        (self._tls or self._tcp).close()


def _check(code: int, good: set[int]) -> None:
    if code not in good:
        raise OSError(code, os.strerror(code))


def _version(raw: Any) -> str:
    """The TLS version of a handshake that got as far as the certificates.

    Python tells it only of a finished one. But TLS 1.3 has ciphers of its own, which it settles
    before the certificates, and a scan speaks nothing else but TLS 1.2.
    """
    cipher = raw.cipher()
    return "TLSv1.3" if cipher and cipher[1] == "TLSv1.3" else "TLSv1.2"
