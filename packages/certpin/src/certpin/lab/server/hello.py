"""The ClientHello: the first message of a client, before it knows the server.

It is read from the bytes of the connection, in addition to OpenSSL, because the name in it selects
the certificate, and because it proves that the client began TLS.
"""

from __future__ import annotations

from dataclasses import dataclass

_HANDSHAKE, _CLIENT_HELLO = 22, 1  # RFC 8446 section 5.1, section 4
_HEADER = bytes([_HANDSHAKE, 3])  # the type of the record, and the major version of all TLS
_RECORD, _MESSAGE = 5, 4  # octets of a record's header, and of a handshake message's
_SERVER_NAME, _ALPN, _VERSIONS = 0, 16, 43  # RFC 8446 section 4.2
_NOTHING = b"\0\0"  # a missing extension is read as an empty list
# OpenSSL's limit (CLIENT_HELLO_MAX_LENGTH in ssl/statem/statem_srvr.c is 131396).
LONGEST = 131_396
_LONGEST_RAW = 2 * LONGEST  # with the headers of records: small ones are allowed


@dataclass(frozen=True)
class ClientHello:
    """The fields of a ClientHello that the lab needs (RFC 8446 section 4.1.2).


    ``server_name`` is empty if the client sent none; ``versions`` are the numbers of the
    ``supported_versions`` extension, or the one version of an older client.
    """

    server_name: str = ""
    alpn: tuple[str, ...] = ()
    versions: tuple[int, ...] = ()


class NotTLSError(ValueError):
    """The bytes do not begin with a ClientHello, or it is malformed or too long."""


def read_hello(data: bytes) -> ClientHello | None:
    """Parse the ClientHello at the beginning of a connection. Only the returned fields are checked.

    Returns:
        The ClientHello; None if it is incomplete.

    Raises:
        NotTLSError: the bytes do not begin with a ClientHello, or it is malformed or too long.
    """
    return HelloReader().feed(data)


class HelloReader:
    """Reads a ClientHello that arrives in pieces.

    ``raw`` holds all received bytes, for the next reader. Each byte is examined once, so that a
    client that sends single bytes costs no more time.
    """

    def __init__(self) -> None:
        self.raw = bytearray()
        self._at = 0  # where the next record begins
        self._message = bytearray()  # the handshake message, gathered from the records

    def feed(self, data: bytes) -> ClientHello | None:
        """Add bytes received from the client. Return the ClientHello once it is complete.

        Raises:
            NotTLSError: the bytes can't become a valid ClientHello.
        """
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
        """Return the handshake message's length in bytes; its header's while that is incomplete."""
        if len(self._message) < _MESSAGE:
            return _MESSAGE
        return _MESSAGE + int.from_bytes(self._message[1:_MESSAGE])

    @property
    def _whole(self) -> bool:
        return len(self._message) >= self._length

    def _take_record(self) -> bool:
        """Add the content of the next TLS record to the message. Return False if it is incomplete.

        An incomplete record is checked as far as it has arrived.
        """
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
    """Reads TLS vectors (RFC 8446 section 3.4) from bytes. Raises ``IndexError`` at the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        """Read this many bytes."""
        end = self._at + count
        if end > len(self._data):
            raise IndexError
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def number(self, octets: int) -> int:
        """Read an unsigned number of this many bytes."""
        return int.from_bytes(self.take(octets))

    def vector(self, octets: int) -> Vectors:
        """Read a vector with a length field of this many bytes; return a reader of its content."""
        return Vectors(self.take(self.number(octets)))

    def rest(self) -> bytes:
        """Return the bytes that are not read yet."""
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
    """Return the host name in a server_name extension: its first host_name (RFC 6066 section 3)."""
    names = reader.vector(2)
    while names:
        kind, name = names.number(1), names.vector(2).rest()
        if kind == 0:
            return name.decode("ascii", "replace").lower()
    return ""


def _protocols(reader: Vectors) -> tuple[str, ...]:
    """Return the protocol names in an ALPN extension (RFC 7301 section 3.1)."""
    names, found = reader.vector(2), []
    while names:
        found.append(names.vector(1).rest().decode("ascii", "replace"))
    return tuple(found)


def _versions(reader: Vectors) -> tuple[int, ...]:
    versions, found = reader.vector(1), []
    while versions:
        found.append(versions.number(2))
    return tuple(found)
