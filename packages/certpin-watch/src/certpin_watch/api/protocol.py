"""Query parameters, cursors and responses of the API.

An unknown parameter is an error: a misspelt filter would otherwise return all entries.
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

from certpin_watch.store.queries import MAX_ITEMS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request

    from certpin.errors import StoreError

JSON = "application/json"
PROBLEM = "application/problem+json"

_MAX_TEXT = 300  # characters of a parameter
_MAX_NUMBER = 2**63 - 1
_MAX_HEADER = 4096  # characters of If-None-Match that are read
_DIGEST = re.compile(r"[0-9a-f]{64}")
_EARLIEST, _LATEST = datetime(1970, 1, 2, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
_DEFAULT_RANGE = timedelta(days=1)


class RefusedError(Exception):
    """The API refuses a request.

    The response is a problem (RFC 9457) with the values in this error.

    Attributes:
        status: the HTTP status.
        title: the kind of problem.
        detail: an explanation.
    """

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail = status, title, detail


def not_found(detail: str) -> RefusedError:
    """Return the error (status 404) for an object that does not exist.

    ``detail`` is the explanation in the response.
    """
    return RefusedError(404, "Not found", detail)


class Problem(msgspec.Struct, frozen=True):
    """An error response: a problem as in RFC 9457. It contains no part of the request.

    ``title`` is the kind of problem, ``status`` the HTTP status, and ``detail`` an explanation.
    ``type`` is always ``about:blank``.
    """

    title: str
    status: int
    detail: str
    type: str = "about:blank"


@dataclass(frozen=True)
class Parameter:
    """A query parameter of a resource, with its description and its check.

    Attributes:
        name: the name of the parameter.
        about: a description for OpenAPI.
        read: a function that converts the text of the parameter to its value. For an invalid text,
            it raises a ``ValueError`` with a message that describes the expected form.
        schema: the JSON Schema of the value.
        default: the value if the request doesn't have the parameter.
    """

    name: str
    about: str
    read: Callable[[str], Any]
    schema: dict[str, Any]
    default: Any = None


def text(name: str, about: str) -> Parameter:
    """Return a ``Parameter`` that accepts text without NUL, because PostgreSQL can't store NUL.

    ``name`` is the name of the query parameter, ``about`` a description for OpenAPI.
    """
    schema = {"type": "string", "minLength": 1, "maxLength": _MAX_TEXT, "pattern": r"^[^\x00]+$"}
    return Parameter(name, about, _read_text, schema)


def choice(name: str, about: str, words: Sequence[str], default: str) -> Parameter:
    """Return a ``Parameter`` that accepts one of the given words.

    Args:
        name: the name of the query parameter.
        about: a description for OpenAPI.
        words: the accepted values.
        default: the value if the request doesn't have the parameter.
    """

    def read(value: str) -> str:
        if value not in words:
            raise ValueError(f"Expected one of {', '.join(words)}")
        return value

    schema = {"type": "string", "enum": list(words), "default": default}
    return Parameter(name, about, read, schema, default)


def number(
    name: str, about: str, default: int | None, minimum: int = 1, maximum: int = _MAX_NUMBER
) -> Parameter:
    """Return a ``Parameter`` that accepts an integer between ``minimum`` and ``maximum``.

    A request with another value is answered with the status 400.

    Args:
        name: the name of the query parameter.
        about: a description for OpenAPI.
        default: the value if the request doesn't have the parameter; None if there is no such
            value.
        minimum: the smallest accepted number.
        maximum: the largest accepted number.
    """

    def read(value: str) -> int:
        is_number = re.fullmatch(r"-?[0-9]{1,19}", value, re.ASCII)
        if not is_number or not minimum <= int(value) <= maximum:
            raise ValueError(f"Expected a whole number from {minimum} to {maximum}")
        return int(value)

    schema: dict[str, Any] = {"type": "integer", "minimum": minimum, "maximum": maximum}
    schema |= {} if default is None else {"default": default}
    return Parameter(name, about, read, schema, default)


def moment(name: str, about: str) -> Parameter:
    """Return a ``Parameter`` that accepts a time with a time zone (RFC 3339).

    ``name`` is the name of the query parameter, ``about`` a description for OpenAPI.
    """
    return Parameter(name, about, _read_moment, {"type": "string", "format": "date-time"})


def digest(name: str, about: str) -> Parameter:
    """Return a ``Parameter`` that accepts a SHA-256 digest in lower-case hexadecimal.

    ``name`` is the name of the query parameter, ``about`` a description for OpenAPI.
    """
    return Parameter(name, about, read_digest, {"type": "string", "pattern": "^[0-9a-f]{64}$"})


def read_query(request: Request, parameters: Sequence[Parameter]) -> dict[str, Any]:
    """Parse the query of a request.

    Returns:
        The value of each declared parameter, by name.

    Raises:
        RefusedError: a parameter is unknown, repeated or invalid.
    """
    known = {parameter.name: parameter for parameter in parameters}
    values: dict[str, Any] = {parameter.name: parameter.default for parameter in parameters}
    given = request.query_params.multi_items()
    if len({name for name, _ in given}) < len(given):
        raise RefusedError(400, "Repeated parameter", "Send each parameter once.")
    for name, value in given:
        if name not in known:
            names = ", ".join(sorted(known)) or "none"
            raise RefusedError(400, "Unknown parameter", f"Known parameters: {names}.")
        try:
            values[name] = known[name].read(value)
        except ValueError as exc:
            raise RefusedError(400, f"Invalid parameter {name}", f"{exc}.") from exc
    return values


def read_range(values: dict[str, Any], now: datetime) -> tuple[datetime, datetime]:
    """Return the start and the end of the time range that ``since`` and ``until`` select.

    These are query parameters. Without ``until``, the range ends now. Without ``since``, the range
    is a day long.

    Args:
        values: the values of the query parameters by name, as ``read_query`` returns them.
        now: the current time.

    Raises:
        RefusedError: the range is empty.
    """
    until = values["until"] or now
    since = values["since"] or until - _DEFAULT_RANGE
    if since >= until:
        raise RefusedError(400, "Empty range", "`since` must be before `until`.")
    return since, until


def cursor_of(key: tuple[int | str, ...] | None) -> str | None:
    """Encode the sort key of a page's last item as a cursor, to request the next page.

    If ``key`` is None, there is no next page, and the result is None. A cursor is not encrypted,
    because it contains only values that the page shows, too.
    """
    if key is None:
        return None
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def key_of(cursor: str | None, *types: type) -> Any:
    """Decode a cursor, which a client sends to get the next page, into a sort key.

    Args:
        cursor: the cursor; None for the first page.
        types: the types of the values in the key.

    Returns:
        A tuple with a value of each type; None for the first page.

    Raises:
        RefusedError: the cursor is invalid.
    """
    if cursor is None:
        return None
    invalid = RefusedError(400, "Invalid cursor", "Use the `next` of a page.")
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        shape: Any = tuple.__class_getitem__(types)
        key = msgspec.json.decode(data, type=shape)
    except (ValueError, binascii.Error, msgspec.MsgspecError) as exc:
        raise invalid from exc
    if not all(map(_is_storable, key)):
        raise invalid
    return key


def _is_storable(value: int | str) -> bool:
    """Return True if a database column could contain this value.

    Such a value is a 64-bit number, or a text without NUL. A cursor with any other value is
    refused, because the query would fail.
    """
    return abs(value) <= _MAX_NUMBER if isinstance(value, int) else "\x00" not in value


def row_number(word: str) -> int | None:
    """Parse the row number in a URL path; return None if the text can't be a row number.

    The caller then answers that there is no such object (status 404).
    """
    return int(word) if word.isascii() and word.isdigit() and len(word) < 19 else None


def read_digest(value: str) -> str:
    """Check that a text is a SHA-256 digest, and return it.

    Raises:
        ValueError: it is not 64 lower-case hexadecimal digits.
    """
    if not _DIGEST.fullmatch(value):
        raise ValueError("Expected a SHA-256 in lower-case hexadecimal")
    return value


def _read_text(value: str) -> str:
    if not 0 < len(value) <= _MAX_TEXT or "\x00" in value:
        raise ValueError(f"Expected a text of 1 to {_MAX_TEXT} characters")
    value.encode()  # refuses lone surrogates: UnicodeEncodeError is a ValueError
    return value


def _read_moment(value: str) -> datetime:
    invalid = "Expected a time with a time zone, such as 2027-06-01T12:00:00Z"
    try:
        found = datetime.fromisoformat(value)
        if found.tzinfo is not None and _EARLIEST < found < _LATEST:
            return found.astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise ValueError(invalid) from exc
    raise ValueError(invalid)


LIMIT = number("limit", f"Maximum number of entries, up to {MAX_ITEMS}.", 100, 1, MAX_ITEMS)
CURSOR = text("cursor", "The `next` of the previous page.")
SINCE = moment("since", "Start of the range; default: a day before its end.")
UNTIL = moment("until", "End of the range, exclusive; default: now.")


def encode(value: Any) -> bytes:
    """Encode a value as JSON, with times as RFC 3339 in UTC."""
    return msgspec.json.encode(value)


def respond(
    request: Request, data: bytes, media_type: str = JSON, *, immutable: bool = False
) -> Response:
    """Return a response with ``data``, or 304 if the client already has it (RFC 9110, 13.1.2).

    Only the client's own cache stores the response. It must ask the service before it uses the
    stored response again, unless ``immutable`` is True.

    Args:
        request: the request. Its If-None-Match header names the data that the client has.
        data: the content of the response.
        media_type: the content's media type.
        immutable: True if the content never changes, because its address contains its digest.
    """
    tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    caching = "private, max-age=86400, immutable" if immutable else "private, no-cache"
    headers = {"ETag": tag, "Cache-Control": caching, "Vary": "Authorization, Cookie"}
    if _contains_tag(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=media_type, headers=headers)


def _contains_tag(header: str, tag: str) -> bool:
    """Return True if an If-None-Match header contains an ETag, or is ``*``.

    The client then has the current data already, and gets status 304. Weak tags match, too (RFC
    9110 section 8.8.3.2).
    """
    tags = [named.strip().removeprefix("W/") for named in header[:_MAX_HEADER].split(",")]
    return header.strip() == "*" or tag in tags


def refusal(exc: RefusedError | StoreError) -> Response:
    """Return the response to a refused request: a problem (RFC 9457) as JSON.

    If the store is unavailable, the status is 503, and the reason is only logged.
    """
    if isinstance(exc, RefusedError):
        refused = exc
    else:
        refused = RefusedError(503, "The store is unavailable", "Try again in a moment.")
    problem = Problem(refused.title, refused.status, refused.detail)
    headers = {"Cache-Control": "no-store"}
    return Response(encode(problem), refused.status, headers, media_type=PROBLEM)
