"""A page from its template.

Whatever enters a page is escaped twice over: what an eye cannot see or a line would act on (bidi,
control characters) is written out, then HTML's own characters are. A name that a template uses and
nobody gave is an error, not an empty place.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from certpin.support.escaping import clean
from certpin_watch._version import __version__
from certpin_watch.web.pages import words
from certpin_watch.web.pages.files import address
from certpin_watch.web.pages.icons import icon

if TYPE_CHECKING:
    from starlette.requests import Request

# Whose templates are looked for, in this order. A part with pages of its own is one line here.
_TEMPLATES = ("certpin_watch.web.pages", "certpin_watch.auth")


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
