"""Reading: certificates, chains, CSRs and keys. Bytes in, frozen objects out; no network.

``reader`` (files of unknown make) and ``keys`` are imported by those who need them.
"""

from __future__ import annotations

from certpin.x509._text import printable, quoted
from certpin.x509.certificate import Certificate, Chain, end_in_roots

__all__ = ["Certificate", "Chain", "end_in_roots", "printable", "quoted"]
