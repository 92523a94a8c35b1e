"""What OpenSSL found wrong with a chain that it refused itself: the reason of a report.

The words are those of browsers' reports (``certpin.reports.codecs.nel``), of TrustKit and of the
Dart client, so that a collector counts one thing under one name.
"""

from __future__ import annotations

from typing import Literal

Unverified = Literal["untrusted", "name", "date", "revoked", "invalid"]

# X509_V_ERR_…, openssl/x509_vfy.h. Whatever is not here makes a certificate invalid: a key that is
# too small, a purpose that it was not issued for, an authority that is none.
_REASONS: dict[int, Unverified] = {
    2: "untrusted",  # UNABLE_TO_GET_ISSUER_CERT
    18: "untrusted",  # DEPTH_ZERO_SELF_SIGNED_CERT
    19: "untrusted",  # SELF_SIGNED_CERT_IN_CHAIN
    20: "untrusted",  # UNABLE_TO_GET_ISSUER_CERT_LOCALLY
    21: "untrusted",  # UNABLE_TO_VERIFY_LEAF_SIGNATURE
    27: "untrusted",  # CERT_UNTRUSTED
    28: "untrusted",  # CERT_REJECTED
    9: "date",  # CERT_NOT_YET_VALID
    10: "date",  # CERT_HAS_EXPIRED
    13: "date",  # ERROR_IN_CERT_NOT_BEFORE_FIELD
    14: "date",  # ERROR_IN_CERT_NOT_AFTER_FIELD
    62: "name",  # HOSTNAME_MISMATCH
    64: "name",  # IP_ADDRESS_MISMATCH
    23: "revoked",  # CERT_REVOKED, where the application loaded lists
}


def reason_of(verify_code: int) -> Unverified:
    """The word for a code of ``ssl.SSLCertVerificationError``."""
    return _REASONS.get(verify_code, "invalid")
