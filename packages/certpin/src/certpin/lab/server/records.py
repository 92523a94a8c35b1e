"""Find the client's data in a relayed connection by its TLS records, without their keys. No I/O.

In TLS 1.2 the type of a record shows application data (RFC 5246 section 6.2.1). In TLS 1.3 all
encrypted records have that type (RFC 8446 section 5.2), and only the length identifies a record:
the length of the client's Finished follows from the cipher suite, and alerts have two octets.
Records from the client after its Finished that are not alerts are its data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.server.hello import NotTLSError, Vectors

if TYPE_CHECKING:
    from collections.abc import Iterator


_CHANGE_CIPHER_SPEC, _HANDSHAKE, _DATA = 20, 22, 23  # RFC 8446 section 5.1
_TYPES = range(20, 25)  # 24: heartbeat (RFC 6520)
_HEADER = 5
_LONGEST = 2**14 + 2048  # RFC 5246 section 6.2.3; TLS 1.3 allows less (RFC 8446 section 5.2)
_SERVER_HELLO, _VERSIONS, _TLS13 = 2, 43, b"\3\4"  # RFC 8446 section 4
_SHA384 = {0x1302}  # TLS_AES_256_GCM_SHA384 (RFC 8446 appendix B.4): all others have SHA-256
_SHORT_TAG = {0x1305}  # TLS_AES_128_CCM_8_SHA256, with a tag of 8 octets instead of 16
_MESSAGE = 4  # octets of a handshake message's header
_NO_CERTIFICATE = 8  # octets of a Certificate message without one (RFC 8446 section 4.4.2)
# The lengths of messages that are not data: an empty one, an alert, a KeyUpdate.
_NO_WORD = (0, 2, _MESSAGE + 1)
# The known padding per record in bytes: most clients 0, Java 16 (OutputRecord.java).
_PADDINGS = (0, 16)


class RecordCounter:
    """Counts the records of the client's application data: ``data``.

    ``unclear`` is True if the count may be too low: the bytes are not TLS, or the client presented
    a certificate in one record with its Finished. In the latter case, records count after the
    server's next record.

    Limits. Early data is not counted. An alert may be counted as data if the client pads its
    records (RFC 8446 section 5.4) other than by a known fixed number of bytes or to whole blocks,
    answers a request for its certificate after the handshake, or splits its handshake messages
    over many records while the server sends. In TLS 1.3, records with two or five bytes of data
    are not counted. The records are not authenticated, so the count is only for honest servers.
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
        """True if the client may have sent data that was not counted."""
        return not self.data and (self._lost or (bool(self._flight) and not self._finished))

    def from_client(self, data: bytes) -> None:
        """Process bytes that the client sent."""
        for kind, body in self._records(self._client, data):
            if kind == _CHANGE_CIPHER_SPEC:
                self._changed = True
            elif kind == _DATA and self._suite:
                self._hear(self._suite, len(body))

    def from_server(self, data: bytes) -> None:
        """Process bytes that the server sent."""
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
        """Process a client's record of type application data. Count it if it is client data."""
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
        """Count a record as data if the client's last handshake messages had an unknown length.

        A record of the same length as those is not counted: it may be an alert, if records are
        padded to whole blocks.
        """
        if said != self._flight:
            self._finished = True
            self.data += 1

    def _hear_flight(self, suite: _Suite, said: int) -> None:
        """Process a record of the client's last handshake messages, which end with its Finished.

        The Finished is recognised by its length, if that is known.
        """
        ends = (suite.finished,) if self._flight else (suite.finished, suite.last_flight)
        for padding in _PADDINGS:
            if said - padding in ends:
                self._finished, self._padding = True, (padding,)
                return
        self._flight = self._flight or said


class _Suite:
    """The lengths in bytes of records of a cipher suite.

    ``hidden`` is True if records hide their type: TLS 1.3.
    """

    def __init__(self, number: int, *, hidden: bool) -> None:
        self.hidden = hidden
        self.overhead = 1 + (8 if number in _SHORT_TAG else 16)  # the type, and the tag
        self.finished = _MESSAGE + (48 if number in _SHA384 else 32)
        self.last_flight = _NO_CERTIFICATE + self.finished  # in one record


class _Records:
    """Splits the bytes of one direction into records. Buffers at most one record."""

    def __init__(self) -> None:
        self._held = bytearray()

    def take(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Add received bytes, and yield the type and the body of each complete record.

        Raises ``NotTLSError``.
        """
        self._held += data
        at = 0
        while (end := self._end(at)) <= len(self._held):
            yield self._held[at], bytes(self._held[at + _HEADER : end])
            at = end
        del self._held[:at]

    def _end(self, at: int) -> int:
        """Return the offset of a record's end; of its header's end while that is incomplete."""
        head = self._held[at : at + _HEADER]
        if head and (head[0] not in _TYPES or not b"\3".startswith(head[1:2])):
            raise NotTLSError("not a TLS record")
        if len(head) < _HEADER:
            return at + _HEADER
        length = int.from_bytes(head[3:])
        if length > _LONGEST:
            raise NotTLSError("a TLS record that is too long")
        return at + _HEADER + length


def _chosen(record: bytes) -> _Suite | None:
    """Return the cipher suite in a ServerHello or HelloRetryRequest (RFC 8446 section 4.1.3)."""
    message = Vectors(record)
    try:
        if message.number(1) != _SERVER_HELLO:
            return None
        hello = message.vector(3)
        hello.take(2 + 32)  # legacy_version, random
        hello.vector(1)  # legacy_session_id_echo
        suite = hello.number(2)
        hello.take(1)  # legacy_compression_method
        return _Suite(suite, hidden=_version(hello) == _TLS13)
    except IndexError:
        return None


def _version(hello: Vectors) -> bytes:
    """Return the version in the extension supported_versions (TLS 1.3); empty without it."""
    extensions = hello.vector(2) if hello else Vectors(b"")
    while extensions:
        kind, body = extensions.number(2), extensions.vector(2)
        if kind == _VERSIONS:
            return body.rest()
    return b""
