"""MySQL and MariaDB: the SSLRequest packet (MySQL Internals, "Connection Phase").

The server first sends its handshake packet, version 10. A client that wants TLS answers with the
first, fixed part of its handshake response, and begins TLS at once without waiting for an answer.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from certpin.probe.starttls.dialogue import Protocol, quote

if TYPE_CHECKING:
    from certpin.probe.starttls.dialogue import Steps, Wire

_HANDSHAKE_V10 = 10
_ERROR_PACKET = 0xFF
# A handshake takes about 100 bytes; only the server's version and the plugin's name vary.
_PACKET_LIMIT = 4_096

# Capability flags, low half.
_PROTOCOL_41 = 0x0200
_SSL = 0x0800
_SECURE_CONNECTION = 0x8000
_MAX_PACKET = 1 << 24  # bytes that the client would accept later
_UTF8MB4 = 45

# Packet head (length 32, sequence 1), then flags, largest packet, character set and 23 zero bytes.
_SSL_REQUEST = bytes((32, 0, 0, 1)) + struct.pack(
    "<IIB23x", _PROTOCOL_41 | _SSL | _SECURE_CONNECTION, _MAX_PACKET, _UTF8MB4
)


def _script(wire: Wire) -> Steps[None]:
    packet = yield from _first_packet(wire)
    if packet[0] == _ERROR_PACKET:
        wire.raise_connection_declined(f"declined the connection: {quote(packet[3:])}")
    if packet[0] != _HANDSHAKE_V10:
        wire.raise_garbled(f"greets with handshake version {packet[0]} instead of {_HANDSHAKE_V10}")
    if not _capabilities(wire, packet) & _SSL:
        wire.raise_tls_declined("does not offer TLS (no CLIENT_SSL among its capabilities)")
    wire.send(_SSL_REQUEST)


def _first_packet(wire: Wire) -> Steps[bytes]:
    """Read the server's first packet, and return its payload.

    ``wire`` is the connection to the server. The packet's header has three bytes of length and one
    of sequence number, which is 0.
    """
    head = yield from wire.take(4)
    length = int.from_bytes(head[:3], "little")
    if head[3] != 0 or not 0 < length <= _PACKET_LIMIT:
        wire.raise_garbled(f"sent something else than a MySQL handshake: {quote(head)}")
    return (yield from wire.take(length))


def _capabilities(wire: Wire, packet: bytes) -> int:
    """Return the lower 16 bits of the server's capability flags in its handshake packet.

    ``wire`` is the connection to the server. In the packet, the flags follow the version (with a
    NUL), the thread ID, eight bytes of salt and a zero byte.
    """
    end_of_version = packet.find(b"\0", 1)
    flags = end_of_version + 1 + 4 + 8 + 1
    if end_of_version < 0 or len(packet) < flags + 2 or packet[flags - 1] != 0:
        wire.raise_garbled("sent a MySQL handshake that is cut short or malformed")
    return int.from_bytes(packet[flags : flags + 2], "little")


MYSQL = Protocol("mysql", _script, port=3306)
