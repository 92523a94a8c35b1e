"""Read certificates, chains, CSRs and keys: bytes in, frozen objects out, no network.

Import the modules for signatures, files of unknown format and contexts only when they are needed:
they load more.
"""

from __future__ import annotations

from certpin.support.escaping import printable
from certpin.x509.certificate import Certificate, Chain, end_in_roots, quoted

__all__ = ["Certificate", "Chain", "end_in_roots", "printable", "quoted"]
