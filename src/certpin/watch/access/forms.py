"""Forms: read once to look for their token, and handed on unread."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from starlette.datastructures import Headers
    from starlette.types import Message, Receive

METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
MOST_BYTES = 64 * 1024
_MOST_FIELDS = 100
_KIND = "application/x-www-form-urlencoded"


async def body_of(headers: Headers, receive: Receive) -> tuple[bytes | None, Receive]:
    """The body of a form, and a ``receive`` that gives it once more. ``None``: it is too long.

    What is no such form is left unread, and has no field.
    """
    if headers.get("content-type", "").partition(";")[0].strip().lower() != _KIND:
        return b"", receive
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"", receive
        body += message.get("body", b"")
        if len(body) > MOST_BYTES:
            return None, receive
        if not message.get("more_body"):
            return body, _again(body, receive)


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
