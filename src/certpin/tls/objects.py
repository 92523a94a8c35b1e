"""``SSLSocket`` and ``SSLObject`` with what pinning adds: the verdict, remembered sessions, and no
way back into clear text.
"""

from __future__ import annotations

import _socket
import errno
from typing import TYPE_CHECKING, Any

from certpin.x509.stdlib import StdlibObject, StdlibSocket

if TYPE_CHECKING:
    import ssl
    from typing import NoReturn

    from certpin.pins import Verdict
    from certpin.tls.check import PinCheck

    _Base = ssl.SSLObject
else:
    _Base = object


class Pinned(_Base):
    """What both have in common. ``_sslobj`` is a ``Gate`` until the chain was checked."""

    _check: PinCheck | None = None  # from the moment that there is a gate

    _context: ssl.SSLContext

    @property
    def pin_checked(self) -> bool:
        """Whether the pins of this connection were checked, and let it pass."""
        return self._check is not None and self._check.finished

    @property
    def pin_verdict(self) -> Verdict | None:
        """The verdict on the chain. ``None`` before the check (see ``pin_checked``), and if no
        policy covers the host.
        """
        return None if self._check is None else self._check.verdict

    @property
    def context(self) -> ssl.SSLContext:  # type: ignore[override]
        """The pinned context. It cannot be replaced: another one would not check."""
        return self._context

    @property
    def session(self) -> ssl.SSLSession | None:
        """The session, to be resumed with the same context, host and pin set; or ``None``."""
        session = super().session
        if session is not None and self._check is not None:
            self._check.remember(session)
        return session

    @session.setter
    def session(self, session: ssl.SSLSession | None) -> None:
        setter: Any = super(Pinned, type(self)).session
        setter.fset(self, session)


class NoTLS:
    """Takes the place of OpenSSL's object while there is no TLS: not yet, or no more.

    Python has ``None`` there, and then moves application bytes in clear text: on a socket whose
    ``connect`` is in progress or has failed, and after ``shutdown`` of one direction.
    """

    session_reused = None

    @property
    def session(self) -> None:
        """``None``. The socket keeps a session that is set, until it connects."""

    @session.setter
    def session(self, session: Any) -> None:
        pass

    def do_handshake(self, *_: Any) -> NoReturn:
        """Raise ``ENOTCONN``, as everything does that would move bytes."""
        raise OSError(errno.ENOTCONN, "there is no TLS on this socket, not yet or no more")

    read = write = shutdown = getpeercert = do_handshake

    def pending(self) -> int:
        """Return 0: there is nothing to read."""
        return 0

    def version(self, *_: Any) -> None:
        """Nothing was negotiated."""

    cipher = compression = get_channel_binding = selected_alpn_protocol = shared_ciphers = version
    get_verified_chain = get_unverified_chain = group = client_sigalg = server_sigalg = version

    def uses_ktls_for_recv(self) -> bool:
        """Return False: the kernel decrypts nothing without TLS (Python 3.15)."""
        return False

    # Python 3.15 asks before it sends a file. False would let it try another way.
    uses_ktls_for_send = sendfile = do_handshake


# mypy sees attributes where Python has properties, and the other way round; the tests read them.
class PinnedSSLSocket(Pinned, StdlibSocket):  # type: ignore[misc, override]
    """An ``ssl.SSLSocket`` that moves no application byte before its pins were checked.

    Nor does it move one in clear text, except after ``unwrap`` of a connection that was checked.
    """

    # What Python keeps there, and typeshed leaves out.
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

    def _real_connect(self, addr: Any, connect_ex: bool) -> Any:
        """What ``connect`` and ``connect_ex`` do. Python's own forgets TLS where one fails."""
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
        """As ``ssl.SSLSocket.shutdown``: TLS ends, and what is sent or read after it fails."""
        self._sslobj = NoTLS()
        _socket.socket.shutdown(self, how)


class PinnedSSLObject(Pinned, StdlibObject):
    """An ``ssl.SSLObject`` that moves no application byte before its pins were checked."""
