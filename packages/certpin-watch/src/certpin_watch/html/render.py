"""Render HTML pages from templates, and serve the files that they need.

Two layers protect a page from hostile text. Characters that are invisible or change the direction
of text are written as escapes, then Jinja escapes the characters of HTML. A template that uses a
name that was not passed raises an error.
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
from certpin_watch.html import words

if TYPE_CHECKING:
    from starlette.requests import Request


# Whose templates are looked for, in this order. A part with pages of its own is one line here.
_TEMPLATES = ("certpin_watch.html",)


def render(request: Request, name: str, status: int = 200, /, **context: Any) -> HTMLResponse:
    """The page. Templates extend ``base.html``; ``visitor`` is who looks at it, or ``None``."""
    page = environment().get_template(name)
    text = page.render(
        visitor=getattr(request.state, "visitor", None),
        path=request.url.path,
        nobody_told=getattr(request.state, "nobody_told", False),
        version=__version__,
        **context,
    )
    return HTMLResponse(text, status, headers={"Cache-Control": "no-store"})


@cache
def environment() -> Environment:
    """The templates, and what they may call."""
    made = Environment(
        loader=FileSystemLoader([str(files(each).joinpath("templates")) for each in _TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=-1,
    )
    made.globals |= {"icon": icon, "static": address}
    made.filters |= words.FILTERS
    return made


def _shown(value: object) -> object:
    """What is put into a page. Most texts are printable as they are, which is quick to see."""
    if isinstance(value, Markup) or not isinstance(value, str) or value.isprintable():
        return value
    return clean(value)


# Lines in a square of 16 by 16, beside those of the lab's report.
_MORE = {
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


@cache
def icon(name: str, size: int = 16) -> Markup:
    """A picture; hidden from screen readers, which have the words."""
    box = str(size)
    line = tag("path", d=(ICON_PATHS | _MORE)[name], class_="line")
    drawn = tag(
        "svg", line, class_="icon", width=box, height=box, viewBox="0 0 16 16", aria_hidden="true"
    )
    return Markup(write(drawn))  # noqa: S704  # made of constants alone


# Nothing else in the folder is served, whatever somebody asks for.
_KINDS = {
    "htmx.min.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "watch.css": "text/css; charset=utf-8",
    "watch.js": "text/javascript; charset=utf-8",
}
# A new version has a new address, so that browsers may keep this one for ever.
_KEPT = {"Cache-Control": "public, max-age=31536000, immutable"}


async def static(request: Request) -> Response:
    """One of the files."""
    name = request.path_params["name"]
    if name not in _KINDS:
        return PlainTextResponse("there is no such file\n", 404)
    return Response(_content(name), headers=_KEPT, media_type=_KINDS[name])


@cache
def address(name: str) -> str:
    """Where a page finds a file."""
    return f"/static/{name}?{hashlib.sha256(_content(name)).hexdigest()[:12]}"


@cache
def _content(name: str) -> bytes:
    data = files("certpin_watch.html").joinpath("static", name).read_bytes()
    if name == "watch.css":  # chains are drawn as on the lab's page
        data += chain_style().encode()
    return data
