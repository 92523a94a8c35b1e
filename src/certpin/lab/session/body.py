"""Where the body of a request ends (RFC 9112 section 6)."""

from __future__ import annotations

from typing import Protocol

# Octets of a chunk's size line: with extensions it could be of any length (RFC 9112 section 7.1.1).
_LONGEST_LINE = 4096
_MOST_DIGITS = 15  # of a size: more than any client sends, and no work to read


class Body(Protocol):
    """A body that is coming. ``whole`` once all of it was taken."""

    whole: bool

    def take(self, pending: bytearray) -> bytes:
        """Take what belongs to it off the front."""


class Counted:
    """A body of so many octets."""

    def __init__(self, octets: int) -> None:
        self._missing = octets
        self.whole = not octets

    def take(self, pending: bytearray) -> bytes:
        """Take what belongs to it off the front."""
        taken = bytes(pending[: self._missing])
        del pending[: len(taken)]
        self._missing -= len(taken)
        self.whole = not self._missing
        return taken


class Chunked:
    """A body in chunks, with a trailer (RFC 9112 section 7.1). One that is malformed ends there."""

    def __init__(self) -> None:
        self.whole = False
        self._chunk: Counted | None = None
        self._trailer = False

    def take(self, pending: bytearray) -> bytes:
        """Take what belongs to it off the front."""
        taken = bytearray()
        while not self.whole and (pending or self._chunk):
            if self._chunk:
                taken += self._chunk.take(pending)
                if not self._chunk.whole:
                    break
                self._chunk = None
            line = self._line(pending)
            if line is None:
                break
            taken += line
        return bytes(taken)

    def _line(self, pending: bytearray) -> bytes | None:
        """A size, or a field of the trailer; ``None`` while its end is missing."""
        text, end, _ = pending.partition(b"\n")
        if not end:
            self.whole = len(text) > _LONGEST_LINE
            return None
        line = bytes(pending[: len(text) + 1])
        del pending[: len(line)]
        self._understand(line.strip())
        return line

    def _understand(self, line: bytes) -> None:
        if self._trailer:
            self.whole = not line
            return
        digits = line.partition(b";")[0].strip()
        try:
            size = int(digits[:_MOST_DIGITS], 16)
        except ValueError:
            self.whole = True
            return
        self._trailer = not size
        if size > 0:
            self._chunk = Counted(size + 2)  # and the line end behind it


def body_of(head: bytes) -> Body:
    """The body that a request's head announces."""
    if field(head, b"transfer-encoding").lower().endswith(b"chunked"):
        return Chunked()
    length = field(head, b"content-length")
    return Counted(int(length[:_MOST_DIGITS]) if length.isdigit() else 0)


def field(head: bytes, name: bytes) -> bytes:
    """The first field of this name in a head (lower case); empty where there is none."""
    for line in head.split(b"\n")[1:]:
        found, _, value = line.partition(b":")
        if found.strip().lower() == name:
            return value.strip()
    return b""
