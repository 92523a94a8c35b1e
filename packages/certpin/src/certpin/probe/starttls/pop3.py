"""POP3: the STLS command (RFC 2595 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.probe.starttls.dialogue import Protocol, quote

if TYPE_CHECKING:
    from certpin.probe.starttls.dialogue import Steps, Wire

_REPLY_LIMIT = 512  # octets with the CRLF, greeting included, RFC 2449 4


def _script(wire: Wire) -> Steps[None]:
    greeting = yield from _status(wire)
    if not greeting.startswith(b"+OK"):
        wire.raise_connection_declined(f"declined the connection: {quote(greeting)}")
    # No CAPA first: not every server has it, and only the answer to STLS counts.
    wire.send(b"STLS\r\n")
    answer = yield from _status(wire)
    if not answer.startswith(b"+OK"):
        wire.raise_tls_declined(f"declined STLS: {quote(answer)}")


def _status(wire: Wire) -> Steps[bytes]:
    """Read and return one status line of the server.

    ``wire`` is the connection to the server. Raises ``StartTLSError`` if the line doesn't begin
    with ``+OK`` or ``-ERR``.
    """
    line = yield from wire.line(_REPLY_LIMIT)
    if line.split(b" ")[0] not in (b"+OK", b"-ERR"):
        wire.raise_garbled(f"sent a line without +OK or -ERR: {quote(line)}")
    return line


POP3 = Protocol("pop3", _script, port=110, tls_port=995)
