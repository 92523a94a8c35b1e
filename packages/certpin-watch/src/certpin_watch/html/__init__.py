"""HTML pages: templates, their filters, icons, and static files. ``auth`` and ``web`` use this.

Two steps protect a page from hostile text. First, characters that are invisible or change the
direction of text are replaced by visible escapes; then Jinja escapes HTML. If a template uses a
name that was not passed to it, rendering raises an error.

The filters format times, durations, numbers and reasons (``FILTERS``); Python code for pages calls
them as functions, too.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from certpin.support.markup import ICON_PATHS, chain_style, tag, write
from certpin.support.text import clean, sentence
from certpin_watch._version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

_UNITS = (
    (365 * DAY, "year"),
    (30 * DAY, "month"),
    (DAY, "day"),
    (HOUR, "hour"),
    (MINUTE, "minute"),
)
_SINGLE = {HOUR: "an hour", DAY: "a day", 7 * DAY: "a week"}

# Reasons of certpin's verdicts, of platforms, of TrustKit, and names of certpin's errors. Clients
# of RFC 7469 report `mismatch` for every failure.
_REASONS = {
    "mismatch": "no pin on the path",
    "compromised-key": "a key on the path is marked compromised",
    "expired": "the pins have expired",
    "too-few-scts": "too few Certificate Transparency logs have the certificate",
    "no-chain": "there was no chain",
    "debug-anchor": "the debug override",
    "untrusted": "the platform trusts no authority of the chain",
    "name": "the certificate is for another name",
    "date": "a certificate has expired, or the client's clock is wrong",
    "revoked": "a certificate is revoked",
    "invalid": "the platform refuses a certificate",
    "user-anchor": "an authority that the user installed",
    "bad-parameters": "the app asked for something else",
    "no-spki-hash": "a key of an unknown type",
    "UnpinnedHostError": "a host without pins",
    "InsecureRequestError": "a request in clear text",
    "WeakenedContextError": "checks were switched off",
    "UnverifiedSessionError": "a session that was not verified",
}

# The only files of ``static/`` that are served.
_MEDIA_TYPES = {
    "htmx.min.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "watch.css": "text/css; charset=utf-8",
    "watch.js": "text/javascript; charset=utf-8",
}
# A changed file has another address, so browsers may cache this one for ever.
_CACHED = {"Cache-Control": "public, max-age=31536000, immutable"}

# Lines in a square of 16 by 16, beside those of ``certpin.support.markup``.
_ICON_PATHS = {
    "bars": "M3 13.5V8.5M8 13.5V2.5M13 13.5V6",
    "bell": "M4 11.5V7A4 4 0 0 1 12 7V11.5L13.5 12.5H2.5ZM6.7 14.6H9.3",
    "clock": "M8 4.5V8L10.5 9.5M8 1.8A6.2 6.2 0 1 0 8 14.2A6.2 6.2 0 1 0 8 1.8",
    "grid": "M2.5 2.5h4v4h-4ZM9.5 2.5h4v4h-4ZM2.5 9.5h4v4h-4ZM9.5 9.5h4v4h-4Z",
    "half": "M8 1.8A6.2 6.2 0 1 0 8 14.2A6.2 6.2 0 1 0 8 1.8V14.2M10.5 3.2V12.8M12.7 5V11",
    "info": "M8 7.5V11.5M8 4.6V4.8M8 1.8A6.2 6.2 0 1 0 8 14.2A6.2 6.2 0 1 0 8 1.8",
    "mute": "M4 11.5V7A4 4 0 0 1 12 7V11.5L13.5 12.5H2.5ZM2 2 14 14",
    "pulse": "M1.5 8H4.5L6.5 3 9.5 13 11.5 8H14.5",
    "stack": "M8 2 14 5 8 8 2 5ZM2 8 8 11 14 8M2 11 8 14 14 11",
}


def render(request: Request, name: str, status: int = 200, /, **context: Any) -> HTMLResponse:
    """Render an HTML template, and return the page as a response.

    Templates extend ``base.html``. Besides ``context``, a template gets ``identity`` (the sender of
    the request, or None), ``path`` (of the request's URL), ``version`` (of certpin) and
    ``no_receivers`` (True to warn that no notification service receives alerts).

    Args:
        request: the request.
        name: the name of the template.
        status: the HTTP status.
        context: the values for the template.
    """
    page = environment().get_template(name)
    text = page.render(
        identity=getattr(request.state, "identity", None),
        path=request.url.path,
        no_receivers=getattr(request.state, "no_receivers", False),
        version=__version__,
        **context,
    )
    return HTMLResponse(text, status, headers={"Cache-Control": "no-store"})


@cache
def environment() -> Environment:
    """Return the Jinja environment for all templates, with the templates' filters and functions."""
    templates = Environment(
        loader=FileSystemLoader(str(files("certpin_watch.html").joinpath("templates"))),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_escape_invisible,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=-1,
    )
    templates.globals |= {"icon": icon, "static": static_address}
    templates.filters |= FILTERS
    return templates


def _escape_invisible(value: object) -> object:
    """Return a text in which characters that are invisible or reorder text are replaced by escapes.

    A value that is not a text, or is HTML already, is returned unchanged.
    """
    if isinstance(value, Markup) or not isinstance(value, str) or value.isprintable():
        return value
    return clean(value)


@cache
def icon(name: str, size: int = 16) -> Markup:
    """Return the icon with this name as SVG, ``size`` pixels wide and high.

    The icon is hidden from screen readers, because text is beside it.
    """
    box = str(size)
    line = tag("path", d=(ICON_PATHS | _ICON_PATHS)[name], class_="line")
    svg = tag(
        "svg", line, class_="icon", width=box, height=box, viewBox="0 0 16 16", aria_hidden="true"
    )
    return Markup(write(svg))  # noqa: S704  # made of constants only


async def static(request: Request) -> Response:
    """Return the static file in the path, such as a style sheet; status 404 for an unknown name.

    Browsers can cache it, because its URL contains a digest of the file.
    """
    name = request.path_params["name"]
    if name not in _MEDIA_TYPES:
        return PlainTextResponse("there is no such file\n", 404)
    return Response(_content(name), headers=_CACHED, media_type=_MEDIA_TYPES[name])


@cache
def static_address(name: str) -> str:
    """Return the URL of a static file.

    The URL contains a digest of the file, so that a browser doesn't use an old copy.
    """
    return f"/static/{name}?{hashlib.sha256(_content(name)).hexdigest()[:12]}"


@cache
def _content(name: str) -> bytes:
    data = files("certpin_watch.html").joinpath("static", name).read_bytes()
    if name == "watch.css":  # pages draw chains as the lab's report does
        data += chain_style().encode()
    return data


def span(length: timedelta) -> str:
    """Return a duration as text in one unit, such as ``3 days``. The sign is ignored."""
    length = abs(length)
    if length in _SINGLE:
        return _SINGLE[length]
    for size, name in _UNITS:
        # A unit begins at two: 45 days are more precise than a month, 36 hours than a day.
        if length >= (size if size == MINUTE else 2 * size):
            return number(length // size, name)
    return "less than a minute"


def ago(moment: datetime | None, now: datetime) -> str:
    """Return the time ``moment`` relative to ``now``: ``3 days ago``, ``in 2 hours``.

    Within a minute it is ``just now``, and ``never`` if ``moment`` is None.
    """
    if moment is None:
        return "never"
    if abs(now - moment) < MINUTE:
        return "just now"
    length = span(now - moment)
    return f"{length} ago" if moment <= now else f"in {length}"


def number(count: int, noun: str = "", plural: str = "") -> str:
    """Return a number with thousands separators and its noun, such as ``1,204 clients``.

    ``plural`` is the plural of ``noun``, if an s at its end is not enough.
    """
    if not noun:
        return f"{count:,}"
    return f"{count:,} {noun_for(count, noun, plural)}"


def noun_for(count: int, noun: str, plural: str = "") -> str:
    """Return the singular or plural of a noun, as it follows the number ``count``.

    For example, the result is ``client`` after 1, and ``clients`` after 2. It does not contain the
    number. ``plural`` is the plural if an s at the end of ``noun`` is not enough.
    """
    return noun if count == 1 else plural or f"{noun}s"


def date(moment: datetime) -> str:
    """Return the date of a time in UTC, such as ``2026-03-01``."""
    return f"{moment.astimezone(UTC):%Y-%m-%d}"


def minute(moment: datetime) -> Markup:
    """Return a time as date and time in UTC, as HTML.

    A script in the browser converts it to the user's time zone.
    """
    return _time_element("minute", moment, _minute(moment))


def second(moment: datetime) -> Markup:
    """Return the time of day of a time in UTC, with seconds, as HTML."""
    return _time_element("second", moment, f"{moment.astimezone(UTC):%H:%M:%S} UTC")


def time(moment: datetime | None, now: datetime, *, exact: bool = False) -> Markup:
    """Return a time relative to ``now`` as HTML, such as ``3 days ago``; "never" for None.

    The tooltip has the date and time. If ``exact`` is True, the text has them, too.
    """
    if moment is None:
        return Markup("never")
    relative = Markup('<time datetime="{}" data-zoned="title" title="{}">{}</time>').format(
        _rfc3339(moment), _minute(moment), ago(moment, now)
    )
    return relative + ", " + minute(moment) if exact else relative


def _time_element(form: str, moment: datetime, text: str) -> Markup:
    return Markup('<time datetime="{}" data-zoned="{}">{}</time>').format(
        _rfc3339(moment), form, text
    )


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _rfc3339(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def percent(part: float, whole: float) -> str:
    """Return ``part`` of ``whole`` in per cent as text, such as ``12 %``.

    Only a share of exactly 0 or 100 per cent is shown as ``0 %`` or ``100 %``: a small share is
    ``< 1 %``, a large one ``> 99 %``. If ``whole`` is 0, the text is ``0 %``.
    """
    share = 100 * part / whole if whole else 0.0
    if 0 < share < 1:
        return "< 1 %"
    return "> 99 %" if 99 < share < 100 else f"{share:.0f} %"


def brief(text: object, maximum: int = 60) -> Markup:
    """Return a text as HTML, cut to ``maximum`` characters, with the whole text as its tooltip."""
    whole = clean(str(text))
    if len(whole) <= maximum:
        # <bdi>: right-to-left text does not reorder the text around it.
        return Markup("<bdi>{}</bdi>").format(whole)
    return Markup('<bdi title="{}">{}…</bdi>').format(whole, whole[: maximum - 1])


def reason(value: str) -> str:
    """Return the reason in a failure report, followed by its explanation.

    The result is, for example, ``untrusted: the platform …``. An unknown reason is returned
    unchanged, because clients can report any text.
    """
    meaning = _REASONS.get(value)
    return f"{value}: {meaning}" if meaning else value


def code(text: str) -> Markup:
    """Return a text as HTML, in which each part between backticks is a ``code`` element.

    The explanations of alert rules have such parts, because they are also in the documentation.
    """
    parts = [escape(clean(part)) for part in text.split("`")]
    parts[1::2] = [Markup("<code>{}</code>").format(part) for part in parts[1::2]]
    return Markup().join(parts)


def fingerprint(digest: str) -> str:
    """Return a digest in hexadecimal as pins of certificates have it: ``AB:CD:…``."""
    return bytes.fromhex(digest).hex(":").upper()


FILTERS: dict[str, Callable[..., Any]] = {
    "ago": ago,
    "brief": brief,
    "code": code,
    "date": date,
    "fingerprint": fingerprint,
    "minute": minute,
    "noun_for": noun_for,
    "number": number,
    "percent": percent,
    "reason": reason,
    "second": second,
    "sentence": sentence,
    "span": span,
    "time": time,
}
