"""Read certificates, chains, CSRs and keys: bytes in, immutable objects out, no network.

Import the modules for signatures and TLS contexts only when they are needed: they import large
libraries.
"""

from __future__ import annotations

from certpin.x509.certificate import (
    MAX_SHOWN_NAME,
    Certificate,
    Chain,
    ServedPath,
    address_text,
    end_in_roots,
    is_self_signed,
    issuer_of,
    name_of,
    quoted,
    served_path,
    shorten,
)
from certpin.x509.log_list import CTLog, LogList

__all__ = [
    "MAX_SHOWN_NAME",
    "CTLog",
    "Certificate",
    "Chain",
    "LogList",
    "ServedPath",
    "address_text",
    "end_in_roots",
    "is_self_signed",
    "issuer_of",
    "name_of",
    "quoted",
    "served_path",
    "shorten",
]
