"""The ClientHello: what a client says of itself before it knows whom it talks to.

Read from the bytes of the connection, beside OpenSSL, because the lab chooses by the name in it
which certificate to present, and because it is the proof that the client came at all.
"""

from __future__ import annotations

from dataclasses import dataclass

_HANDSHAKE, _CLIENT_HELLO = 22, 1  # RFC 8446 section 5.1, section 4
_RECORD = 5  # octets of a record's header
_SERVER_NAME, _ALPN, _VERSIONS = 0, 16, 43  # RFC 8446 section 4.2
# What OpenSSL reads at most (CLIENT_HELLO_MAX_LENGTH of ssl/statem/statem_srvr.c is 131396).
LONGEST = 131_396


@dataclass(frozen=True)
class ClientHello:
    """The parts of a ClientHello that the lab looks at (RFC 8446 section 4.1.2).

    ``server_name`` is empty where the client sent none; ``versions`` are the numbers of the
    ``supported_versions`` extension, or the one version of an older client.
    """

    server_name: str = ""
    alpn: tuple[str, ...] = ()
    versions: tuple[int, ...] = ()


class NotTLSError(ValueError):
    """These bytes do not begin with a ClientHello, or it is malformed, or too long."""


def read_hello(data: bytes) -> ClientHello | None:
    """The ClientHello at the beginning of a connection; ``None`` while bytes of it are missing.

    Raises ``NotTLSError``. Nothing is checked but what is read.
    """
    message = _message(data)
    if message is None:
        return None
    try:
        return _parse(_Reader(message))
    except IndexError as exc:
        raise NotTLSError("a malformed ClientHello") from exc


def _message(data: bytes) -> bytes | None:
    """The handshake message without its header, gathered from as many records as it takes."""
    gathered, at = bytearray(), 0
    while len(gathered) < 4 or len(gathered) < _length(gathered):
        if data[at : at + 1] not in (b"", bytes([_HANDSHAKE])) or data[at + 1 : at + 2] not in (
            b"",
            b"\3",
        ):
            raise NotTLSError("not a TLS handshake record")
        if len(data) < at + _RECORD:
            return None
        size = int.from_bytes(data[at + 3 : at + _RECORD])
        gathered += data[at + _RECORD : at + _RECORD + size]
        if gathered[:1] not in (b"", bytes([_CLIENT_HELLO])) or not size:
            raise NotTLSError("not a ClientHello")
        if len(data) < at + _RECORD + size:
            _refuse_length(gathered)
            return None
        at += _RECORD + size
    return bytes(gathered[4 : _length(gathered)])


def _length(gathered: bytearray) -> int:
    return 4 + int.from_bytes(gathered[1:4])


def _refuse_length(gathered: bytearray) -> None:
    if len(gathered) >= 4 and _length(gathered) > LONGEST:
        raise NotTLSError("a ClientHello of more octets than OpenSSL reads")


class _Reader:
    """Takes vectors of TLS (RFC 8446 section 3.4) off some bytes; ``IndexError`` past the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise IndexError
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def number(self, octets: int) -> int:
        return int.from_bytes(self.take(octets))

    def vector(self, octets: int) -> _Reader:
        return _Reader(self.take(self.number(octets)))

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)

    def __bool__(self) -> bool:
        return self._at < len(self._data)


def _parse(reader: _Reader) -> ClientHello:
    version = reader.number(2)
    reader.take(32)  # random
    reader.vector(1)  # legacy_session_id
    reader.vector(2)  # cipher_suites
    reader.vector(1)  # legacy_compression_methods
    extensions = reader.vector(2) if reader else _Reader(b"")
    found: dict[int, _Reader] = {}
    while extensions:
        kind = extensions.number(2)
        found.setdefault(kind, extensions.vector(2))
    empty = _Reader(b"\0\0\0")
    return ClientHello(
        _server_name(found.get(_SERVER_NAME, empty)),
        _protocols(found.get(_ALPN, empty)),
        _versions(found[_VERSIONS]) if _VERSIONS in found else (version,),
    )


def _server_name(reader: _Reader) -> str:
    """RFC 6066 section 3: the first entry of type host_name."""
    names = reader.vector(2)
    while names:
        kind, name = names.number(1), names.vector(2).rest()
        if kind == 0:
            return name.decode("ascii", "replace").lower()
    return ""


def _protocols(reader: _Reader) -> tuple[str, ...]:
    """RFC 7301 section 3.1."""
    names, found = reader.vector(2), []
    while names:
        found.append(names.vector(1).rest().decode("ascii", "replace"))
    return tuple(found)


def _versions(reader: _Reader) -> tuple[int, ...]:
    versions, found = reader.vector(1), []
    while versions:
        found.append(versions.number(2))
    return tuple(found)
