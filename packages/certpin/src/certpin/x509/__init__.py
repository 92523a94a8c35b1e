"""Read certificates, chains, CSRs and keys: bytes in, immutable objects out, no network.

Import the modules for signatures and TLS contexts only when they are needed: they import large
libraries.
"""

from __future__ import annotations

from certpin.x509.certificate import (
    MAX_SHOWN_NAME,
    Certificate,
    Chain,
    end_in_roots,
    is_self_signed,
    name_of,
    quoted,
    shorten,
)
from certpin.x509.log_list import CTLog, LogList

__all__ = [
    "MAX_SHOWN_NAME",
    "CTLog",
    "Certificate",
    "Chain",
    "LogList",
    "end_in_roots",
    "is_self_signed",
    "name_of",
    "quoted",
    "shorten",
]
