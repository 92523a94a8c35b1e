"""The ClientHello: the first message of a client, before it knows the server.

It is read from the bytes of the connection, beside OpenSSL, because the lab chooses the certificate
by the name in it, and because it proves that the client connected.
"""

from __future__ import annotations

from dataclasses import dataclass

_HANDSHAKE, _CLIENT_HELLO = 22, 1  # RFC 8446 section 5.1, section 4
_HEADER = bytes([_HANDSHAKE, 3])  # the type of a record, and the major version of all of them
_RECORD, _MESSAGE = 5, 4  # octets of a record's header, and of a handshake message's
_SERVER_NAME, _ALPN, _VERSIONS = 0, 16, 43  # RFC 8446 section 4.2
_NOTHING = b"\0\0"  # an extension that was not sent reads as an empty list
# What OpenSSL reads at most (CLIENT_HELLO_MAX_LENGTH of ssl/statem/statem_srvr.c is 131396).
LONGEST = 131_396
_LONGEST_RAW = 2 * LONGEST  # with the headers of records: small ones are allowed


@dataclass(frozen=True)
class ClientHello:
    """The parts of a ClientHello that the lab looks at (RFC 8446 section 4.1.2).

    ``server_name`` is empty if the client sent none; ``versions`` are the numbers of the
    ``supported_versions`` extension, or the one version of an older client.
    """

    server_name: str = ""
    alpn: tuple[str, ...] = ()
    versions: tuple[int, ...] = ()


class NotTLSError(ValueError):
    """These bytes do not begin with a ClientHello, or it is malformed, or too long."""


def read_hello(data: bytes) -> ClientHello | None:
    """The ClientHello at the beginning of a connection; ``None`` while bytes of it are missing.

    Raises ``NotTLSError``. Only the parsed fields are checked.
    """
    return HelloReader().feed(data)


class HelloReader:
    """Reads a ClientHello from pieces. ``raw`` is everything received, for the next reader.

    Each octet is looked at once, so that one client which sends them singly costs no more.
    """

    def __init__(self) -> None:
        self.raw = bytearray()
        self._at = 0  # where the next record begins
        self._message = bytearray()  # the handshake message, gathered from the records

    def feed(self, data: bytes) -> ClientHello | None:
        """Take a piece; the ClientHello once it is whole. Raises ``NotTLSError``."""
        self.raw += data
        while not self._whole:
            if not self._take_record():
                self._refuse_length()
                return None
        self._refuse_length()
        try:
            return _parse(Vectors(bytes(self._message[4 : self._length])))
        except IndexError as exc:
            raise NotTLSError("a malformed ClientHello") from exc

    @property
    def _length(self) -> int:
        """Of the whole message; of its header, while that is not there."""
        if len(self._message) < _MESSAGE:
            return _MESSAGE
        return _MESSAGE + int.from_bytes(self._message[1:_MESSAGE])

    @property
    def _whole(self) -> bool:
        return len(self._message) >= self._length

    def _take_record(self) -> bool:
        """Gather the next record; whether it was there. What is there of it is checked at once."""
        header = self.raw[self._at : self._at + _RECORD]
        if not _HEADER.startswith(header[:2]):
            raise NotTLSError("not a TLS handshake record")
        begin = self._at + _RECORD
        end = begin + int.from_bytes(header[3:])
        if len(header) == _RECORD and begin == end:
            raise NotTLSError("an empty record")  # RFC 8446 section 5.1
        if not self._message and len(self.raw) > begin and self.raw[begin] != _CLIENT_HELLO:
            raise NotTLSError("not a ClientHello")
        if len(header) < _RECORD or len(self.raw) < end:
            return False
        self._message += self.raw[begin:end]
        self._at = end
        return True

    def _refuse_length(self) -> None:
        if self._length > LONGEST or len(self.raw) > _LONGEST_RAW:
            raise NotTLSError("a ClientHello of more octets than OpenSSL reads")


class Vectors:
    """Takes vectors of TLS (RFC 8446 section 3.4) off some bytes; ``IndexError`` past the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        """Return ``count`` bytes."""
        end = self._at + count
        if end > len(self._data):
            raise IndexError
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def number(self, octets: int) -> int:
        """A number of so many octets."""
        return int.from_bytes(self.take(octets))

    def vector(self, octets: int) -> Vectors:
        """A vector whose length is a number of so many octets."""
        return Vectors(self.take(self.number(octets)))

    def rest(self) -> bytes:
        """Return the remaining bytes."""
        return self.take(len(self._data) - self._at)

    def __bool__(self) -> bool:
        return self._at < len(self._data)


def _parse(reader: Vectors) -> ClientHello:
    version = reader.number(2)
    reader.take(32)  # random
    reader.vector(1)  # legacy_session_id
    reader.vector(2)  # cipher_suites
    reader.vector(1)  # legacy_compression_methods
    extensions = reader.vector(2) if reader else Vectors(b"")
    found: dict[int, Vectors] = {}
    while extensions:
        kind = extensions.number(2)
        found.setdefault(kind, extensions.vector(2))
    return ClientHello(
        _server_name(found.get(_SERVER_NAME, Vectors(_NOTHING))),
        _protocols(found.get(_ALPN, Vectors(_NOTHING))),
        _versions(found[_VERSIONS]) if _VERSIONS in found else (version,),
    )


def _server_name(reader: Vectors) -> str:
    """RFC 6066 section 3: the first entry of type host_name."""
    names = reader.vector(2)
    while names:
        kind, name = names.number(1), names.vector(2).rest()
        if kind == 0:
            return name.decode("ascii", "replace").lower()
    return ""


def _protocols(reader: Vectors) -> tuple[str, ...]:
    """RFC 7301 section 3.1."""
    names, found = reader.vector(2), []
    while names:
        found.append(names.vector(1).rest().decode("ascii", "replace"))
    return tuple(found)


def _versions(reader: Vectors) -> tuple[int, ...]:
    versions, found = reader.vector(1), []
    while versions:
        found.append(versions.number(2))
    return tuple(found)
