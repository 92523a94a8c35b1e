"""``MirroredContext``: several trust stores with one configuration.

Rule 8 of docs/enforcement.md.
"""

from __future__ import annotations

import ssl
from threading import RLock
from typing import TYPE_CHECKING, Any, NamedTuple

from certpin.errors import ContextCopyError
from certpin.tls.gate import check_before_last_flight
from certpin.x509 import Certificate
from certpin.x509.openssl import OwnSSLContext, trust_alone

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable
    from typing import NoReturn

    from certpin.pins import TrustAnchors

# Settings of verification are not mirrored: an inner context always verifies.
_MIRRORED = (
    "keylog_filename",
    "maximum_version",
    "minimum_version",
    "options",
    "post_handshake_auth",
)


class _Call(NamedTuple):
    """A setter call on the context, which is repeated on each store that is made later."""

    name: str
    args: tuple[Any, ...]

    def __repr__(self) -> str:
        return f"{self.name}(…)"  # a passphrase may be among the arguments


class MirroredContext(OwnSSLContext):
    """A client's ``SSLContext`` with several trust stores and one configuration.

    OpenSSL ties the roots to a context. So each ``trust = FILE`` has its own inner context, called
    a store, while other hosts use the platform's roots. Settings of a client library (ALPN, cipher
    suites, client certificate, versions) are applied to all of them. Roots are not: a library that
    loads its CA bundle into this context changes nothing for a host with a trust file.

    The methods by which a library would rebuild this context in another TLS stack raise
    ``ContextCopyError``: the copy would have the roots and no pins. Rules 8 and 14 of
    docs/enforcement.md.
    """

    def __init__(self) -> None:
        # A lock for changes of settings; no handshake ever waits for it.
        self._configuring = RLock()
        self._calls: list[_Call] = []
        self._stores: dict[bytes, ssl.SSLContext] = {}
        self._has_certificate = False

    def _store_for(self, trust: TrustAnchors) -> ssl.SSLContext:
        """Return the inner context that trusts only these anchors. It is made on first use."""
        with self._configuring:
            if trust.digest not in self._stores:
                self._stores[trust.digest] = self._make_store(trust)
            return self._stores[trust.digest]

    def _make_store(self, trust: TrustAnchors) -> ssl.SSLContext:
        anchors = [Certificate.from_der(der) for der in trust.der]
        store = trust_alone(anchors, strict=trust.strict)
        for name in _MIRRORED:
            if (value := getattr(self, name)) is not None:
                setattr(store, name, value)
        if self._has_certificate:
            check_before_last_flight(store)
        for call in self._calls:
            getattr(store, call.name)(*call.args)
        return store

    def _set_everywhere(self, name: str, *args: Any) -> None:
        """Call a setter on this context and on every store, also on stores that are made later.

        Libraries repeat their calls for each connection. A repeated call does nothing, because
        another thread may be in a handshake.
        """
        call = _Call(name, args)
        with self._configuring:
            if call not in self._calls:
                self._call_everywhere(call)
                self._calls = [each for each in self._calls if each.name != name]
                self._calls.append(call)

    def _call_everywhere(self, call: _Call) -> None:
        getattr(super(), call.name)(*call.args)
        for store in self._stores.values():
            getattr(store, call.name)(*call.args)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in _MIRRORED:
            with self._configuring:
                for store in self._stores.values():
                    setattr(store, name, value)

    def set_ciphers(self, cipherlist: str, /) -> None:
        """Set the ciphers of this context and of every store, as ``ssl.SSLContext.set_ciphers``."""
        self._set_everywhere("set_ciphers", cipherlist)

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        """Set the ALPN protocols of this context and of every store, as in ``ssl.SSLContext``."""
        self._set_everywhere("set_alpn_protocols", list(alpn_protocols))

    def set_ecdh_curve(self, name: str, /) -> None:
        """Set the ECDH curve of this context and of every store, as in ``ssl.SSLContext``."""
        self._set_everywhere("set_ecdh_curve", name)

    def load_cert_chain(self, certfile: Any, keyfile: Any = None, password: Any = None) -> None:
        """Load a client certificate into this context and every store, as in ``ssl.SSLContext``.

        From now on, pins are checked before a connection sends the certificate.
        """
        call = _Call("load_cert_chain", (certfile, keyfile, password))
        with self._configuring:
            for context in (self, *self._stores.values()):
                check_before_last_flight(context)
            # Always: the files may have changed. Kept beside others: one for each kind of key.
            self._call_everywhere(call)
            if call not in self._calls:
                self._calls.append(call)
            # Last: a connection that sees it was made with the callback.
            self._has_certificate = True

    def get_ca_certs(self, binary_form: bool = False) -> NoReturn:
        """Raise ``ContextCopyError``: a copy has no pins. ``trusted_roots()`` returns the roots."""
        raise _copied("get_ca_certs()")

    def cert_store_stats(self) -> NoReturn:
        """Raise ``ContextCopyError``: libraries that copy a context count its roots first."""
        raise _copied("cert_store_stats()")

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        """Raise ``ContextCopyError``, so that ``copy``, ``deepcopy`` and ``pickle`` fail."""
        raise _copied("copy or pickle")


def _copied(how: str) -> ContextCopyError:
    return ContextCopyError(
        f"refused: a library began to copy the pinned context ({how}), and the copy has no pins",
        fix="use the client of certpin.clients for your library (niquests, urllib3, requests …); "
        "context.trusted_roots() returns the roots, for purposes other than connecting",
    )
