"""Render HTML pages from templates, and serve the static files that they need.

Two steps protect a page from hostile text. First, characters that are invisible or change the
direction of text are replaced by visible escapes; then Jinja escapes HTML. A template
that uses a name that was not passed raises an error.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from certpin.lab.report.picture import chain_style
from certpin.support.markup import ICON_PATHS, tag, write
from certpin.support.text import clean
from certpin_watch._version import __version__
from certpin_watch.html.words import FILTERS

if TYPE_CHECKING:
    from starlette.requests import Request

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
    "arrow": "M3 8H13M9 4 13 8 9 12",
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
    """Render an HTML page from the template with this name, and return it as a response.

    Templates extend ``base.html``. Besides ``context`` they get ``identity``: the sender of the
    request, or None.
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
    """Return the Jinja environment for all templates, with their filters and functions."""
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
    """Replace characters that are invisible or reorder text by escapes; return others unchanged."""
    if isinstance(value, Markup) or not isinstance(value, str) or value.isprintable():
        return value
    return clean(value)


@cache
def icon(name: str, size: int = 16) -> Markup:
    """Return an icon as SVG. It is hidden from screen readers, because text is beside it."""
    box = str(size)
    line = tag("path", d=(ICON_PATHS | _ICON_PATHS)[name], class_="line")
    svg = tag(
        "svg", line, class_="icon", width=box, height=box, viewBox="0 0 16 16", aria_hidden="true"
    )
    return Markup(write(svg))  # noqa: S704  # made of constants only


async def static(request: Request) -> Response:
    """Return a static file, such as a style sheet, as a response."""
    name = request.path_params["name"]
    if name not in _MEDIA_TYPES:
        return PlainTextResponse("there is no such file\n", 404)
    return Response(_content(name), headers=_CACHED, media_type=_MEDIA_TYPES[name])


@cache
def static_address(name: str) -> str:
    """Return the URL of a static file with a digest of the file, so that caches aren't stale."""
    return f"/static/{name}?{hashlib.sha256(_content(name)).hexdigest()[:12]}"


@cache
def _content(name: str) -> bytes:
    data = files("certpin_watch.html").joinpath("static", name).read_bytes()
    if name == "watch.css":  # pages draw chains as the lab's report does
        data += chain_style().encode()
    return data
