"""The gate: what stands in OpenSSL's place until the verified chain was checked.

Python's ``SSLSocket`` and ``SSLObject`` reach OpenSSL through one attribute, ``_sslobj``.
Overriding ``do_handshake`` alone would leave ways around: OpenSSL also shakes hands inside the
first read or write, and a deferred handshake is exactly that. So a ``Gate`` is put into ``_sslobj``
itself, and everything passes it: send, recv, makefile, sendfile, asyncio, uvloop, whatever comes
next. When the chain is found good, the gate puts OpenSSL's object back and is gone: a pinned
connection costs nothing from then on. In an object of another library (gevent's ``SSLSocket``),
which keeps OpenSSL's object in its own way, the gate stays and passes every call on.

Before the check, the gate passes on only the names in ``_HARMLESS``.

On a socket, OpenSSL sends the client's last flight, with a client certificate in it, before
``do_handshake`` returns (RFC 8446 section 4.4, RFC 5246 section 7.3). So a context that has such a
certificate calls the gate when the server's part of the handshake is complete
(``check_before_last_flight``), and a refusal shuts the socket before that flight. Other contexts
have nothing to hide in it, and save the calls.
"""

from __future__ import annotations

import _socket
import socket
import ssl
import weakref
from contextlib import suppress
from copy import copy
from typing import TYPE_CHECKING, Any

from certpin.tls.calling import called_now
from certpin.tls.check import PinCheck
from certpin.tls.sigpipe import hold_sigpipe, release_sigpipe
from certpin.x509.stdlib import OpenSSLContext

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.tls.enforcer import Enforcer
    from certpin.tls.state import PinState, Target

# What may be asked of OpenSSL's object while nothing is checked: none of it moves application
# bytes or runs a handshake.
_HARMLESS = frozenset(
    {
        "cipher",
        "client_sigalg",
        "compression",
        "get_channel_binding",
        "get_unverified_chain",
        "get_verified_chain",
        "getpeercert",
        "group",
        "owner",
        "pending",
        "selected_alpn_protocol",
        "server_hostname",
        "server_side",
        "server_sigalg",
        "session_reused",
        "shared_ciphers",
        "uses_ktls_for_recv",
        "version",
    }
)

# A handshake that goes on. One tuple, as each handshake raises one of the two at least once.
_WAITS = (ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Gate(PinCheck):
    """OpenSSL's object with a check before its first byte.

    After a refusal every call raises the same error again, the socket is shut down, and what
    OpenSSL had ready to send into a memory BIO is thrown away, a client certificate included.
    """

    __slots__ = ("__weakref__", "_interrupt", "_outgoing", "_owner", "_raw", "_refusal")

    def __init__(
        self,
        enforcer: Enforcer,
        state: PinState,
        target: Target,
        outgoing: ssl.MemoryBIO | None = None,
    ) -> None:
        self.finished = False
        self.guards_certificate = False
        self.socket = _no_object
        self.target = target
        self.verdict = None
        self._called = called_now()
        self._chain = ()
        self._early = False
        self._enforcer = enforcer
        self._judged_for = None
        self._resumed = None
        self._state = state
        self._outgoing = outgoing
        self._owner: Callable[[], Any] = _no_object
        self._raw: Any = None
        self._refusal: Exception | None = None
        self._interrupt: BaseException | None = None

    def guard(self, raw: Any, pinned: Any = None) -> None:
        """Guard OpenSSL's object, and put it into ``pinned._sslobj`` after the check."""
        self._raw = raw
        if pinned is not None:
            self._owner = weakref.ref(pinned)

    def do_handshake(self) -> Any:  # noqa: C901  # one function for speed, as _guarded()
        """Shake hands, check, and step aside. Raises ``PinError``, or what OpenSSL raises."""
        if self._refusal is not None:
            self.raise_refusal()
        raw = self._raw
        try:
            raw.do_handshake()
        except _WAITS:
            raise
        except OSError as exc:
            self._fail(exc)
            raise
        except BaseException:
            release_sigpipe()
            raise
        if self.finished:
            return raw
        if self._refusal is not None:
            self._raise_early_refusal()
        try:
            if not self.guards_certificate or self.must_judge(raw):
                self.judge(raw)
        except BaseException as exc:
            self._refuse(exc)
            self._discard()
            raise
        self.finished = True
        owner = self._owner()
        if owner is not None:
            raw.owner = owner
            owner._sslobj = raw
        return raw

    def _fail(self, error: OSError) -> None:
        """Refuse for good, as OpenSSL did. Raises the error that explains it, if there is one."""
        self._raise_early_refusal()
        if not isinstance(error, ssl.SSLError):
            return
        refusal = error
        try:
            refusal = self.refusal_of(self._raw, error)
        finally:
            self._refuse(refusal)
        if refusal is not error:
            raise refusal from error

    def before_last_flight(self) -> None:
        """Check a socket before the client's last flight. Never raises: OpenSSL is the caller."""
        if self._outgoing is not None or self._refusal is not None or self.finished:
            return  # what goes into a memory BIO can be thrown away after the handshake
        try:
            self.judge_early(self._raw)
        except BaseException as exc:  # noqa: BLE001  # do_handshake raises it
            hold_sigpipe()  # OpenSSL writes the last flight now, to a socket that is shut
            self._refuse(exc)
            if not isinstance(exc, Exception):
                self._interrupt = exc

    def _raise_early_refusal(self) -> None:
        release_sigpipe()
        interrupt, self._interrupt = self._interrupt, None
        if interrupt is not None:
            raise interrupt
        if self._refusal is not None:
            raise copy(self._refusal) from None

    def read(self, *args: Any) -> Any:
        """Read application bytes: after handshake and check."""
        return self._checked().read(*args)

    def write(self, data: Any) -> Any:
        """Write application bytes: after handshake and check."""
        return self._checked().write(data)

    def sendfile(self, *args: Any) -> Any:
        """Send a file through the kernel's TLS (Python 3.15): after handshake and check."""
        return self._checked().sendfile(*args)

    def uses_ktls_for_send(self) -> bool:
        """Return True if the kernel encrypts (Python 3.15: ``SSLSocket.sendfile`` asks first).

        It is known after the handshake, and so after the check.
        """
        return bool(self._checked().uses_ktls_for_send())

    def shutdown(self) -> Any:
        """Close TLS, but not before the check: Python moves clear text after it."""
        self.raise_refusal()
        if self.finished:
            return self._raw.shutdown()
        raise ssl.SSLError(ssl.SSL_ERROR_SSL, "TLS cannot be closed before the pins were checked")

    def _checked(self) -> Any:
        return self._raw if self.finished else self.do_handshake()

    @property
    def session(self) -> Any:
        """``None`` before the check: a session could be resumed without one."""
        session = self._raw.session if self.finished else None
        if session is not None:
            self.remember(session)
        return session

    @session.setter
    def session(self, session: ssl.SSLSession) -> None:
        if self.may_resume(session):
            self._raw.session = session

    def raise_refusal(self) -> None:
        """Raise the refusal again, if there was one."""
        if self._refusal is not None:
            raise copy(self._refusal)

    def _refuse(self, reason: BaseException) -> None:
        # A copy, since the traceback of the error itself leads back here.
        self._refusal = copy(reason) if isinstance(reason, Exception) else _interrupted(reason)
        sock = self.socket()
        if sock is not None:
            # Not close(): the caller still owns the descriptor, and closes it.
            with suppress(OSError):
                _socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def _discard(self) -> None:
        """Throw away what would still go out: the Finished, and a client certificate before it."""
        if self._outgoing is not None:
            self._outgoing.read()

    def __getattr__(self, name: str) -> Any:
        if name not in _HARMLESS and not self.finished:
            raise AttributeError(f"{name!r} is not reachable before the pins were checked")
        return getattr(self._raw, name)


def check_before_last_flight(context: ssl.SSLContext) -> None:
    """Let OpenSSL call the gates of a context before the client's last flight."""
    # Not by SSLContext's property of this name, which makes three enumerations for each message.
    OpenSSLContext._msg_callback.__set__(context, _on_message)


_HANDSHAKE = 22  # RFC 8446 section 5.1
_LAST_OF_THE_SERVER = frozenset({14, 20})  # ServerHelloDone (TLS 1.2), Finished; section 4


def _on_message(
    gate: Any, direction: str, version: int, content_type: int, message_type: int, data: bytes
) -> None:
    # The first argument is the gate, as OpenSSL's "owner", until the gate has stepped aside.
    if (
        content_type == _HANDSHAKE
        and message_type in _LAST_OF_THE_SERVER
        and direction == "read"
        and type(gate) is Gate
    ):
        gate.before_last_flight()


def _no_object() -> None:
    """Take the place of a weak reference."""


def _interrupted(reason: BaseException) -> Exception:
    return ssl.SSLError(ssl.SSL_ERROR_SSL, f"the check was interrupted ({type(reason).__name__})")
