"""The verification settings of every context: the enforcer and the probe have to agree."""

from __future__ import annotations

import ssl
import sys
from typing import TYPE_CHECKING

from certpin.x509.certificate import end_in_roots
from certpin.x509.stdlib import OwnSSLContext

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin.x509.certificate import Certificate


# The default of ssl.create_default_context() in the running Python. If it is True, OpenSSL refuses
# certificates that violate RFC 5280 in ways that it tolerates otherwise, such as authorities
# without keyUsage, which `openssl req -x509` makes.
STRICT_BY_DEFAULT = sys.version_info >= (3, 13)

# The X509_V_ERR_… of openssl/x509_vfy.h that only VERIFY_X509_STRICT causes, and the section of
# RFC 5280 (of RFC 5480 for the last) that each enforces.
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
    94: "RFC 5480 section 2.1.1",  # EC_KEY_EXPLICIT_PARAMS
}


_PIN_FILE_SETTING = (
    "let the pin file name the authority's certificate (`trust`), and set `strict_x509 = false` "
    "for this host"
)


def strict_advice(code: int, setting: str = _PIN_FILE_SETTING) -> str:
    """Return the fix for an error that only ``VERIFY_X509_STRICT`` causes; empty for other codes.

    Args:
        code: X509_V_ERR_… of OpenSSL.
        setting: how the caller accepts such a chain, as an instruction.
    """
    if code not in _STRICT_RULES:
        return ""
    rule = _STRICT_RULES[code]
    return f"the chain breaks {rule}: ask its authority for a chain that keeps it; or {setting}"


def harden(context: ssl.SSLContext, *, strict: bool | None = None) -> None:
    """Apply the settings of every context of certpin, beyond Python's defaults for clients.

    Args:
        context: the context to change.
        strict: require chains to follow RFC 5280 (``VERIFY_X509_STRICT``); ``None`` for the
            default of the running Python.

    """
    # The CN of a subject is not a host name (RFC 9525 section 2).
    context.hostname_checks_common_name = False
    if STRICT_BY_DEFAULT if strict is None else strict:
        context.verify_flags |= ssl.VERIFY_X509_STRICT
    # A renegotiation could present another certificate after the check (RFC 5746 allows that).
    context.options |= ssl.OP_NO_RENEGOTIATION


def trust_alone(anchors: Sequence[Certificate], *, strict: bool | None = None) -> ssl.SSLContext:
    """Make a client's context that trusts these certificates only.

    Args:
        anchors: the certificates. Unless each is a root or issued by another of them
            (``end_in_roots``), a path may end at an intermediate.
        strict: as ``harden``.

    """
    context = OwnSSLContext(ssl.PROTOCOL_TLS_CLIENT)
    harden(context, strict=strict)
    context.load_verify_locations(cadata=b"".join(each.der for each in anchors))
    if not end_in_roots(anchors):
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
