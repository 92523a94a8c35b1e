"""Read TLS without its keys and without I/O: the ClientHello, and the records of a relay.

The lab reads the ClientHello before OpenSSL does, because the name in it selects the certificate,
and because it proves that the client began TLS.

The client's data in a relayed connection is found by its records. In TLS 1.2 the type of a record
shows application data (RFC 5246 section 6.2.1). In TLS 1.3 all encrypted records have that type
(RFC 8446 section 5.2), and only the length identifies a record: the length of the client's Finished
follows from the cipher suite, and alerts have two octets. All later records from the client are its
data, unless they are alerts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


RECORD_TYPES = range(20, 25)  # 24: heartbeat (RFC 6520)
_CHANGE_CIPHER_SPEC, _HANDSHAKE, _DATA = 20, 22, 23  # RFC 8446 section 5.1
_CLIENT_HELLO, _SERVER_NAME, _ALPN = 1, 0, 16  # RFC 8446 sections 4 and 4.2
_SERVER_HELLO, _TLS13 = 2, b"\3\4"  # RFC 8446 sections 4 and 4.2.1
_VERSIONS = 43  # RFC 8446 section 4.2
# Extensions that depend on the host, on an earlier connection or on the length of the others:
# server_name, padding, session_ticket, pre_shared_key, early_data, cookie (RFC 8446 section 4.2).
_OF_A_CONNECTION = {0, 21, 35, 41, 42, 44}
_HEADER, _MESSAGE = 5, 4  # octets of a record's header, and of a handshake message's
_HELLO_RECORD = bytes([_HANDSHAKE, 3])  # the type of the record, and the major version of all TLS
_NOTHING = b"\0\0"  # a missing extension is read as an empty list
# OpenSSL's limit (CLIENT_HELLO_MAX_LENGTH in ssl/statem/statem_srvr.c is 131396).
LONGEST_HELLO = 131_396
_LONGEST_RAW_HELLO = 2 * LONGEST_HELLO  # with the headers of records: small ones are allowed


@dataclass(frozen=True)
class ClientHello:
    """The fields of a ClientHello that the lab needs (RFC 8446 section 4.1.2).

    ``server_name`` is empty if the client sent no name. ``alpn`` are the application protocols that
    it offers. ``versions`` are the numbers of the ``supported_versions`` extension, or the one
    version of an older client. ``kind`` identifies the client's TLS library and settings: two
    connections of the same library with the same settings have the same ``kind``, to any host, and
    also if one of them resumes a session.
    """

    server_name: str = ""
    alpn: tuple[str, ...] = ()
    versions: tuple[int, ...] = ()
    kind: str = field(default="", compare=False)


class NotTLSError(ValueError):
    """The bytes do not begin with a ClientHello, or the ClientHello is malformed or too long."""


class HelloReader:
    """Reads a ClientHello that arrives in several parts.

    ``raw`` contains all received bytes. The TLS server or the relay that then handles the
    connection needs them. Each byte is examined once, so a client that sends single bytes takes no
    more time.
    """

    def __init__(self) -> None:
        self.raw = bytearray()
        self._at = 0  # where the next record begins
        self._message = bytearray()  # the handshake message, gathered from the records

    def feed(self, data: bytes) -> ClientHello | None:
        """Add bytes received from the client. Return the ClientHello, or None until it is complete.

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
    def message(self) -> bytes:
        """The ClientHello as a handshake message, once it is complete.

        The transcript of a handshake begins with it.
        """
        return bytes(self._message[: self._length])

    @property
    def rest(self) -> bytes:
        """The bytes after the records of the ClientHello, such as early data."""
        return bytes(self.raw[self._at :])

    @property
    def _length(self) -> int:
        """The length of the handshake message in bytes, including its header.

        While the header is incomplete, it is the length of the header.
        """
        if len(self._message) < _MESSAGE:
            return _MESSAGE
        return _MESSAGE + int.from_bytes(self._message[1:_MESSAGE])

    @property
    def _whole(self) -> bool:
        return len(self._message) >= self._length

    def _take_record(self) -> bool:
        """Add the content of the next TLS record to the handshake message, and return True.

        Return False if the record is incomplete. Raises ``NotTLSError`` if the bytes so far can't
        be part of a ClientHello.
        """
        header = self.raw[self._at : self._at + _HEADER]
        if not _HELLO_RECORD.startswith(header[:2]):
            raise NotTLSError("not a TLS handshake record")
        begin = self._at + _HEADER
        end = begin + int.from_bytes(header[3:])
        if len(header) == _HEADER and begin == end:
            raise NotTLSError("an empty record")  # RFC 8446 section 5.1
        if not self._message and len(self.raw) > begin and self.raw[begin] != _CLIENT_HELLO:
            raise NotTLSError("not a ClientHello")
        if len(header) < _HEADER or len(self.raw) < end:
            return False
        self._message += self.raw[begin:end]
        self._at = end
        return True

    def _refuse_length(self) -> None:
        if self._length > LONGEST_HELLO or len(self.raw) > _LONGEST_RAW_HELLO:
            raise NotTLSError("a ClientHello of more octets than OpenSSL reads")


def _parse(reader: Vectors) -> ClientHello:
    version = reader.number(2)
    reader.take(32)  # random
    reader.vector(1)  # legacy_session_id
    suites = reader.vector(2)
    reader.vector(1)  # legacy_compression_methods
    extensions = reader.vector(2) if reader else Vectors(b"")
    found: dict[int, Vectors] = {}
    while extensions:
        kind = extensions.number(2)
        found.setdefault(kind, extensions.vector(2))
    protocols = _protocols(found.get(_ALPN, Vectors(_NOTHING)))
    versions = _offered_versions(found[_VERSIONS]) if _VERSIONS in found else (version,)
    return ClientHello(
        _server_name(found.get(_SERVER_NAME, Vectors(_NOTHING))),
        protocols,
        versions,
        _kind(suites, found, protocols, versions),
    )


def _kind(
    suites: Vectors,
    extensions: Iterable[int],
    protocols: tuple[str, ...],
    versions: tuple[int, ...],
) -> str:
    """Return a text that identifies the client's TLS library and its settings.

    Some cases serve the first library of a client differently from its others. The text is made
    from the cipher suites, extensions, ALPN protocols and versions in the ClientHello. It doesn't
    depend on the order of extensions, which some clients shuffle, or on random values (GREASE, RFC
    8701).
    """
    offered = []
    while suites:
        offered.append(suites.number(2))
    lists = (offered, [kind for kind in extensions if kind not in _OF_A_CONNECTION], versions)
    fixed = [sorted(number for number in each if not _is_grease(number)) for each in lists]
    return f"{fixed} {protocols}"


def _is_grease(number: int) -> bool:
    """Return True if a number is reserved by RFC 8701 (GREASE), such as 0x3a3a.

    Clients send such numbers at random, so they identify no client.
    """
    return number & 0x0F0F == 0x0A0A and number >> 8 == number & 0xFF


def _server_name(reader: Vectors) -> str:
    """Return the host name in a server_name extension: its first host_name (RFC 6066 section 3).

    ``reader`` has the content of the extension. The result is empty if there is no host name.
    """
    names = reader.vector(2)
    while names:
        kind, name = names.number(1), names.vector(2).rest()
        if kind == 0:
            return name.decode("ascii", "replace").lower()
    return ""


def _protocols(reader: Vectors) -> tuple[str, ...]:
    """Return the protocol names in an ALPN extension (RFC 7301 section 3.1).

    ``reader`` has the content of the extension. The result is empty without names.
    """
    names, found = reader.vector(2), []
    while names:
        found.append(names.vector(1).rest().decode("ascii", "replace"))
    return tuple(found)


def _offered_versions(reader: Vectors) -> tuple[int, ...]:
    versions, found = reader.vector(1), []
    while versions:
        found.append(versions.number(2))
    return tuple(found)


_LONGEST_RECORD = 2**14 + 2048  # RFC 5246 section 6.2.3; less in TLS 1.3 (RFC 8446 section 5.2)
_SHA384 = {0x1302}  # TLS_AES_256_GCM_SHA384 (RFC 8446 appendix B.4): all others have SHA-256
_SHORT_TAG = {0x1305}  # TLS_AES_128_CCM_8_SHA256, with a tag of 8 octets instead of 16
_NO_CERTIFICATE = 8  # octets of a Certificate message without one (RFC 8446 section 4.4.2)
# The lengths of messages that are not data: an empty one, an alert, a KeyUpdate.
_NO_WORD = (0, 2, _MESSAGE + 1)
# The known padding per record in bytes: most clients 0, Java 16 (OutputRecord.java).
_PADDINGS = (0, 16)


class RecordCounter:
    """Counts the records with a client's application data in a relayed TLS connection.

    The count can be too low: early data is not counted, and in TLS 1.3 neither are records with two
    or five bytes of data. It can be too high, because an alert can be counted as data. This happens
    if the client pads its records (RFC 8446 section 5.4) other than by a known fixed number of
    bytes or to whole blocks, answers a request for its certificate after the handshake, or splits
    its handshake messages over many records while the server sends. The records are not
    authenticated, so use the count only for honest servers.

    Attributes:
        data: the number of records with data.
        unclear: True if no record with data was counted, and it is unknown whether the client sent
            data. Either the bytes are not TLS, or the client sent a certificate and its Finished in
            one record, which hides the end of the handshake. In the second situation, records are
            counted only after the server has sent its next record.
    """

    def __init__(self) -> None:
        self.data = 0
        self._client, self._server = _Records(), _Records()
        self._suite: _Suite | None = None  # the cipher suite that the server chose
        self._changed = False  # whether the client sent ChangeCipherSpec
        self._finished = False  # whether the client is known to have sent its Finished
        self._padding: tuple[int, ...] = _PADDINGS  # the paddings that it may use
        self._flight = 0  # the length of a longer first record of the client's last flight
        self._answered = False  # whether the server sent data after that record
        self._lost = False

    @property
    def unclear(self) -> bool:
        """True if no record with data was counted, and it is unknown whether the client sent data.

        Either the bytes are not TLS, or the end of the client's handshake was not recognised,
        because its certificate and its Finished are in one record.
        """
        return not self.data and (self._lost or (bool(self._flight) and not self._finished))

    def from_client(self, data: bytes) -> None:
        """Process relayed bytes that the client sent, and count its records with data."""
        for kind, body in self._records(self._client, data):
            if kind == _CHANGE_CIPHER_SPEC:
                self._changed = True
            elif kind == _DATA and self._suite:
                self._hear(self._suite, len(body))

    def from_server(self, data: bytes) -> None:
        """Process relayed bytes that the server sent, to learn the cipher suite.

        Without the suite, the client's records can't be counted.
        """
        for kind, body in self._records(self._server, data):
            if kind == _HANDSHAKE and not self._suite:
                self._suite = _chosen(body)
                self._lost = not self._suite
            self._answered = self._answered or (kind == _DATA and bool(self._flight))

    def _records(self, side: _Records, data: bytes) -> Iterator[tuple[int, bytes]]:
        if self._lost:
            return
        try:
            yield from side.take(data)
        except NotTLSError:
            self._lost = True

    def _hear(self, suite: _Suite, length: int) -> None:
        """Count a client's record of type application data, unless it is TLS overhead.

        In TLS 1.3, alerts and handshake messages have this type too, and are recognised by their
        length. ``suite`` is the cipher suite of the connection, and ``length`` the length of the
        record's content in bytes.
        """
        if not suite.hidden:
            self.data += self._changed
            return
        said = length - suite.overhead
        if any(said - padding in _NO_WORD for padding in self._padding):
            return
        if self._finished:
            self.data += 1
        elif self._answered:
            self._count_late(said)
        else:
            self._hear_flight(suite, said)

    def _count_late(self, said: int) -> None:
        """Count a record as data, although no record was recognised as the client's Finished.

        The server has already sent data, so the client's handshake messages are complete. The
        record is not counted if it is as long as the client's last handshake messages: it may be an
        alert of a client that pads its records to whole blocks. ``said`` is the length in bytes of
        the record's content, without the cipher's overhead.
        """
        if said != self._flight:
            self._finished = True
            self.data += 1

    def _hear_flight(self, suite: _Suite, said: int) -> None:
        """Recognise the client's Finished, which ends its handshake, by the length of a record.

        This is called for each encrypted record of TLS 1.3 until the Finished was recognised. The
        client's last handshake messages are only the Finished, an empty Certificate and the
        Finished in one record, or several records that end with the Finished. If the record has one
        of these lengths, with a known padding, all later records are counted as data. Otherwise the
        record is the first of several: its length is stored in ``_flight``, and only the length of
        a Finished is looked for from then on.

        Args:
            suite: the cipher suite of the connection, from which these lengths follow.
            said: the length in bytes of the record's content, without the cipher's overhead.
        """
        ends = (suite.finished,) if self._flight else (suite.finished, suite.last_flight)
        for padding in _PADDINGS:
            if said - padding in ends:
                self._finished, self._padding = True, (padding,)
                return
        self._flight = self._flight or said


class _Suite:
    """A TLS cipher suite, described by the lengths in bytes of the records that it makes.

    ``hidden`` is True in TLS 1.3, in which records hide their type.
    """

    def __init__(self, number: int, *, hidden: bool) -> None:
        self.hidden = hidden
        self.overhead = 1 + (8 if number in _SHORT_TAG else 16)  # the type, and the tag
        self.finished = _MESSAGE + (48 if number in _SHA384 else 32)
        self.last_flight = _NO_CERTIFICATE + self.finished  # in one record


class _Records:
    """Splits the TLS bytes of one direction into records. It buffers at most one record."""

    def __init__(self) -> None:
        self._held = bytearray()

    def take(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Add received bytes, and yield the type and the body of each complete record.

        Raises ``NotTLSError`` if the bytes are not TLS records.
        """
        self._held += data
        at = 0
        while (end := self._end(at)) <= len(self._held):
            yield self._held[at], bytes(self._held[at + _HEADER : end])
            at = end
        del self._held[:at]

    def _end(self, at: int) -> int:
        """Return the offset of the end of the TLS record that begins at the offset ``at``.

        While the record's header is incomplete, return the offset of the end of the header. Raises
        ``NotTLSError`` if the bytes are no TLS record, or one that is too long.
        """
        head = self._held[at : at + _HEADER]
        if head and (head[0] not in RECORD_TYPES or not b"\3".startswith(head[1:2])):
            raise NotTLSError("not a TLS record")
        if len(head) < _HEADER:
            return at + _HEADER
        length = int.from_bytes(head[3:])
        if length > _LONGEST_RECORD:
            raise NotTLSError("a TLS record that is too long")
        return at + _HEADER + length


def _chosen(record: bytes) -> _Suite | None:
    """Return the cipher suite in a ServerHello or HelloRetryRequest (RFC 8446 section 4.1.3).

    Return None if the record contains another message, or is cut short. The result has the lengths
    of the suite's records.
    """
    message = Vectors(record)
    try:
        if message.number(1) != _SERVER_HELLO:
            return None
        hello = message.vector(3)
        hello.take(2 + 32)  # legacy_version, random
        hello.vector(1)  # legacy_session_id_echo
        suite = hello.number(2)
        hello.take(1)  # legacy_compression_method
        return _Suite(suite, hidden=_chosen_version(hello) == _TLS13)
    except IndexError:
        return None


def _chosen_version(hello: Vectors) -> bytes:
    """Return the version in the extension supported_versions (TLS 1.3); empty if it is missing.

    ``hello`` is the rest of a ServerHello, from the length of its extensions on.
    """
    extensions = hello.vector(2) if hello else Vectors(b"")
    while extensions:
        kind, body = extensions.number(2), extensions.vector(2)
        if kind == _VERSIONS:
            return body.rest()
    return b""


class Vectors:
    """Reads TLS vectors (RFC 8446 section 3.4) from bytes.

    Each method reads the bytes after those that were read before. ``IndexError`` is raised if there
    are too few bytes.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        """Return the next ``count`` bytes."""
        end = self._at + count
        if end > len(self._data):
            raise IndexError
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def number(self, octets: int) -> int:
        """Return the next unsigned number. ``octets`` is its length in bytes.

        Raises ``IndexError`` if fewer bytes are left.
        """
        return int.from_bytes(self.take(octets))

    def vector(self, octets: int) -> Vectors:
        """Return a reader for the next vector's content. Its length field has ``octets`` bytes."""
        return Vectors(self.take(self.number(octets)))

    def rest(self) -> bytes:
        """Return the bytes that are not read yet."""
        return self.take(len(self._data) - self._at)

    def __bool__(self) -> bool:
        return self._at < len(self._data)


def vector(octets: int, content: bytes) -> bytes:
    """Return a TLS vector: the content after its length (RFC 8446 section 3.4).

    ``octets`` is the size in bytes of the length field.
    """
    return len(content).to_bytes(octets) + content
