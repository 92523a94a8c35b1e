"""Read a list of hosts line by line, from a file or from a pipe that may be slow."""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING, BinaryIO

from certpin.errors import HostError
from certpin.probe import Endpoint, split_address
from certpin.x509 import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

_CHUNK = 64 * 1024
# A name has at most 253 characters (RFC 1035 section 2.3.4): a longer line is not a host.
_MAX_LINE = 4096
# After this many lines without a new host, the scan can serve its open connections.
_BATCH_LINES = 20_000


def host_list(
    source: BinaryIO, done: Container[Endpoint], refused: Callable[[str, HostError], None]
) -> Iterator[Endpoint | None]:
    """Yield the hosts of a list, without empty lines and comments.

    Args:
        source: the list. It must have a file descriptor.
        done: the hosts that are skipped.
        refused: called with the text and the error of each line that is not a host.

    Yields:
        A host; None if no line is available yet, or after many lines without a new host.
    """
    for number, line in enumerate(_lines(source.fileno()), 1):
        endpoint = None if line is None else _parse_line(line, done, refused)
        if endpoint is not None or line is None or number % _BATCH_LINES == 0:
            yield endpoint


def _parse_line(
    line: bytes, done: Container[Endpoint], refused: Callable[[str, HostError], None]
) -> Endpoint | None:
    text = line.decode("utf-8", "replace").strip()
    if not text or text.startswith("#"):
        return None
    try:
        endpoint = Endpoint(*split_address(text))
    except HostError as exc:
        text = printable(text)
        if Endpoint(text, 0) not in done:
            refused(text, exc)
        return None
    return None if endpoint in done else endpoint


def _lines(descriptor: int) -> Iterator[bytes | None]:
    """Yield the lines of a stream without line ends, cut at ``_MAX_LINE`` bytes.

    Yield None whenever no input is available, so that the caller never blocks on a slow pipe.
    """
    tail = b""
    while True:
        if not select.select([descriptor], [], [], 0)[0]:
            yield None
            continue
        chunk = os.read(descriptor, _CHUNK)
        if not chunk:
            break
        *whole, tail = (tail + chunk).split(b"\n")
        yield from (line[:_MAX_LINE] for line in whole)
        tail = tail[:_MAX_LINE]
    if tail:
        yield tail
