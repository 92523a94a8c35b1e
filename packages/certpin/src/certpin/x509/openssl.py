"""Python's own ``ssl`` classes, OpenSSL's chains, and TLS settings of certpin.

Some libraries replace ``ssl.SSLContext`` and ``ssl.SSLSocket`` with their own classes: gevent,
eventlet, and ``truststore.inject_into_ssl()`` (pip-system-certs calls it when Python starts). This
has two effects:

- A subclass or an instance of the replacement is not the context that certpin needs: the context of
  truststore uses the roots of the platform instead of the roots that it was given.
- The setters of Python's ``SSLContext`` read the name ``SSLContext`` from the module, find the
  replacement there, and recurse without end. ``OwnSSLContext`` sets the values directly.

``SSLSocket`` has had methods for the chains of a connection since Python 3.13. OpenSSL's object
below it (``_sslobj``) has had them since 3.10, so the chains are read from it in all versions. The
verification settings are here because connections and probes must use the same ones.
``trust_alone`` makes a context that trusts only the given roots.
"""

from __future__ import annotations

import ssl
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from certpin.errors import CertificateParseError
from certpin.x509.certificate import end_in_roots

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from certpin.x509.certificate import Certificate

_openssl: Any = ssl._ssl  # type: ignore[attr-defined]  # typeshed leaves it out

OpenSSLContext: Any = _openssl._SSLContext
OpenSSLSocket: Any = _openssl._SSLSocket


def _find_context() -> Any:
    """Return Python's own class ``SSLContext``, even if a library replaced ``ssl.SSLContext``.

    Libraries such as gevent and truststore replace it by a subclass. Python's own class is a direct
    subclass of ``_ssl._SSLContext``, and its methods come from the module ``ssl``.
    """
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
    """Python's own ``ssl.SSLContext``, even if a library replaced the name ``ssl.SSLContext``.

    Libraries such as gevent put their own class in the place of ``ssl.SSLContext``. Setting values
    on an object of this class works in that case, too.

    ``_client_identity`` is the context with the client certificate for connections of this context
    (``MirroredContext``); None if there is none.
    """

    _client_identity: ssl.SSLContext | None = None

    @property  # type: ignore[misc]  # read-only: the class of an instance never changes
    def __class__(self) -> type:
        """The class that ``isinstance`` sees: every object is an instance of ``ssl.SSLContext``.

        This holds even if a library replaced ``ssl.SSLContext`` by its own class.
        """
        replacement: type = ssl.SSLContext
        return type(self) if issubclass(type(self), replacement) else replacement

    def wrap_socket(
        self,
        sock: socket.socket,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = True,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLSocket:
        """Return a TLS socket for a connection: one of gevent if ``sock`` is a socket of gevent.

        The arguments are those of ``ssl.SSLContext.wrap_socket``.
        """
        green = self._green_class(sock)
        if green is None:
            return super().wrap_socket(
                sock,
                server_side,
                do_handshake_on_connect,
                suppress_ragged_eofs,
                server_hostname,
                session,
            )
        tls: ssl.SSLSocket = green(
            sock=sock,
            server_side=server_side,
            do_handshake_on_connect=do_handshake_on_connect,
            suppress_ragged_eofs=suppress_ragged_eofs,
            server_hostname=server_hostname,
            _context=self,
            _session=session,
        )
        return tls

    def _green_class(self, sock: socket.socket) -> Any:
        """Return the class of a TLS socket over a socket of gevent; None for a socket of Python.

        Python's own class of TLS sockets can't be used after gevent has replaced the name
        ``ssl.SSLSocket``, because its methods look up that name.
        """
        if not is_of("gevent.socket", "socket", sock):
            return None
        theirs: Any = import_module("gevent.ssl")  # which brings no types
        return theirs.SSLSocket

    maximum_version = _set_directly("maximum_version")
    minimum_version = _set_directly("minimum_version")
    options = _set_directly("options")
    verify_flags = _set_directly("verify_flags")
    verify_mode = _set_directly("verify_mode")


def is_of(module: str, name: str, value: object) -> bool:
    """Return True if ``value`` is an instance of the class ``name`` in the module ``module``.

    It recognises the sockets of libraries such as gevent (``gevent.socket``). The module is not
    imported: if such a value exists, it is loaded already. Otherwise the result is False.
    """
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(value, kind)


def replaced_by() -> str:
    """Return the name of the module that replaced ``ssl.SSLSocket``; empty if none did.

    The error for a socket that certpin can't use names this module.
    """
    found: Any = ssl.SSLSocket
    return "" if found is StdlibSocket else str(found.__module__)


_ENCODING_DER = 2  # _ssl.ENCODING_DER: the value of X509_FILETYPE_ASN1 (openssl/x509.h)


def verified_chain(raw: Any) -> tuple[bytes, ...]:
    """Return the chain that OpenSSL verified, as DER, leaf first, up to the trust anchor.

    ``raw`` is OpenSSL's object of the connection (``_sslobj``). The chain is a proof only after a
    full handshake with verification: under ``CERT_NONE`` it is the chain that the peer sent, and
    for a resumed session it is empty.
    """
    return _der(raw.get_verified_chain())


def served_chain(raw: Any) -> tuple[bytes, ...]:
    """Return the certificates that the server sent, as DER, in the order sent. Not verified.

    Return an empty tuple if there are none, for example before the handshake. ``raw`` is OpenSSL's
    object of the connection (``_sslobj``).
    """
    return _der(raw.get_unverified_chain())


def _der(certificates: Any) -> tuple[bytes, ...]:
    return tuple([each.public_bytes(_ENCODING_DER) for each in certificates or ()])


# The default of ssl.create_default_context() in the running Python. If it is True, OpenSSL refuses
# certificates that violate RFC 5280 in ways that it tolerates otherwise, such as authorities
# without keyUsage, which `openssl req -x509` makes.
STRICT_BY_DEFAULT = sys.version_info >= (3, 13)

# The X509_V_ERR_… of openssl/x509_vfy.h that only VERIFY_X509_STRICT causes, and the section of
# RFC 5280 that each enforces. OpenSSL 3 refuses explicit curve parameters (94) without it, too.
_STRICT_RULES = {
    80: "RFC 5280 section 4.2.1.9",  # PATHLEN_INVALID_FOR_NON_CA
    81: "RFC 5280 section 4.2.1.9",  # PATHLEN_WITHOUT_KU_KEY_CERT_SIGN
    82: "RFC 5280 section 4.2.1.3",  # KU_KEY_CERT_SIGN_INVALID_FOR_NON_CA
    83: "RFC 5280 section 4.1.2.4",  # ISSUER_NAME_EMPTY
    84: "RFC 5280 section 4.1.2.6",  # SUBJECT_NAME_EMPTY
    85: "RFC 5280 section 4.2.1.1",  # MISSING_AUTHORITY_KEY_IDENTIFIER
    86: "RFC 5280 section 4.2.1.2",  # MISSING_SUBJECT_KEY_IDENTIFIER
    87: "RFC 5280 section 4.2.1.6",  # EMPTY_SUBJECT_ALT_NAME
    88: "RFC 5280 section 4.2.1.6",  # EMPTY_SUBJECT_SAN_NOT_CRITICAL
    89: "RFC 5280 section 4.2.1.9",  # CA_BCONS_NOT_CRITICAL
    90: "RFC 5280 section 4.2.1.1",  # AUTHORITY_KEY_IDENTIFIER_CRITICAL
    91: "RFC 5280 section 4.2.1.2",  # SUBJECT_KEY_IDENTIFIER_CRITICAL
    92: "RFC 5280 section 4.2.1.3",  # CA_CERT_MISSING_KEY_USAGE
    93: "RFC 5280 section 4.1.2.1",  # EXTENSIONS_REQUIRE_VERSION_3
}


# What makes certpin accept such a chain.
PIN_FILE_SETTING = (
    "let the pin file name the authority's certificate (`trust`), and set `strict_x509 = false` "
    "for this host"
)


def strict_advice(code: int, setting: str = PIN_FILE_SETTING) -> str:
    """Return advice for a verification error that only ``VERIFY_X509_STRICT`` causes.

    Args:
        code: the ``X509_V_ERR_…`` of OpenSSL.
        setting: an instruction for the user that makes certpin accept such a chain.

    Returns:
        A text with the broken rule of RFC 5280 and the instruction; empty for other errors.
    """
    if code not in _STRICT_RULES:
        return ""
    rule = _STRICT_RULES[code]
    return f"the chain breaks {rule}: ask its authority for a chain that keeps it; or {setting}"


def harden(context: ssl.SSLContext, *, strict: bool | None = None) -> None:
    """Set the TLS options of a context in which certpin differs from Python's defaults.

    The context then refuses renegotiation, and ignores the common name (CN) of a certificate.

    Args:
        context: the context to change.
        strict: True to require chains to follow RFC 5280 (``VERIFY_X509_STRICT``); ``None`` for the
            default of the running Python.
    """
    # The CN of a subject is not a host name (RFC 9525 section 2).
    context.hostname_checks_common_name = False
    if STRICT_BY_DEFAULT if strict is None else strict:
        context.verify_flags |= ssl.VERIFY_X509_STRICT
    # A renegotiation could present another certificate after the check (RFC 5746 allows that).
    context.options |= ssl.OP_NO_RENEGOTIATION


def trust_alone(anchors: Sequence[Certificate], *, strict: bool | None = None) -> ssl.SSLContext:
    """Return a new context for clients that trusts only these certificates.

    Args:
        anchors: the trust anchors. If one of them is neither a root nor issued by another of them,
            OpenSSL also accepts paths that end at an intermediate (``VERIFY_X509_PARTIAL_CHAIN``).
        strict: True to require chains to follow RFC 5280 (``VERIFY_X509_STRICT``); ``None`` for the
            default of the running Python.

    Raises:
        CertificateParseError: OpenSSL can't read one of the anchors.
    """
    context = OwnSSLContext(ssl.PROTOCOL_TLS_CLIENT)
    harden(context, strict=strict)
    _load(context, anchors)
    if not end_in_roots(anchors):
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def require_loadable(anchors: Sequence[Certificate]) -> None:
    """Check that OpenSSL can load these trust anchors.

    OpenSSL parses more fields of a certificate than certpin does, so it can refuse a certificate
    that certpin has read.

    Raises:
        CertificateParseError: OpenSSL can't read one of them.
    """
    _load(OwnSSLContext(ssl.PROTOCOL_TLS_CLIENT), anchors)


def _load(context: ssl.SSLContext, anchors: Sequence[Certificate]) -> None:
    """Load trust anchors into a new context.

    Raises ``CertificateParseError`` if OpenSSL can't read one of them.
    """
    try:
        context.load_verify_locations(cadata=b"".join(each.der for each in anchors))
    except ssl.SSLError as exc:
        if len(anchors) > 1:
            for each in anchors:  # the bad one raises
                require_loadable([each])
        raise CertificateParseError(
            f"OpenSSL cannot read the certificate with the SHA-256 {anchors[0].sha256.hex()}",
            fix="get the certificate from its authority again",
        ) from exc
