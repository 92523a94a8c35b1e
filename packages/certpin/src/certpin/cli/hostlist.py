"""A list of hosts, read as it comes: from a file, or from a pipe that may be slow."""

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
# A name has 253 characters at most (RFC 1035 section 2.3.4): what is longer is no list of hosts.
_MAX_LINE = 4096
# After so many lines the reader of the list may turn to its connections, also if none was new.
_AT_A_TIME = 20_000


def host_list(
    source: BinaryIO, done: Container[Endpoint], refused: Callable[[str, HostError], None]
) -> Iterator[Endpoint | None]:
    """The hosts of a list, less those that are done; ``None`` when nothing is there yet.

    Empty lines and comments are left out. What is no host is handed to ``refused``.
    """
    for number, line in enumerate(_lines(source.fileno()), 1):
        endpoint = None if line is None else _host(line, done, refused)
        if endpoint is not None or line is None or number % _AT_A_TIME == 0:
            yield endpoint


def _host(
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
    """Lines without their end, cut at ``_MAX_LINE``. Never waits: ``None`` instead."""
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
