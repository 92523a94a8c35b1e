"""TLS in the lab's own code, for servers that Python's ``ssl`` module can't provide.

This module encrypts and decrypts the records, and handles alerts and the ClientHello. ``stapling``
has the handshake of a TLS 1.3 server that staples OCSP responses, and ``weak_tls`` the handshakes
of TLS 1.2 servers with a weakness.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, NoReturn, Protocol

from cryptography.exceptions import InvalidTag

from certpin.lab.server.records import HelloReader, NotTLSError, Vectors, vector

if TYPE_CHECKING:
    from certpin.lab.server.records import ClientHello

# RFC 8446 section 5.1, and RFC 5246 section 6.2.1.
CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23
CLOSE_NOTIFY = 0
_LONGEST_RECORD = 2**14


class RecordKeys(Protocol):
    """The keys for TLS records of one direction, and the number of its next record."""

    def encrypt(self, kind: int, content: bytes) -> bytes:
        """Return an encrypted TLS record with the content type ``kind`` and this content."""

    def decrypt(self, header: bytes, content: bytes) -> tuple[int, bytes]:
        """Return the type and the content of an encrypted TLS record.

        ``header`` are the five bytes before the encrypted content.

        Raises:
            cryptography.exceptions.InvalidTag: the record is not authentic.
            ValueError: the record is malformed.
        """


class HandMadeTls:
    """The server's side of a TLS connection that the lab implements itself, without OpenSSL.

    It reads from and writes to two memory buffers. It has those methods of ``ssl.SSLObject`` that
    the lab's class ``Tls`` calls. Subclasses add ``do_handshake``, ``version`` and ``cipher``. It
    has no sessions and no client certificates.

    Args:
        alpn: the protocol to negotiate, in a tuple; empty for none.
        incoming: the buffer with bytes from the client.
        outgoing: the buffer for bytes to the client.
    """

    session_reused = False

    def __init__(
        self, alpn: tuple[str, ...], incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO
    ) -> None:
        self._alpn = alpn
        self._incoming, self._outgoing = incoming, outgoing
        self._hello = HelloReader()
        self._buffer = bytearray()  # the beginning of a record
        self._transcript = b""
        self._messages = bytearray()  # handshake messages of the client, after its ClientHello
        self._reading: RecordKeys | None = None
        self._writing: RecordKeys | None = None
        self._ended = False

    def selected_alpn_protocol(self) -> str | None:
        """Return the negotiated application protocol (ALPN); None if there is none."""
        return self._alpn[0] if self._alpn else None

    def getpeercert(self, *, binary_form: bool) -> None:
        """Return None, because the server requests no client certificate.

        ``binary_form`` has no effect.
        """

    def read(self, size: int) -> bytes:
        """Return the application data of the next record; empty if the client closed TLS.

        ``size`` must be at least 16 KiB, the largest size of a record (RFC 8446 section 5.1): a
        longer record is cut.

        Raises:
            ssl.SSLWantReadError: no record is complete.
            ssl.SSLError: the client sent an alert, or a record can't be decrypted.
        """
        while not self._ended:
            kind, content = self._record()
            if kind == DATA and content:
                return content[:size]
        return b""

    def write(self, data: bytes) -> None:
        """Encrypt application data, and add it to the buffer for the client."""
        self._send(DATA, data)

    def unwrap(self) -> None:
        """Send the alert close_notify, which ends TLS. The client's own alert is not awaited."""
        self._send(ALERT, bytes((1, CLOSE_NOTIFY)))

    def _read_hello(self) -> ClientHello:
        """Read and return the ClientHello, and start the handshake's transcript with it.

        Raises:
            ssl.SSLWantReadError: the ClientHello is not complete.
            ssl.SSLError: the bytes are not a ClientHello.
        """
        data = self._incoming.read()
        try:
            hello = self._hello.feed(data)
        except NotTLSError as exc:
            raise tls_error(str(exc)) from exc
        if hello is None:
            raise ssl.SSLWantReadError
        self._buffer += self._hello.rest
        self._transcript = self._hello.message
        return hello

    def _record(self) -> tuple[int, bytes]:
        """Return the type and the content of the client's next record, decrypted.

        Raises:
            ssl.SSLWantReadError: no record is complete.
            ssl.SSLError: the record is an alert, or can't be decrypted.
        """
        self._buffer += self._incoming.read()
        size = 5 + int.from_bytes(self._buffer[3:5])
        if len(self._buffer) < 5 or len(self._buffer) < size:
            raise ssl.SSLWantReadError
        header, content = bytes(self._buffer[:5]), bytes(self._buffer[5:size])
        del self._buffer[:size]
        kind = header[0]
        if self._reading and self._is_encrypted(kind):
            kind, content = _decrypted(self._reading, header, content)
        if kind == ALERT:
            self._take_alert(content)
        return kind, content

    def _is_encrypted(self, kind: int) -> bool:
        """Return True if a record with the type ``kind`` in its header must be decrypted.

        Subclasses define this, because it depends on the TLS version. It is only called after the
        keys to read records are set.
        """
        raise NotImplementedError

    def _take_alert(self, content: bytes) -> None:
        number = content[-1] if content else 0
        if number != CLOSE_NOTIFY:
            fail(f"TLSV1_ALERT_{alert_name(number).upper()}")
        self._ended = True

    def _refuse(self) -> NoReturn:
        """End the handshake, because the client sent an unexpected record or closed TLS.

        Raises:
            ssl.SSLError: always. The reason is ``CLOSED_IN_HANDSHAKE`` or ``UNEXPECTED_MESSAGE``.
        """
        fail("CLOSED_IN_HANDSHAKE" if self._ended else "UNEXPECTED_MESSAGE")

    def _send(self, kind: int, data: bytes) -> None:
        for begin in range(0, len(data), _LONGEST_RECORD):
            piece = data[begin : begin + _LONGEST_RECORD]
            made = self._writing.encrypt(kind, piece) if self._writing else record(kind, piece)
            self._outgoing.write(made)


class Offer:
    """The parts of a ClientHello that the server needs (RFC 8446 section 4.1.2).

    Raises:
        IndexError: the ClientHello is malformed.
    """

    def __init__(self, message: bytes) -> None:
        reader = Vectors(message[4:])
        reader.take(2)  # legacy_version
        self.random = reader.take(32)
        self.session_id = reader.vector(1).rest()
        self.suites = _numbers(reader.vector(2))
        reader.vector(1)  # legacy_compression_methods
        self.extensions: dict[int, bytes] = {}
        listed = reader.vector(2) if reader else Vectors(b"")
        while listed:
            kind = listed.number(2)
            self.extensions.setdefault(kind, listed.vector(2).rest())

    def listed(self, extension: int, octets: int = 2) -> set[int]:
        """Return the numbers in the list of an extension, such as groups or signature algorithms.

        The result is empty if the client doesn't send the extension.

        Args:
            extension: the number of the extension.
            octets: the size in bytes of the field that has the list's length.
        """
        content = self.extensions.get(extension, bytes(octets))
        return _numbers(Vectors(content).vector(octets))


def _numbers(reader: Vectors) -> set[int]:
    found = set()
    while reader:
        found.add(reader.number(2))
    return found


def _decrypted(keys: RecordKeys, header: bytes, content: bytes) -> tuple[int, bytes]:
    """Return the type and the content of an encrypted TLS record.

    Args:
        keys: the keys of the record's direction.
        header: the five bytes before the encrypted content.
        content: the encrypted content.

    Raises:
        ssl.SSLError: the record is not authentic, or malformed.
    """
    try:
        return keys.decrypt(header, content)
    except InvalidTag as exc:
        raise tls_error("BAD_RECORD_MAC") from exc
    except ValueError as exc:
        raise tls_error("UNEXPECTED_MESSAGE") from exc


def alert_name(number: int) -> str:
    """Return the name of a TLS alert as OpenSSL writes it, such as ``unknown_ca``.

    If the number has no name, return the number as text.
    """
    if number == _MISSING_EXTENSION:
        return "missing_extension"
    try:
        return ssl.AlertDescription(number).name.removeprefix("ALERT_DESCRIPTION_").lower()
    except ValueError:
        return str(number)


_MISSING_EXTENSION = 109  # RFC 8446 section 6: ssl.AlertDescription doesn't have it


def fail(reason: str) -> NoReturn:
    """Raise ``ssl.SSLError`` with this reason, such as ``UNEXPECTED_MESSAGE``."""
    raise tls_error(reason)


def tls_error(reason: str) -> ssl.SSLError:
    """Return an ``ssl.SSLError`` with a reason, like the errors of OpenSSL."""
    exc = ssl.SSLError(1, f"[SSL] {reason}")
    exc.reason = reason
    return exc


def record(kind: int, content: bytes) -> bytes:
    """Return an unencrypted TLS record with the content type ``kind`` and this content."""
    return bytes((kind, 3, 3)) + vector(2, content)


def message(kind: int, content: bytes) -> bytes:
    """Return a TLS handshake message with the type number ``kind`` and this content."""
    return bytes((kind,)) + vector(3, content)


def extension(kind: int, content: bytes) -> bytes:
    """Return a TLS extension with the type number ``kind`` and this content, as bytes."""
    return kind.to_bytes(2) + vector(2, content)


def alpn_extension(names: tuple[str, ...]) -> bytes:
    """Return the ALPN extension (RFC 7301) with the negotiated protocol, as bytes.

    The result is empty if ``names`` is empty.
    """
    listed = b"".join(vector(1, name.encode("ascii")) for name in names)
    return extension(_ALPN, vector(2, listed)) if names else b""


_ALPN = 16
