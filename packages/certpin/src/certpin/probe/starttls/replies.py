"""Read replies with a three-digit code, as SMTP (RFC 5321 4.2) and FTP (RFC 959 4.2) send them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from certpin.probe.starttls.dialogue import LINE_LIMIT, quote

if TYPE_CHECKING:
    from certpin.probe.starttls.dialogue import Steps, Wire

# A code, then nothing, or a separator and text: "-" if more lines follow, else a space.
_REPLY_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)


class Reply(NamedTuple):
    """One reply of a server.

    Attributes:
        code: the three-digit code at the start of its lines, such as 220.
        lines: the text behind the code, for each line.
    """

    code: int
    lines: list[bytes]

    def __str__(self) -> str:
        return f"{self.code} {quote(b' / '.join(self.lines))}"


def smtp_reply(wire: Wire, limit: int) -> Steps[Reply]:
    """Read an SMTP reply of one or more lines, each of at most ``limit`` octets.

    ``wire`` is the connection to the server. Each line repeats the code; a hyphen follows the code
    except in the last line.
    """
    lines: list[bytes] = []
    first = b""
    while True:
        line = yield from wire.line(limit)
        code, separator, text = _parse(wire, line)
        first = first or code
        if code != first:
            wire.raise_garbled(f"changed the code inside a reply: {quote(line)}")
        lines.append(text)
        if separator != b"-":
            return Reply(int(code), lines)


def ftp_reply(wire: Wire) -> Steps[Reply]:
    """Read an FTP reply of one or more lines.

    ``wire`` is the connection to the server. If the first line begins with a code and a hyphen,
    such as ``220-``, any lines may follow, until a line begins with the code and a space.
    """
    line = yield from wire.line(LINE_LIMIT)
    code, separator, text = _parse(wire, line)
    lines = [text]
    last = separator != b"-"
    while not last:
        line = yield from wire.line(LINE_LIMIT)
        last = line.startswith(code + b" ")
        lines.append(line.removeprefix(code)[1:] if last else line)
    return Reply(int(code), lines)


def _parse(wire: Wire, line: bytes) -> tuple[bytes, bytes, bytes]:
    """Split a line of a reply into its code, the separator (hyphen, space or empty) and the text.

    ``wire`` is the connection to the server. Raises ``StartTLSError`` if the line doesn't begin
    with a code.
    """
    match = _REPLY_LINE.fullmatch(line)
    if match is None:
        wire.raise_garbled(f"sent a line without a reply code: {quote(line)}")
    return match[1], match[2] or b"", match[3] or b""
