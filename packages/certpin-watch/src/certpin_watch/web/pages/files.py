"""The files that pages need: style, scripts, icon. Their addresses change when they do."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse, Response

from certpin.lab.report.picture import chain_style

if TYPE_CHECKING:
    from starlette.requests import Request

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
    data = files("certpin_watch.web").joinpath("static", name).read_bytes()
    if name == "watch.css":  # chains are drawn as on the lab's page
        data += chain_style().encode()
    return data
