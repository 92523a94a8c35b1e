"""Query parameters, cursors and responses of the API.

An unknown parameter is an error: a misspelt filter would otherwise return everything.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import Response

from certpin_watch.store.queries.base import MAX_ITEMS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request


_LONGEST = 300  # characters of any parameter
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MOST_NUMBER = 2**63 - 1
_EARLIEST, _LATEST = datetime(1970, 1, 2, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
_USUAL_RANGE = timedelta(days=1)


class RefusedError(Exception):
    """What was asked for is not there, or cannot be asked for: an answer with this status."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail = status, title, detail


@dataclass(frozen=True)
class Parameter:
    """One parameter of a query. ``read`` raises ``ValueError``; ``schema`` is JSON Schema."""

    name: str
    about: str
    read: Callable[[str], Any]
    schema: dict[str, Any]
    default: Any = None


def text(name: str, about: str) -> Parameter:
    """Any text that is not empty; NUL is none, since PostgreSQL has no such text."""
    schema = {"type": "string", "minLength": 1, "maxLength": _LONGEST, "pattern": r"^[^\x00]+$"}
    return Parameter(name, about, _text, schema)


def choice(name: str, about: str, words: Sequence[str], default: str) -> Parameter:
    """One of some words."""

    def read(value: str) -> str:
        if value not in words:
            raise ValueError(f"it is one of {', '.join(words)}")
        return value

    schema = {"type": "string", "enum": list(words), "default": default}
    return Parameter(name, about, read, schema, default)


def number(
    name: str, about: str, default: int | None, least: int = 1, most: int = _MOST_NUMBER
) -> Parameter:
    """A whole number."""

    def read(value: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,19}", value, re.ASCII) or not least <= int(value) <= most:
            raise ValueError(f"it is a whole number from {least} to {most}")
        return int(value)

    schema: dict[str, Any] = {"type": "integer", "minimum": least, "maximum": most}
    schema |= {} if default is None else {"default": default}
    return Parameter(name, about, read, schema, default)


def moment(name: str, about: str) -> Parameter:
    """A moment with a time zone (RFC 3339)."""
    return Parameter(name, about, _moment, {"type": "string", "format": "date-time"})


def digest(name: str, about: str) -> Parameter:
    """A SHA-256 in lower-case hexadecimal."""
    return Parameter(name, about, read_digest, {"type": "string", "pattern": "^[0-9a-f]{64}$"})


def asked(request: Request, parameters: Sequence[Parameter]) -> dict[str, Any]:
    """The parameters of a request, read. Raises ``RefusedError``."""
    known = {each.name: each for each in parameters}
    found: dict[str, Any] = {each.name: each.default for each in parameters}
    given = request.query_params.multi_items()
    if len({name for name, _ in given}) < len(given):
        raise RefusedError(400, "A parameter stands there twice", "Give each once.")
    for name, value in given:
        if name not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise RefusedError(400, "A parameter is not known", f"Known here: {listed}.")
        try:
            found[name] = known[name].read(value)
        except ValueError as exc:
            raise RefusedError(400, f"The parameter {name} cannot be used", f"{exc}.") from exc
    return found


def within(found: dict[str, Any], now: datetime) -> tuple[datetime, datetime]:
    """The range of time that is asked for. Raises ``RefusedError``."""
    until = found["until"] or now
    since = found["since"] or until - _USUAL_RANGE
    if since >= until:
        raise RefusedError(400, "The range is empty", "`since` lies before `until`.")
    return since, until


def cursor_of(key: tuple[int | str, ...] | None) -> str | None:
    """A cursor: what a page ended with. It tells nothing that the page does not."""
    if key is None:
        return None
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def key_of(cursor: str | None, *kinds: type) -> Any:
    """What a cursor stands for; ``None`` for the first page. Raises ``RefusedError``."""
    if cursor is None:
        return None
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        shape: Any = tuple.__class_getitem__(kinds)
        key = msgspec.json.decode(data, type=shape)
    except (ValueError, binascii.Error, msgspec.MsgspecError) as exc:
        raise RefusedError(400, "The cursor cannot be used", "Take the `next` of a page.") from exc
    if not all(map(_storable, key)):
        raise RefusedError(400, "The cursor cannot be used", "Take the `next` of a page.")
    return key


def _storable(value: int | str) -> bool:
    """Whether a database can compare with it: numbers have 64 bits, and no text has a NUL."""
    return abs(value) <= _MOST_NUMBER if isinstance(value, int) else "\x00" not in value


def number_of(word: str) -> int | None:
    """Return the number of a row as an address has it; ``None`` if no row can have it."""
    return int(word) if word.isascii() and word.isdigit() and len(word) < 19 else None


def read_digest(value: str) -> str:
    """A SHA-256. Raises ``ValueError``."""
    if not _DIGEST.fullmatch(value):
        raise ValueError("it is a SHA-256 in lower-case hexadecimal")
    return value


def _text(value: str) -> str:
    if not 0 < len(value) <= _LONGEST or "\x00" in value:
        raise ValueError(f"it is a text of 1 to {_LONGEST} characters")
    value.encode()  # a lone surrogate is no text: UnicodeEncodeError is a ValueError
    return value


def _moment(value: str) -> datetime:
    wrong = "it is a moment with a time zone, as in 2027-06-01T12:00:00Z"
    try:
        found = datetime.fromisoformat(value)
        if found.tzinfo is not None and _EARLIEST < found < _LATEST:
            return found.astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise ValueError(wrong) from exc
    raise ValueError(wrong)


LIMIT = number("limit", f"How many entries at most, up to {MAX_ITEMS}.", 100, 1, MAX_ITEMS)
CURSOR = text("cursor", "The `next` of the page before.")
SINCE = moment("since", "The beginning; by default a day before the end.")
UNTIL = moment("until", "The end, which is not in it; by default now.")


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
