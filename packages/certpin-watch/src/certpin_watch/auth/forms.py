"""Forms: read once, within bounds, to look for their token; and handed on as if unread."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from starlette.types import Message, Receive

METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
MOST_BYTES = 64 * 1024
PATIENCE = 10.0  # seconds until a body has to be there
_MOST_FIELDS = 100
_KINDS = {"", "application/x-www-form-urlencoded"}


async def body_of(
    receive: Receive, kind: str = "", seconds: float = PATIENCE
) -> tuple[bytes | HTTPStatus, Receive]:
    """The body of a request, and a ``receive`` that gives it once more; or why it is not taken.

    Whatever it calls itself (``kind``), and whoever sends it: no page reads a body by itself. A
    form of many parts would be written to the disk without an end, and names a character set for
    itself, of which Python has some that fail, and some that make half characters. One that never
    comes would hold one of the connections that the server has, of which reports need some too.
    """
    try:
        async with asyncio.timeout(seconds):
            body = await _read(receive)
    except TimeoutError:
        return HTTPStatus.REQUEST_TIMEOUT, receive
    if body is None:
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, receive
    if body and kind.partition(";")[0].strip().lower() not in _KINDS:
        return HTTPStatus.UNSUPPORTED_MEDIA_TYPE, receive
    return body, _again(body, receive)


async def _read(receive: Receive) -> bytes | None:
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b""
        body += message.get("body", b"")
        if len(body) > MOST_BYTES:
            return None
        if not message.get("more_body"):
            return body


def field_of(body: bytes, name: str) -> str:
    """A field of a form; empty if it is not there once, and once only."""
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=_MOST_FIELDS)
    except ValueError:
        return ""
    values = fields.get(name, [])
    return values[0] if len(values) == 1 else ""


def _again(body: bytes, receive: Receive) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay
