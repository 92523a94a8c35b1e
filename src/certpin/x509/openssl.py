"""The chains that OpenSSL holds for a connection, read from its own object.

``SSLSocket`` has had methods for them since Python 3.13; the object beneath (``_sslobj``) has had
them since 3.10. All versions are read the same way here.
"""

from __future__ import annotations

from typing import Any

_ENCODING_DER = 2  # _ssl.ENCODING_DER: the value of X509_FILETYPE_ASN1 (openssl/x509.h)


def verified_chain(raw: Any) -> tuple[bytes, ...]:
    """The chain that OpenSSL verified, as DER, leaf first, up to the trust anchor; or empty.

    Only of worth after a full handshake with verification on: under ``CERT_NONE`` it is whatever
    the peer sent, and a resumed session has none.
    """
    return _der(raw.get_verified_chain())


def served_chain(raw: Any) -> tuple[bytes, ...]:
    """The certificates that the server sent, as DER, in its order. Nothing about them is proven."""
    return _der(raw.get_unverified_chain())


def _der(certificates: Any) -> tuple[bytes, ...]:
    return tuple([each.public_bytes(_ENCODING_DER) for each in certificates or ()])
