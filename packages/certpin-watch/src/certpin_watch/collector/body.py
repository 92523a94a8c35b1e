"""From the bytes of a request to a document: bounded, whatever was sent."""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING, Any

import brotli
import msgspec

from certpin_watch.collector.refusals import (
    GoneError,
    RefusedError,
    bad,
    too_large,
    unsupported,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_GZIP = 16 + zlib.MAX_WBITS  # zlib's number for "a gzip header, and nothing else"
_ENCODINGS = {"": "", "identity": "", "gzip": "gzip", "x-gzip": "gzip", "br": "br"}
_JSON: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


class BodyReader:
    """Reads bodies of at most ``most`` bytes, each within ``seconds``.

    One timer watches all bodies, since a timer of its own for each would cost as much as reading
    it. They have the same deadline, so the one that came first is always the next to be late.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._since: dict[asyncio.Task[Any], float] = {}  # the oldest first
        self._late: set[asyncio.Task[Any]] = set()
        self._timed_in: asyncio.AbstractEventLoop | None = None  # the loop that a timer is set in

    async def read(self, receive: Receive) -> bytes:
        """Return the body as it was sent. Raises ``RefusedError`` and ``GoneError``."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None  # noqa: S101  # a coroutine that runs has a task
        self._since[task] = loop.time()
        if self._timed_in is not loop:
            self._timed_in = loop
            loop.call_later(self._seconds, self._look)
        try:
            pieces: list[bytes] = []
            left = self._most
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise GoneError("the client hung up")
                piece = message.get("body", b"")
                left -= len(piece)
                if left < 0:
                    raise too_large(self._most)
                if not message.get("more_body", False):
                    return b"".join((*pieces, piece)) if pieces else bytes(piece)
                pieces.append(piece)
        except asyncio.CancelledError as exc:
            if task in self._late and not task.uncancel():
                raise bad(
                    f"the body was not there after {self._seconds:g} s", "send it at once"
                ) from exc
            raise
        finally:
            del self._since[task]
            self._late.discard(task)

    def _look(self) -> None:
        """Cancel reads that are late, and look again when the next one would be."""
        loop = asyncio.get_running_loop()
        self._timed_in = None
        for task, since in self._since.items():
            if since + self._seconds > loop.time():
                self._timed_in = loop
                loop.call_at(since + self._seconds, self._look)
                return
            if task not in self._late:
                self._late.add(task)
                task.cancel()


def encoding_of(header: bytes) -> str:
    """The Content-Encoding: ``gzip``, ``br`` or nothing. Raises ``RefusedError``."""
    encoding = header.decode("latin-1").strip().lower()
    try:
        return _ENCODINGS[encoding]
    except KeyError as exc:
        raise unsupported(
            "this Content-Encoding is not known here", "send gzip, br or identity"
        ) from exc


def unpack(data: bytes, encoding: str, most: int) -> bytes:
    """Undo what ``encoding_of`` returned; stop at the limit. Raises ``RefusedError``."""
    if not encoding:
        return data
    return _gunzip(data, most) if encoding == "gzip" else _unbrotli(data, most)


def _gunzip(data: bytes, most: int) -> bytes:
    unpacker = zlib.decompressobj(_GZIP)
    try:
        found = unpacker.decompress(data, most + 1)
    except zlib.error as exc:
        raise _broken("gzip") from exc
    return _whole(found, most, "gzip", unpacker.eof and not unpacker.unused_data)


def _unbrotli(data: bytes, most: int) -> bytes:
    """With a limit on what comes out: without, 80 bytes fill the memory (CVE-2025-6176)."""
    unpacker = brotli.Decompressor()
    try:
        found = unpacker.process(data, output_buffer_limit=most + 1)
    except brotli.error as exc:
        raise _broken("br") from exc
    return _whole(found, most, "br", unpacker.is_finished())


def _whole(found: bytes, most: int, encoding: str, ended: bool) -> bytes:
    if len(found) > most:
        raise too_large(most)
    if not ended:
        raise _broken(encoding)
    return found


def _broken(encoding: str) -> RefusedError:
    return bad(f"the body is not whole {encoding}", "pack it anew, in one piece")


def parse(data: bytes, most_depth: int) -> Any:
    """The JSON document (RFC 8259). Raises ``RefusedError``.

    Of two members with the same name the last counts, as with most parsers.
    """
    try:
        document = _JSON.decode(data)
    except RecursionError as exc:
        raise _too_deep(most_depth) from exc
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise bad(f"the body is not JSON: {exc}", "send one JSON document in UTF-8") from exc
    # No document is deeper than it has brackets; few have so many that it must be walked.
    if data.count(b"{") + data.count(b"[") > most_depth and _deeper(document, most_depth):
        raise _too_deep(most_depth)
    return document


def _deeper(value: object, most: int) -> bool:
    if isinstance(value, dict):
        return most == 0 or any(_deeper(each, most - 1) for each in value.values())
    if isinstance(value, list):
        return most == 0 or any(_deeper(each, most - 1) for each in value)
    return False


def _too_deep(most: int) -> RefusedError:
    return bad(f"the document is more than {most} levels deep", "send a report")
