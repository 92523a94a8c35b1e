"""The gate: what stands in OpenSSL's place until the verified chain was checked.

Python's ``SSLSocket`` and ``SSLObject`` reach OpenSSL through one attribute, ``_sslobj``.
Overriding ``do_handshake`` alone would leave ways around: OpenSSL also shakes hands inside the
first read or write, and a deferred handshake is exactly that. So a ``Gate`` is put into ``_sslobj``
itself, and everything passes it: send, recv, makefile, sendfile, asyncio, uvloop, whatever comes
next. When the chain is found good, the gate puts OpenSSL's object back and is gone: a pinned
connection costs nothing from then on.

What the gate doesn't know it doesn't pass on.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from copy import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import NoReturn

    from certpin.tls.check import PinCheck

# What may be asked of OpenSSL's object while nothing is checked: none of it moves application
# bytes or runs a handshake.
_HARMLESS = frozenset(
    {
        "cipher",
        "compression",
        "get_channel_binding",
        "get_unverified_chain",
        "get_verified_chain",
        "getpeercert",
        "owner",
        "pending",
        "selected_alpn_protocol",
        "server_hostname",
        "server_side",
        "session_reused",
        "shared_ciphers",
        "version",
    }
)


# A handshake that goes on. One tuple, as each handshake raises one of the two at least once.
_WAITS = (ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Gate:
    """OpenSSL's object with a check before its first byte.

    After a refusal every call raises the same error again, the socket is shut down, and what
    OpenSSL had ready to send into a memory BIO is thrown away, a client certificate included.
    """

    __slots__ = ("_check", "_outgoing", "_raw", "_refusal")

    def __init__(self, raw: Any, check: PinCheck, outgoing: ssl.MemoryBIO | None) -> None:
        self._raw = raw
        self._check = check
        self._outgoing = outgoing
        self._refusal: Exception | None = None

    def do_handshake(self) -> Any:
        """Shake hands, check, and step aside. Raises ``PinError``, or what OpenSSL raises."""
        self.raise_refusal()
        raw = self._raw
        try:
            raw.do_handshake()
        except _WAITS:
            raise
        except ssl.SSLError as exc:
            try:
                self._check.tell_unverified(raw, exc)
            finally:
                self._refuse(exc)  # OpenSSL's own refusal is as final as ours
            raise
        try:
            self._check(raw)
        except BaseException as exc:
            self._refuse(exc)
            self._discard()
            raise
        owner = raw.owner
        owner._sslobj = raw
        return raw

    def read(self, *args: Any) -> Any:
        """Read application bytes: after handshake and check."""
        return self.do_handshake().read(*args)

    def write(self, data: Any) -> Any:
        """Write application bytes: after handshake and check."""
        return self.do_handshake().write(data)

    def shutdown(self) -> NoReturn:
        """Not before the check: Python moves clear text after it, in whichever thread."""
        self.raise_refusal()
        raise ssl.SSLError(ssl.SSL_ERROR_SSL, "TLS cannot be closed before the pins were checked")

    @property
    def session(self) -> Any:
        """No session before the check: it could be resumed where nobody looks."""
        return None

    @session.setter
    def session(self, session: ssl.SSLSession) -> None:
        if self._check.may_resume(session):
            self._raw.session = session

    @property
    def check(self) -> PinCheck:
        """The check of this connection."""
        return self._check

    def raise_refusal(self) -> None:
        """Raise the refusal again, if there was one."""
        if self._refusal is not None:
            raise copy(self._refusal)

    def _refuse(self, reason: BaseException) -> None:
        # A copy, since the traceback of the error itself leads back here.
        self._refusal = copy(reason) if isinstance(reason, Exception) else _interrupted(reason)
        owner = self._raw.owner
        if isinstance(owner, socket.socket):
            # Not close(): the caller still owns the descriptor, and closes it.
            with suppress(OSError):
                socket.socket.shutdown(owner, socket.SHUT_RDWR)

    def _discard(self) -> None:
        """Throw away what would still go out: the Finished, and a client certificate before it."""
        if self._outgoing is not None:
            self._outgoing.read()

    def __getattr__(self, name: str) -> Any:
        if name not in _HARMLESS:
            raise AttributeError(f"{name!r} is not reachable before the pins were checked")
        return getattr(self._raw, name)


def _interrupted(reason: BaseException) -> Exception:
    return ssl.SSLError(ssl.SSL_ERROR_SSL, f"the check was interrupted ({type(reason).__name__})")
