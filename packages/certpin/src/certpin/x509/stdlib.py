"""Python's own ``ssl`` classes, even if a library replaced them, and OpenSSL's chains.

``truststore.inject_into_ssl()`` (pip-system-certs calls it when Python starts), gevent and eventlet
replace ``ssl.SSLContext`` and ``ssl.SSLSocket`` with their classes. This has two effects:

- A subclass or an instance of the replacement is not the context that certpin needs: that of
  truststore uses the roots of the platform instead of the ones that it was given.
- The setters of Python's ``SSLContext`` read the name ``SSLContext`` from the module, find the
  replacement there, and recurse without end. ``OwnSSLContext`` sets the values directly.

``SSLSocket`` has had methods for the chains of a connection since Python 3.13. OpenSSL's object
below it (``_sslobj``) has had them since 3.10, so all versions are read the same way here.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

_openssl: Any = ssl._ssl  # type: ignore[attr-defined]  # typeshed leaves it out

OpenSSLContext: Any = _openssl._SSLContext
OpenSSLSocket: Any = _openssl._SSLSocket


def _find_context() -> Any:
    """Return the class that the module ``ssl`` itself defines. A replacement is based on it."""
    for kind in OpenSSLContext.__subclasses__():
        if getattr(kind.wrap_socket, "__globals__", None) is vars(ssl):
            return kind
    raise ImportError("the module ssl defines no SSLContext")


if TYPE_CHECKING:
    _StdlibContext = ssl.SSLContext
    StdlibSocket = ssl.SSLSocket
    StdlibObject = ssl.SSLObject
else:
    _StdlibContext = _find_context()
    StdlibSocket = _StdlibContext.sslsocket_class
    StdlibObject = _StdlibContext.sslobject_class


def _set_directly(name: str) -> Any:
    return property(
        vars(_StdlibContext)[name].fget, vars(OpenSSLContext)[name].__set__, doc=f"``{name}``."
    )


class OwnSSLContext(_StdlibContext):
    """``ssl.SSLContext`` as Python defines it, which works in spite of a replacement."""

    @property  # type: ignore[misc]  # read-only: the class of an instance never changes
    def __class__(self) -> type:
        """Let libraries succeed with ``isinstance(context, ssl.SSLContext)`` and a replacement."""
        replacement: type = ssl.SSLContext
        return type(self) if issubclass(type(self), replacement) else replacement

    maximum_version = _set_directly("maximum_version")
    minimum_version = _set_directly("minimum_version")
    options = _set_directly("options")
    verify_flags = _set_directly("verify_flags")
    verify_mode = _set_directly("verify_mode")


def replaced_by() -> str:
    """Return the module that replaced ``ssl.SSLSocket``, or an empty string."""
    found: Any = ssl.SSLSocket
    return "" if found is StdlibSocket else str(found.__module__)


_ENCODING_DER = 2  # _ssl.ENCODING_DER: the value of X509_FILETYPE_ASN1 (openssl/x509.h)


def verified_chain(raw: Any) -> tuple[bytes, ...]:
    """Return the chain that OpenSSL verified, as DER, leaf first, up to the trust anchor; or empty.

    It means nothing without a full handshake with verification on: under ``CERT_NONE`` it is
    whatever the peer sent, and a resumed session has none.
    """
    return _der(raw.get_verified_chain())


def served_chain(raw: Any) -> tuple[bytes, ...]:
    """Return the certificates that the server sent, as DER, in its order. None is proven."""
    return _der(raw.get_unverified_chain())


def _der(certificates: Any) -> tuple[bytes, ...]:
    return tuple([each.public_bytes(_ENCODING_DER) for each in certificates or ()])
