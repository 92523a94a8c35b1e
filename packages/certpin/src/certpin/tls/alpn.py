"""ALPN protocols (RFC 7301) for each client library that shares a pinned context.

A client library sets the protocols on its context before each connection: httpx ``h2`` and
``http/1.1``, urllib3 ``http/1.1``. OpenSSL copies the context's list when it makes the object of a
connection. If the libraries shared this list too, a server could choose HTTP/2 for a client that
speaks only HTTP/1.1. So a client adapter gives its library a wrapper (``HandedContext`` in
``certpin.clients``) that has its own list, and offers it for each connection (``offering``).
``AlpnContext`` puts the list of a connection into OpenSSL's context, and makes the object, as one
step.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from contextvars import ContextVar
from threading import RLock
from typing import TYPE_CHECKING, Any

from certpin.support.forks import Forked, register
from certpin.x509.openssl import MirroredContext, OwnSSLContext

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator, Sequence

# The list for the connection that a wrapper begins, until the context takes it.
_offered: ContextVar[list[str] | None] = ContextVar("certpin_alpn_offered", default=None)


class _AlpnLock(Forked):
    """The lock for all changes of ALPN lists of pinned contexts. No I/O happens under it.

    It is reentrant, because a signal handler may connect while its thread has the lock. ``begun``
    counts connections, so that the interrupted one notices this.
    """

    def __init__(self) -> None:
        self.begun = 0
        self.held = RLock()
        register(self)

    def after_fork_in_child(self) -> None:
        """Replace the lock. No list needs a repair: each connection sets its list again."""
        self.held = RLock()


alpn_lock = _AlpnLock()


@contextmanager
def offering(protocols: list[str]) -> Iterator[None]:
    """Context manager: the next connection has these ALPN protocols.

    The pinned context must be marked as handed out (``_is_handed``).
    """
    token = _offered.set(protocols)
    try:
        yield
    finally:
        _offered.reset(token)


class AlpnContext(MirroredContext):
    """A context with its own ALPN protocols, beside those that its wrappers offer.

    A context without wrappers takes no lock to begin a connection.
    """

    _alpn_protocols: Sequence[str] = ()
    _is_handed = False  # whether a wrapper makes connections with this context

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        """Set the ALPN protocols of this context, as ``ssl.SSLContext.set_alpn_protocols`` does.

        The connections of client adapters that set their own protocols are not affected.
        """
        protocols = list(alpn_protocols)
        with alpn_lock.held:
            super().set_alpn_protocols(protocols)
            self._alpn_protocols = protocols

    def _begin_with_alpn(
        self, make: Callable[..., Any], store: ssl.SSLContext, *args: Any, **options: Any
    ) -> Any:
        """Make OpenSSL's object of a connection with the right ALPN protocols, and return it.

        Args:
            make: the function that makes the object.
            store: the context from which OpenSSL copies the list: this one, or one of its stores.
            args: the other arguments of ``make``.
            options: the keyword arguments of ``make``.
        """
        offered = _offered.get()
        _offered.set(None)  # it is not for connections that this one causes
        protocols = self._alpn_protocols if offered is None else offered
        with alpn_lock.held:
            while True:
                begun = alpn_lock.begun = alpn_lock.begun + 1
                with suppress(MemoryError):  # by OpenSSL 1.1.1 for an empty list, which it sets
                    OwnSSLContext.set_alpn_protocols(store, protocols)
                raw = make(store, *args, **options)
                if begun == alpn_lock.begun:
                    return raw
