"""The chain that OpenSSL verified, from its own object.

``SSLSocket.get_verified_chain`` is public from Python 3.13 on; the object beneath has had it since
3.10. Both are read the same way here. The verified chain, never the served one: a certificate
that the server merely sent along must not count (CVE-2016-2402).
"""

from __future__ import annotations

from typing import Any

_ENCODING_DER = 2  # _ssl.ENCODING_DER: the value of X509_FILETYPE_ASN1 (openssl/x509.h)


def verified_chain(raw: Any) -> tuple[bytes, ...]:
    """The verified chain of a finished full handshake, as DER, leaf first; empty if there is none.

    The caller knows that verification was on, and that the session was not resumed.
    """
    certificates = raw.get_verified_chain()
    return tuple([each.public_bytes(_ENCODING_DER) for each in certificates or ()])
