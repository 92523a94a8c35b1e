"""Read the body of a request within limits, whatever the client sends.

Size, time, nesting and the number of bodies that a source (network) may send at once are limited.
If a body exceeds a limit, or can't be read, ``RequestRefusedError`` is raised.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections import Counter
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import brotli
import msgspec

from certpin.errors import CertpinError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_GZIP = 16 + zlib.MAX_WBITS  # zlib's number for "a gzip header, and nothing else"
_ENCODINGS = {"": "", "identity": "", "gzip": "gzip", "x-gzip": "gzip", "br": "br"}
# An escape of a high surrogate without the low one behind it, in JSON.
_HALF_PAIR = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})")
_JSON: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


class RequestRefusedError(CertpinError):
    """A request that is answered with an error: status 4xx or 503.

    Attributes:
        status: the HTTP status.
        problem: the mistake in the request, or the failure of the service.
        fix: how the sender can fix it.
        retry: the seconds after which the client may retry, for ``Retry-After``; 0 for no header.
    """

    def __init__(self, status: HTTPStatus, problem: str, fix: str, retry: int = 0) -> None:
        super().__init__(f"{problem} ({fix})")
        self.status = status
        self.problem = problem
        self.fix = fix
        self.retry = retry


def bad_request(problem: str, fix: str) -> RequestRefusedError:
    """Return the error (status 400) for a request that can't be read.

    ``problem`` is the mistake in the request, ``fix`` how the sender can fix it.
    """
    return RequestRefusedError(HTTPStatus.BAD_REQUEST, problem, fix)


def too_large(max_bytes: int) -> RequestRefusedError:
    """Return the error (status 413) for a body with more than ``max_bytes``."""
    return RequestRefusedError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the body has more than {max_bytes} bytes",
        "send fewer reports at once, or shorter chains",
    )


def unsupported(problem: str, fix: str) -> RequestRefusedError:
    """Return the error (status 415) for an unknown Content-Type or Content-Encoding.

    ``problem`` is the mistake in the request, ``fix`` how the sender can fix it.
    """
    return RequestRefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, problem, fix)


class ConcurrencyLimit:
    """Limits how many bodies of one source (network) are being received at the same time.

    The server limits the connections of all clients together. Without this limit, one source could
    use all connections by sending its bodies slowly. Idle connections, and connections that send
    their headers slowly, are not counted here.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._now: Counter[str] = Counter()

    def enter(self, source: str) -> bool:
        """Count a request body that a source (network) begins to send, and check the limit.

        The caller must call ``leave`` afterwards, even if the result is False.

        Returns:
            True if the body can be received. False if the caller must refuse it, because the source
            already sends the maximum number of bodies.
        """
        self._now[source] += 1
        return self._now[source] <= self._limit

    def leave(self, source: str) -> None:
        """Stop counting one body of a source (network), because it is complete or was refused."""
        self._now[source] -= 1
        if not self._now[source]:
            del self._now[source]


class BodyReader:
    """Reads request bodies of at most ``max_bytes``, each within ``seconds``.

    One timer serves all bodies, because a timer for each body would cost as much as reading it. One
    timer is enough, because all bodies have the same time limit, so the oldest one is always the
    next to exceed it.
    """

    def __init__(self, max_bytes: int, seconds: float) -> None:
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._since: dict[asyncio.Task[Any], float] = {}  # the oldest first
        self._late: set[asyncio.Task[Any]] = set()
        self._timed_in: asyncio.AbstractEventLoop | None = None  # the loop that has a timer

    async def read(self, receive: Receive) -> bytes:
        """Receive one request body, and return it as it was sent, possibly compressed.

        Raises:
            RequestRefusedError: the body is too long, took too long, or is incomplete.
        """
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None  # noqa: S101  # a coroutine that runs has a task
        self._since[task] = loop.time()
        if self._timed_in is not loop:
            self._timed_in = loop
            loop.call_later(self._seconds, self._cancel_late)
        try:
            pieces: list[bytes] = []
            left = self._max_bytes
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    # The client disconnected, or sent an invalid chunk: it may read a response.
                    raise bad_request("the body is incomplete", "send the whole body")
                piece = message.get("body", b"")
                left -= len(piece)
                if left < 0:
                    raise too_large(self._max_bytes)
                if not message.get("more_body", False):
                    return b"".join((*pieces, piece)) if pieces else bytes(piece)
                pieces.append(piece)
        except asyncio.CancelledError as exc:
            if task in self._late and not task.uncancel():
                raise RequestRefusedError(
                    HTTPStatus.REQUEST_TIMEOUT,  # clients repeat it; 400 would be final
                    f"the body was not complete after {self._seconds:g} s",
                    "send it again, without pauses",
                ) from exc
            raise
        finally:
            del self._since[task]
            self._late.discard(task)

    def _cancel_late(self) -> None:
        """Cancel the reads that are over their time limit, and set the timer for the next one.

        ``read`` then refuses the requests of these bodies.
        """
        loop = asyncio.get_running_loop()
        self._timed_in = None
        for task, since in self._since.items():
            if since + self._seconds > loop.time():
                self._timed_in = loop
                loop.call_at(since + self._seconds, self._cancel_late)
                return
            if task not in self._late:
                self._late.add(task)
                task.cancel()


def encoding_of(header: bytes) -> str:
    """Return the encoding that a Content-Encoding header names: ``gzip``, ``br`` or empty for none.

    Raises:
        RequestRefusedError: the encoding is not supported.
    """
    encoding = header.decode("latin-1").strip().lower()
    try:
        return _ENCODINGS[encoding]
    except KeyError as exc:
        raise unsupported(
            "the Content-Encoding is not supported", "send gzip, br or identity"
        ) from exc


def unpack(data: bytes, encoding: str, max_bytes: int) -> bytes:
    """Decompress a request body, and stop at the limit.

    Args:
        data: the body as it was sent.
        encoding: the result of ``encoding_of``. If it is empty, ``data`` is returned unchanged.
        max_bytes: the limit for the decompressed body.

    Raises:
        RequestRefusedError: the decompressed body is too large, or the body is incomplete or not in
            this encoding.
    """
    if not encoding:
        return data
    return _gunzip(data, max_bytes) if encoding == "gzip" else _unbrotli(data, max_bytes)


def _gunzip(data: bytes, max_bytes: int) -> bytes:
    unpacker = zlib.decompressobj(_GZIP)
    try:
        found = unpacker.decompress(data, max_bytes + 1)
    except zlib.error as exc:
        raise _broken("gzip") from exc
    return _complete(found, max_bytes, "gzip", unpacker.eof and not unpacker.unused_data)


def _unbrotli(data: bytes, max_bytes: int) -> bytes:
    """Decompress the Brotli data of a body, up to ``max_bytes`` of the result.

    Without the limit, a body of 80 bytes can fill the memory (CVE-2025-6176).

    Raises:
        RequestRefusedError: the result is larger, or the data is damaged or incomplete.
    """
    unpacker = brotli.Decompressor()
    try:
        found = unpacker.process(data, output_buffer_limit=max_bytes + 1)
    except brotli.error as exc:
        raise _broken("br") from exc
    return _complete(found, max_bytes, "br", unpacker.is_finished())


def _complete(found: bytes, max_bytes: int, encoding: str, ended: bool) -> bytes:
    if len(found) > max_bytes:
        raise too_large(max_bytes)
    if not ended:
        raise _broken(encoding)
    return found


def _broken(encoding: str) -> RequestRefusedError:
    return bad_request(f"the body is not complete {encoding}", "compress it again, in one piece")


def parse(data: bytes, max_depth: int) -> Any:
    """Parse a request body as JSON (RFC 8259).

    If an object has two members with the same name, the last one counts, as in most parsers.

    Raises:
        RequestRefusedError: the body is not JSON, or is nested deeper than ``max_depth``.
    """
    try:
        document = _JSON.decode(data)
    except RecursionError as exc:
        raise _too_deep(max_depth) from exc
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise bad_request(
            f"the body is not JSON: {_json_problem(data, exc)}", "send one JSON document in UTF-8"
        ) from exc
    # No document is deeper than its number of brackets: few documents have to be walked.
    if data.count(b"{") + data.count(b"[") > max_depth and _is_deeper(document, max_depth):
        raise _too_deep(max_depth)
    return document


def _json_problem(data: bytes, exc: Exception) -> str:
    """Return why a body is not JSON, as a text for the response.

    This is the text of ``exc``, the error that msgspec raised. But if the body contains half of a
    surrogate pair, msgspec's text can be wrong, so a fixed text is returned. ``data`` is the body.
    """
    if _HALF_PAIR.search(data):
        return r"half of a surrogate pair, such as \ud800, is no character (RFC 8259, section 8.2)"
    return str(exc)


def _is_deeper(value: object, levels: int) -> bool:
    if isinstance(value, dict):
        return levels == 0 or any(_is_deeper(item, levels - 1) for item in value.values())
    if isinstance(value, list):
        return levels == 0 or any(_is_deeper(item, levels - 1) for item in value)
    return False


def _too_deep(levels: int) -> RequestRefusedError:
    return bad_request(f"the document is nested more than {levels} levels deep", "send a report")
