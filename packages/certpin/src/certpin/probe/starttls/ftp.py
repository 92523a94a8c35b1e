"""FTP: the AUTH TLS command (RFC 4217 4), before any login."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.probe.starttls.dialogue import Protocol
from certpin.probe.starttls.replies import ftp_reply

if TYPE_CHECKING:
    from certpin.probe.starttls.dialogue import Steps, Wire


def _script(wire: Wire) -> Steps[None]:
    greeting = yield from ftp_reply(wire)
    if greeting.code != 220:
        wire.raise_connection_declined(f"declined the connection: {greeting}")
    # No FEAT first: servers may hide it before login, and only the answer to AUTH counts.
    wire.send(b"AUTH TLS\r\n")
    answer = yield from ftp_reply(wire)
    if answer.code != 234:
        wire.raise_tls_declined(f"declined AUTH TLS: {answer}")


FTP = Protocol("ftp", _script, port=21, tls_port=990)
