"""Read certificates, chains, CSRs and keys: bytes in, frozen objects out, no network.

Import the modules for signatures, files of unknown format and contexts only when they are needed,
because they import large libraries.
"""

from __future__ import annotations

from certpin.support.text import printable
from certpin.x509.certificate import (
    MAX_NAME,
    Certificate,
    Chain,
    end_in_roots,
    name_of,
    quoted,
    shorten,
)

__all__ = [
    "MAX_NAME",
    "Certificate",
    "Chain",
    "end_in_roots",
    "name_of",
    "printable",
    "quoted",
    "shorten",
]
