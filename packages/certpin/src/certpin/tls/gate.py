"""The gate: an object in the place of OpenSSL's object until the pins were checked.

The gate implements rule 3 of docs/concepts/matching.md. Python's ``SSLSocket`` and ``SSLObject``
reach OpenSSL through one attribute, ``_sslobj``. Overriding ``do_handshake`` is not enough: OpenSSL
also runs the handshake inside the first read or write, and a deferred handshake relies on that. So
a ``Gate`` is put into ``_sslobj`` itself, and every call passes through it: send, recv, makefile,
sendfile, asyncio, uvloop. When the pin check has accepted the chain, the gate puts OpenSSL's object
back, and the pinned connection has no further cost. In an object of another library (gevent's
``SSLSocket``) the gate stays, and passes every call on.

Before the check, the gate gives access only to those attributes of OpenSSL's object that are in
``_HARMLESS``: they neither run the handshake nor send or return application bytes.

OpenSSL writes the client's last flight before ``do_handshake`` returns (RFC 8446 section 4.4), and
in TLS 1.2 even before the handshake is complete (RFC 5246 section 7.3). The last flight is the
client's last handshake messages, with a client certificate among them. So a connection begins
without the client certificate. OpenSSL's message callback (``certpin.tls.context``) calls the gate
before OpenSSL chooses the certificate. The gate checks the pins, and only then gives the
certificate to the connection. If any exception interrupts the check, OpenSSL has no certificate to
send. A refusal also shuts the socket down before the last flight is sent, or discards it if it was
written into a memory BIO. Without a client certificate, the last flight contains no secret, so
other contexts have no callback.

The classes of pinned sockets and objects, which hold a gate, are at the end of this module. While
there is no TLS, Python puts ``None`` into ``_sslobj``, and then sends and reads application bytes
in clear text. A pinned socket has a ``NoTLS`` object there instead, which refuses to send and read.
gevent replaces ``ssl.SSLSocket`` by its own class, which waits without blocking other greenlets. A
pinned socket is then based on gevent's class, so that ``gevent.monkey.patch_all()`` works before
and after certpin is imported. eventlet sets its own class on every socket that it makes, and so
bypasses the context: such sockets are refused.
"""

from __future__ import annotations

import _socket
import errno
import os
import socket
import ssl
import sys
from contextlib import suppress
from copy import copy
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from certpin.errors import ConfigError, PinError
from certpin.tls.check import PinCheck
from certpin.tls.failures import current_request
from certpin.tls.sigpipe import hold_sigpipe, release_sigpipe
from certpin.x509.openssl import StdlibObject, StdlibSocket, is_of, replaced_by

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from certpin.pins import Verdict
    from certpin.tls.check import Enforcer, PinState, TargetHost

    _Base = ssl.SSLObject
else:
    _Base = object

# Attributes of OpenSSL's object that can be read before the check: none of them moves application
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
    """Wraps OpenSSL's object of a connection, and checks the pins before any application byte.

    After a refusal every call raises the same error again, and the socket is shut down. Bytes that
    OpenSSL wrote into a memory BIO are discarded, including a client certificate.
    """

    __slots__ = ("__weakref__", "_interrupt", "_outgoing", "_owner", "_raw", "_refusal")

    def __init__(
        self,
        enforcer: Enforcer,
        state: PinState,
        target: TargetHost,
        outgoing: ssl.MemoryBIO | None = None,
    ) -> None:
        self.accepted = False
        self.identity = None
        self.has_proved_key = False
        self.socket_ref = _no_object
        self.target = target
        self.verdict = None
        self._request = current_request()
        self._chain = ()
        self._enforcer = enforcer
        self._judged_for = None
        self._resumed = None
        self._state = state
        self._outgoing = outgoing
        self._owner: Callable[[], Any] = _no_object  # a weak reference to a `Pinned`
        self._raw: Any = None  # OpenSSL's object, set once it is made with this gate
        self._refusal: Exception | None = None
        self._interrupt: BaseException | None = None

    def do_handshake(self) -> Any:  # noqa: C901  # one function for speed, as _guarded()
        """Do the handshake, check the pins, and put OpenSSL's object in the place of this gate.

        Returns OpenSSL's object. Raises ``PinError`` if the connection is refused, or errors of
        OpenSSL.
        """
        if self._refusal is not None:
            self.raise_refusal()
        raw = self._raw
        try:
            if self.identity is None:
                raw.do_handshake()
            else:
                self._handshake_with_identity()
        except _WAITS:
            if self._refusal is not None:  # TLS 1.2: the last flight waits in the memory BIO
                self._raise_early_refusal()
            raise
        except BaseException as exc:
            self._fail(exc)
            raise
        if self.accepted:
            return raw
        if self._refusal is not None:
            self._raise_early_refusal()
        try:
            if self.identity is None or self.must_judge(raw):
                self.judge(raw)
        except BaseException as exc:
            self._refuse(exc)
            self._discard()
            raise
        self.accepted = True
        owner = self._owner()
        if owner is not None:
            raw.owner = owner
            owner._sslobj = raw
        return raw

    def _handshake_with_identity(self) -> None:
        """Do OpenSSL's handshake of a connection that has a client certificate.

        If a signal handler raises in the message callback, or the recursion limit is reached there,
        OpenSSL goes on without the certificate. If it then fails, or waits for the server, Python
        raises OpenSSL's error with the callback's exception as its context. In each of these cases,
        this method refuses the connection, and ``do_handshake`` raises the exception itself. But
        Python can drop the exception if a later call of the callback refuses the server and shuts
        the socket: then that refusal is raised.
        """
        handled = sys.exception()
        try:
            self._raw.do_handshake()
        except BaseException as exc:
            interrupt: BaseException | None = exc
            frame = exc.__traceback__  # this one; those of a signal handler are below it
            if isinstance(exc, OSError) and frame is not None and frame.tb_next is None:
                interrupt = exc.__context__
            if interrupt is not None and interrupt is not handled:
                self._interrupt = interrupt
                if self._refusal is None:
                    self._refuse(interrupt)
            raise

    def _fail(self, error: BaseException) -> None:
        """Raise a better error than ``error`` for a failed handshake, if there is one.

        A better error is the refusal of an early pin check, the exception that interrupted it, or
        an explanation of why OpenSSL refused the chain. Otherwise return, and the caller raises
        ``error`` itself. After a TLS error, all later calls on this connection fail; after a
        failure of the network, they don't.
        """
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
        """Check the pins, and give the client certificate to the connection if they match.

        OpenSSL's message callback calls this method before OpenSSL chooses the certificate. If the
        connection is refused, ``do_handshake`` raises the refusal later. An exception that a signal
        handler or the recursion limit causes can leave this method at any point: the connection
        then has no certificate, and ``do_handshake`` raises the exception.
        """
        if self.identity is None or self._refusal is not None or self.accepted:
            return
        try:
            self.judge_early(self._raw)
            self._raw.context = self.identity
        except BaseException as exc:  # noqa: BLE001  # do_handshake raises it
            self._refuse(exc)  # first: a signal handler may raise anywhere after it
            if not isinstance(exc, PinError):
                self._interrupt = exc
            if self._outgoing is None:
                hold_sigpipe()  # OpenSSL writes the last flight now, to a socket that is shut

    def _raise_early_refusal(self) -> None:
        """Raise the refusal during the handshake, if there was one, and discard the last flight.

        If an exception interrupted the check, raise that exception.
        """
        release_sigpipe()
        if self._refusal is None:
            return
        self._discard()
        interrupt, self._interrupt = self._interrupt, None
        if interrupt is not None:
            raise interrupt
        raise copy(self._refusal) from None

    def read(self, *args: Any) -> Any:
        """Return received application bytes, after the handshake and the pin check."""
        return self._checked().read(*args)

    def write(self, data: Any) -> Any:
        """Send application bytes after the handshake and the pin check, and return their number."""
        return self._checked().write(data)

    def sendfile(self, *args: Any) -> Any:
        """Send a file through the kernel's TLS (Python 3.15), after handshake and pin check."""
        return self._checked().sendfile(*args)

    def uses_ktls_for_send(self) -> bool:
        """Return True if the kernel encrypts sent data (for ``SSLSocket.sendfile`` of Python 3.15).

        This is known only after the handshake, so the handshake and the pin check come first.
        """
        return bool(self._checked().uses_ktls_for_send())

    def shutdown(self) -> Any:
        """Close TLS. Raises ``SSLError`` before the pin check.

        Without this error, Python would send clear text on the socket after closing TLS.
        """
        self.raise_refusal()
        if self.accepted:
            return self._raw.shutdown()
        raise ssl.SSLError(ssl.SSL_ERROR_SSL, "TLS cannot be closed before the pins were checked")

    def _checked(self) -> Any:
        return self._raw if self.accepted else self.do_handshake()

    @property
    def session(self) -> Any:
        """The TLS session of the connection; ``None`` before the pin check.

        Setting it offers the session for resumption, but only if a pin check has accepted that
        session. Otherwise nothing changes: OpenSSL offers the session that was set before, if any.
        """
        session = self._raw.session if self.accepted else None
        if session is not None:
            self.remember(session)
        return session

    @session.setter
    def session(self, session: ssl.SSLSession) -> None:
        chain = self.chain_of(session)
        if chain is None:
            return
        if self.identity is None:
            self._raw.session = session
        elif not self._offer_with_identity(session):
            return
        self._resumed = chain

    def _offer_with_identity(self, session: ssl.SSLSession) -> bool:
        """Offer a session for resumption on a connection that has a client certificate.

        Such a session belongs to the client identity, and Python refuses the session of another
        context. So the connection has the identity while the session is set. A session from before
        the current certificate was loaded is not offered: the result is then False.
        """
        raw = self._raw
        self.raise_refusal()
        before = raw.context
        self._refusal = _interrupted("a signal")  # it stays if a signal handler raises here
        raw.context = self.identity
        offered = True
        try:
            raw.session = session
        except ValueError:
            offered = False
        raw.context = before
        self._refusal = None
        return offered

    def raise_refusal(self) -> None:
        """Raise the error of the refusal again, if this connection was refused."""
        if self._refusal is not None:
            raise copy(self._refusal)

    def _refuse(self, reason: BaseException) -> None:
        self._refusal = _interrupted(type(reason).__name__)
        # A copy, since the traceback of the error itself leads back here. An app's exception, from
        # a signal handler, may have a constructor that copy() can't call.
        if isinstance(reason, ssl.SSLError):
            self._refusal = copy(reason)
        sock = self.socket_ref()
        if sock is not None:
            # Not close(): the caller still owns the descriptor, and closes it.
            with suppress(OSError):
                _socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def _discard(self) -> None:
        """Discard unsent handshake bytes, such as a client certificate, after a refusal.

        Only a TLS object over memory buffers can have such bytes.
        """
        if self._outgoing is not None:
            self._outgoing.read()

    def __getattr__(self, name: str) -> Any:
        if name not in _HARMLESS and not self.accepted:
            raise AttributeError(f"{name!r} is not reachable before the pins were checked")
        return getattr(self._raw, name)


def _no_object() -> None:
    """Return None, as a weak reference to a deleted object does.

    A ``Gate`` has this function in place of a weak reference to an object that it does not have.
    """


def _interrupted(reason: str) -> Exception:
    return ssl.SSLError(ssl.SSL_ERROR_SSL, f"the check was interrupted ({reason})")


class Pinned(_Base):
    """Base class of the sockets and TLS objects of a ``PinnedSSLContext``.

    It has the result of the pin check. Until the check, ``_sslobj`` is a ``Gate``, which sends and
    returns no application byte.
    """

    _check: PinCheck | None = None  # set when the gate is made
    _is_closing = False  # whether this side has begun to close TLS, after the check

    _context: ssl.SSLContext

    @property
    def pin_checked(self) -> bool:
        """True if the pins of this connection were checked, and the connection was accepted."""
        return self._check is not None and self._check.accepted

    @property
    def pin_verdict(self) -> Verdict | None:
        """The verdict on the chain; ``None`` before the check, and if no policy covers the host.

        ``pin_checked`` distinguishes these two cases.
        """
        return None if self._check is None else self._check.verdict

    @property
    def context(self) -> ssl.SSLContext:  # type: ignore[override]
        """The pinned context. It is read-only, because another context would not check pins."""
        return self._context

    @property
    def session(self) -> ssl.SSLSession | None:
        """The TLS session; ``None`` if there is none.

        The session may be resumed only with the same context, host and pin set.
        """
        session = super().session
        if session is not None and self._check is not None:
            self._check.remember(session)
        return session

    @session.setter
    def session(self, session: ssl.SSLSession | None) -> None:
        setter: Any = super(Pinned, type(self)).session
        setter.fset(self, session)

    def unwrap(self) -> Any:
        """Close TLS, as Python's own method does. Raises ``SSLError`` before the pin check.

        From the first call on, ``assert_pinned`` refuses the connection: the server may never
        confirm the closing, and a TLS object over memory BIOs looks the same after it.
        """
        self._is_closing = self.pin_checked
        return super().unwrap()


class NoTLS:
    """Replaces OpenSSL's object while a socket has no TLS: before connecting, or after TLS ended.

    Python's ``ssl`` uses ``None`` in these cases, and then sends and returns application bytes in
    clear text: on a socket with a ``connect`` that is in progress or has failed, and after
    ``shutdown`` of one direction. Methods of this class that send or read raise an error instead.
    """

    session_reused = None

    @property
    def session(self) -> None:
        """Always ``None``, because there is no TLS. Setting it does nothing.

        If a session is set before connecting, the socket itself stores it.
        """

    @session.setter
    def session(self, session: Any) -> None:
        pass

    def do_handshake(self, *_: Any) -> NoReturn:
        """Raise ``OSError`` (``ENOTCONN``). All methods that send or read bytes do the same."""
        raise OSError(errno.ENOTCONN, "there is no TLS on this socket, not yet or no more")

    read = write = shutdown = getpeercert = do_handshake

    def pending(self) -> int:
        """Return 0, the number of received bytes that can be read: without TLS there are none."""
        return 0

    def version(self, *_: Any) -> None:
        """Return ``None``, because no TLS version was negotiated.

        Other methods that return a result of the handshake, such as ``cipher``, do the same.
        """

    cipher = compression = get_channel_binding = selected_alpn_protocol = shared_ciphers = version
    get_verified_chain = get_unverified_chain = group = client_sigalg = server_sigalg = version

    def uses_ktls_for_recv(self) -> bool:
        """Return False: the kernel decrypts nothing without TLS (Python 3.15)."""
        return False

    # Python 3.15 asks before it sends a file. False would let it try another way.
    uses_ktls_for_send = sendfile = do_handshake


# mypy sees attributes for Python's properties, and the other way round; the tests read them.
class PinnedSSLSocket(Pinned, StdlibSocket):  # type: ignore[misc, override]
    """An ``ssl.SSLSocket`` that sends and returns no application byte before its pin check.

    It never sends clear text, except after ``unwrap`` of a connection that was checked.
    """

    # Attributes of Python's class that typeshed leaves out.
    _connected: bool
    _session: ssl.SSLSession | None
    _sslobj: Any
    do_handshake_on_connect: bool

    @classmethod
    def _create(cls, *args: Any, **kwargs: Any) -> Any:
        self = super()._create(*args, **kwargs)  # type: ignore[misc]
        if self._sslobj is None:
            self._sslobj = NoTLS()
        return self

    def getpeername(self) -> Any:
        """Return the address of the peer.

        The constructor of Python's ``SSLSocket`` (``_create``) calls this method first. If the peer
        has reset the connection by then, the socket is closed: ``ssl`` before Python 3.11.8 and
        3.12.2 would leave it open (CPython issue 113280).
        """
        try:
            return super().getpeername()
        except OSError as exc:
            error = self.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or exc.errno
            if self._sslobj is not None or not error or error == errno.ENOTCONN:
                raise
            self.close()
            raise OSError(error, os.strerror(error)) from None

    def _real_connect(self, addr: Any, connect_ex: bool) -> Any:
        """Connect, and begin TLS. ``connect`` and ``connect_ex`` call this method.

        Return the result of the socket's own method: for ``connect_ex`` an error number, or 0. If
        connecting fails, the socket can't send clear text, unlike after Python's own method.
        """
        if self._connected or not isinstance(self._sslobj, NoTLS):
            raise ValueError("attempt to connect already-connected SSLSocket!")
        context: Any = self._context
        # Again: the attribute may have been set while the socket waited.
        self.server_hostname = context._encode_hostname(self.server_hostname)  # type: ignore[misc]
        self._sslobj = context._wrap_socket(
            self, False, self.server_hostname, owner=self, session=self._session
        )
        failed = self._connect_tcp(addr, connect_ex)
        if not failed:
            self._connected = True
            if self.do_handshake_on_connect:
                self.do_handshake()
        return failed

    def _connect_tcp(self, addr: Any, connect_ex: bool) -> Any:
        connect = _socket.socket.connect_ex if connect_ex else _socket.socket.connect
        try:
            return connect(self, addr)
        except BlockingIOError:
            raise  # it goes on, and so does TLS
        except OSError:
            self._sslobj = NoTLS()  # so that it may be tried again
            raise

    def shutdown(self, how: int) -> None:
        """Shut down the TCP connection and end TLS, so that any later send or read fails.

        ``how`` is the direction, such as ``SHUT_WR``. TLS ends in both directions.
        """
        self._sslobj = NoTLS()
        _socket.socket.shutdown(self, how)

    # Without globals, as Python's own method: they may be gone when the interpreter ends.
    def _real_close(self, _no_tls: Any = NoTLS, _close: Any = _socket.socket.close) -> None:
        # Not None yet: another thread could send clear text until the descriptor is closed.
        self._sslobj = _no_tls()
        _close(self)
        self._sslobj = None


class PinnedSSLObject(Pinned, StdlibObject):
    """An ``ssl.SSLObject`` that sends and returns no application byte before its pin check.

    ``do_handshake`` runs the check, and so do ``read`` and ``write`` before it. If the pins refuse
    the server, they raise ``PinMismatchError`` or another ``PinError``, and so do later calls.
    """


def green_class_for(sock: object) -> Any:
    """Return the class of a TLS socket over a socket of gevent; None for a socket of Python.

    gevent's sockets wait without blocking other greenlets, so a TLS socket over one has to be based
    on gevent's own class. For a socket of Python, the caller uses ``PinnedSSLSocket``.

    Raises:
        ConfigError: The socket is eventlet's, or another library replaced ``ssl.SSLSocket``.
    """
    if is_of("gevent.socket", "socket", sock):
        return _gevent_class()
    culprit = "eventlet" if is_of("eventlet.greenio", "GreenSocket", sock) else replaced_by()
    if culprit:
        raise ConfigError(
            f"{culprit.partition('.')[0]} replaced Python's sockets, and certpin cannot check "
            "the pins of such a socket",
            key="wrap_socket",
            fix="use gevent, threads or asyncio, or don't patch the modules socket and ssl",
        )
    return None


@cache
def _gevent_class() -> type:
    theirs: Any = import_module("gevent.ssl")  # which brings no types

    class PinnedGeventSocket(Pinned, theirs.SSLSocket):  # type: ignore[misc]
        """A ``gevent.ssl.SSLSocket`` that sends and returns no application byte before its check.

        The gate (the object that checks the pins) stays in ``_sslobj``. gevent puts ``None`` there
        to send clear text from then on. This class then puts ``NoTLS`` there, which refuses to send
        and read, except after ``unwrap``.
        """

        _tls: Any = None

        @property
        def _sslobj(self) -> Any:
            return self._tls

        @_sslobj.setter
        def _sslobj(self, value: Any) -> None:
            self._tls = NoTLS() if value is None else value

        @property
        def _check(self) -> PinCheck | None:  # type: ignore[override]
            return self._tls if isinstance(self._tls, Gate) else None

        def _real_connect(self, addr: Any, connect_ex: bool) -> Any:
            # Again: the attribute may have been set while the socket waited (rule 5).
            context: Any = self._context
            name = context._encode_hostname(self.server_hostname)
            self.server_hostname = name  # type: ignore[misc]  # in gevent it can be set
            return super()._real_connect(addr, connect_ex)

        def unwrap(self) -> Any:
            """End TLS, and return the plain socket, as gevent does.

            Data sent on that socket is clear text.
            """
            plain = super().unwrap()
            self._tls = None
            return plain

    return PinnedGeventSocket
