"""Revocation lists (CRLs) that an app loads, for contexts with other trust anchors.

``load_verify_locations`` of an ``ssl.SSLContext`` takes the certificates of a file as trust
anchors, and checks certificates against its revocation lists if ``verify_flags`` say so. A host
with a trust file must have those lists, and none of those anchors. Python's ``ssl`` returns no list
of a context, so the lists are read from the file.
"""

from __future__ import annotations

import re
import ssl
from typing import Any

from certpin.errors import ConfigError
from certpin.support.files import as_file

# X509_V_FLAG_CRL_CHECK and _CRL_CHECK_ALL (openssl/x509_vfy.h).
CRL_FLAGS = int(ssl.VERIFY_CRL_CHECK_CHAIN)

_OpenSSLContext: Any = ssl._ssl._SSLContext  # type: ignore[attr-defined]  # typeshed leaves it out

# The name of these blocks in OpenSSL (openssl/pem.h). RFC 7468 section 6 has the same.
_NAME = b"X509 CRL"
_BLOCK = re.compile(
    rb"^-----BEGIN %b-----[ \t\r]*$.+?^-----END %b-----[ \t\r]*$" % (_NAME, _NAME),
    re.MULTILINE | re.DOTALL,
)

# The X509_V_ERR_… of openssl/x509_vfy.h for a certificate that no loaded list decides about.
_NO_LIST = frozenset(
    {
        3,  # UNABLE_TO_GET_CRL
        11,  # CRL_NOT_YET_VALID
        12,  # CRL_HAS_EXPIRED
        44,  # DIFFERENT_CRL_SCOPE
    }
)


def lists_in(content: bytes) -> list[bytes]:
    """Return the revocation lists (CRLs) of a file for ``load_verify_locations``, each as PEM.

    ``content`` is the content of the file. OpenSSL reads the file and the result, and must find the
    same number of lists in both, and no certificate in the result.

    Raises:
        ConfigError: OpenSSL finds other lists in the file, or a certificate in the result.
        ssl.SSLError: the file contains ``X509 CRL``, and OpenSSL can't read it.
    """
    if _NAME not in content:
        return []
    found = _BLOCK.findall(content)
    nothing = {"x509": 0, "crl": 0, "x509_ca": 0}
    expected = nothing | {"crl": _stats_of(content)["crl"]}
    if (_stats_of(b"\n".join(found)) if found else nothing) != expected:
        raise ConfigError(
            "the revocation lists of this file cannot be separated from its other content",
            key="load_verify_locations",
            fix="write them as PEM into a file that contains nothing else",
        )
    return found


def load_lists(context: ssl.SSLContext, lists: list[bytes]) -> None:
    """Load revocation lists (CRLs), each as PEM, into an SSL context."""
    if lists:
        with as_file(b"\n".join(lists)) as path:
            _OpenSSLContext.load_verify_locations(context, path)


def _stats_of(content: bytes) -> dict[str, int]:
    """Return how many certificates and revocation lists OpenSSL reads from a PEM file.

    ``content`` is the content of the file. The keys of the result are those of
    ``SSLContext.cert_store_stats``: ``x509``, ``x509_ca`` and ``crl``.
    """
    trial = _OpenSSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with as_file(content) as path:
        trial.load_verify_locations(path)
    stats: dict[str, int] = trial.cert_store_stats()
    return stats


def list_advice(code: int, *, trust_file: bool) -> str:
    """Return advice for a chain that OpenSSL refused because it has no valid revocation list.

    Args:
        code: the ``X509_V_ERR_…`` of OpenSSL.
        trust_file: True if the policy of the host has ``trust = FILE``.

    Returns:
        The advice; empty if the error is not about revocation lists.
    """
    if code not in _NO_LIST:
        return ""
    limit = "; lists of the platform are not used for a host with `trust`" if trust_file else ""
    return (
        "verify_flags require a revocation list (CRL) that is valid now: load that of the "
        f"certificate's authority with context.load_verify_locations(FILE){limit}"
    )
