"""The frames of HTTP/2, told apart (RFC 9113 section 4.1), before a library reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.evidence import KEPT

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # RFC 9113 section 3.4
_HEADER = 9
_LONGEST = 16_384  # SETTINGS_MAX_FRAME_SIZE, as long as the server says nothing else
_DATA, _HEADERS, _CONTINUATION = 0, 1, 9
_WORDS = {_DATA, _HEADERS, _CONTINUATION}  # the frames that hold what a client says itself
_END_HEADERS = 0x04


class Frames:
    """Iterates over the preface, and the frames that have come whole.

    ``unread`` is what a client said and nobody has understood yet: the frames of a header block
    that has not ended, one that was refused, or that came in part. ``broken`` where the preface
    is none, or a frame too long: what comes then is no HTTP/2, and all of it is the client's word.
    """

    def __init__(self) -> None:
        self.broken = False
        self._pending = bytearray()
        self._block = bytearray()  # of headers, until the last of its frames was read
        self._ended = True  # whether the frame that was given out last ends its block
        self._begun = False

    @property
    def unread(self) -> bytes:
        """What was said and not understood."""
        if self.broken or self._kind in _WORDS:
            return bytes(self._block + self._pending)
        return bytes(self._block)

    def feed(self, data: bytes) -> None:
        """Take a piece."""
        self._pending += data

    def read(self) -> None:
        """The frame that was given out last has been understood."""
        if self._ended:
            self._block.clear()

    def __iter__(self) -> Iterator[bytes]:
        while frame := self._next():
            yield frame

    def _next(self) -> bytes:
        if not self._begun:
            return self._preface()
        header = self._pending[:_HEADER]
        length = int.from_bytes(header[:3])
        self.broken = self.broken or length > _LONGEST
        if self.broken or len(self._pending) < max(_HEADER, _HEADER + length):
            return b""
        if self._kind in _WORDS:
            room = max(0, KEPT - len(self._block))
            self._block += self._pending[_HEADER : _HEADER + min(length, room)]
            self._ended = self._kind == _DATA or bool(header[4] & _END_HEADERS)
        return self._cut(_HEADER + length)

    def _preface(self) -> bytes:
        came = bytes(self._pending[: len(_PREFACE)])
        self.broken = not _PREFACE.startswith(came)
        if self.broken or len(came) < len(_PREFACE):
            return b""
        self._begun = True
        return self._cut(len(_PREFACE))

    def _cut(self, octets: int) -> bytes:
        cut = bytes(self._pending[:octets])
        del self._pending[:octets]
        return cut

    @property
    def _kind(self) -> int:
        """The type of the frame that comes next, once that is known."""
        return self._pending[3] if self._begun and len(self._pending) > 3 else -1
