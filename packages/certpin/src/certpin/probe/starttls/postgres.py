"""PostgreSQL: the SSLRequest message (PostgreSQL documentation, "Message Flow", SSL encryption).

Since PostgreSQL 17 a client can also begin with TLS on the same port, with the ALPN name
``postgresql`` (libpq: ``sslnegotiation=direct``). That is plain TLS, without this dialogue.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from certpin.probe.starttls.dialogue import Protocol, quote

if TYPE_CHECKING:
    from certpin.probe.starttls.dialogue import Steps, Wire

_SSL_REQUEST_CODE = 80_877_103  # 1234 and 5679 in its two halves
_SSL_REQUEST = struct.pack(">II", 8, _SSL_REQUEST_CODE)


def _script(wire: Wire) -> Steps[None]:
    wire.send(_SSL_REQUEST)
    answer = yield from wire.take(1)
    if answer == b"N":
        wire.raise_tls_declined("has TLS disabled (ssl = off)")
    if answer == b"E":
        # The text that follows is not shown: it may come from an attacker (CVE-2024-10977).
        wire.raise_tls_declined("answered with an error instead of S or N")
    if answer != b"S":
        wire.raise_garbled(f"answered {quote(answer)} instead of S or N")


POSTGRES = Protocol("postgres", _script, port=5432)
