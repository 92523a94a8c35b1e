"""Read the chains of a connection from OpenSSL.

``SSLSocket`` has methods for them since Python 3.13; the wrapped object (``_sslobj``) has them
since 3.10, so it is used in all versions.
"""

from __future__ import annotations

from typing import Any

_ENCODING_DER = 2  # _ssl.ENCODING_DER: the value of X509_FILETYPE_ASN1 (openssl/x509.h)


def verified_chain(raw: Any) -> tuple[bytes, ...]:
    """Return the chain that OpenSSL verified, as DER, leaf first, up to the trust anchor.

    It is meaningful only after a full handshake with verification: under ``CERT_NONE`` it is
    unverified, and a resumed session has none.

    Args:
        raw: the ``_sslobj`` of a socket or an SSL object.

    Returns:
        The certificates; empty if there are none.

    """
    return _der(raw.get_verified_chain())


def served_chain(raw: Any) -> tuple[bytes, ...]:
    """Return the certificates that the server sent, as DER, in its order. They prove nothing."""
    return _der(raw.get_unverified_chain())


def _der(certificates: Any) -> tuple[bytes, ...]:
    return tuple([each.public_bytes(_ENCODING_DER) for each in certificates or ()])
