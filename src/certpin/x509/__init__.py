"""Reading: certificates, chains, CSRs and keys. Bytes in, frozen objects out; no network."""

from __future__ import annotations

from certpin.x509.certificate import Certificate, Chain
from certpin.x509.keys import KeyAlgorithm, PublicKey, new_private_key
from certpin.x509.reader import MAX_FILE_BYTES, read, read_certificates

__all__ = [
    "MAX_FILE_BYTES",
    "Certificate",
    "Chain",
    "KeyAlgorithm",
    "PublicKey",
    "new_private_key",
    "read",
    "read_certificates",
]
