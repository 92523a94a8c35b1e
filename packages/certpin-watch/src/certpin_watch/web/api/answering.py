"""Answers: JSON with an ETag, and problems (RFC 9457)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.requests import Request

    from certpin_watch.web.api.asking import RefusedError

JSON = "application/json"
PROBLEM = "application/problem+json"


class Problem(msgspec.Struct, frozen=True):
    """What went wrong (RFC 9457). Nothing of the request is in it."""

    title: str
    status: int
    detail: str
    type: str = "about:blank"


def answer(
    request: Request, data: bytes, media_type: str = JSON, *, lasts: bool = False
) -> Response:
    """An answer, or 304 where the client has it (RFC 9110 section 13.1.2).

    ``lasts``: it never changes, since its address is its digest. A client may keep the others, and
    asks whether they still hold; whatever stands between keeps nothing.
    """
    tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    kept = "private, max-age=86400, immutable" if lasts else "private, no-cache"
    headers = {"ETag": tag, "Cache-Control": kept, "Vary": "Authorization, Cookie"}
    if _has(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=media_type, headers=headers)


def refusal(refused: RefusedError) -> Response:
    """A problem, in JSON."""
    found = Problem(refused.title, refused.status, refused.detail)
    headers = {"Cache-Control": "no-store"}
    return Response(encode(found), refused.status, headers, media_type=PROBLEM)


def encode(value: Any) -> bytes:
    """A fact as JSON. Dates are RFC 3339 in UTC."""
    return msgspec.json.encode(value)


def _has(header: str, tag: str) -> bool:
    """Whether a tag is named; weak ones compare alike (RFC 9110 section 8.8.3.2)."""
    named = [each.strip().removeprefix("W/") for each in header[:4096].split(",")]
    return header.strip() == "*" or tag in named
