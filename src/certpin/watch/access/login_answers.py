"""What the pages of signing in answer: the form, and the way in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import RedirectResponse

from certpin.watch.access import cookies
from certpin.watch.access.refusal import OPENID
from certpin.watch.web.pages.render import render

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from certpin.watch.watch import Watch


def come_in(watch: Watch, request: Request, secret: str, after: str) -> Response:
    """Give a browser its session, and take the cookie of the way there."""
    answer, origin = RedirectResponse(after, 303), request.state.origin
    seconds = watch.settings.access.session_seconds
    cookies.put(answer.headers, cookies.SESSION, secret, origin, seconds)
    if cookies.get(request.headers, cookies.LOGIN, origin):
        cookies.put(answer.headers, cookies.LOGIN, "", origin)
    return answer


def form(
    watch: Watch,
    request: Request,
    after: str,
    status: int = 200,
    *,
    error: str = "",
    name: str = "",
) -> Response:
    """The page where people sign in, with what went wrong."""
    oidc = watch.settings.access.oidc
    return render(
        request,
        "access/login.html",
        status,
        after=after,
        error=error,
        name=name[:80],
        provider=oidc.name if oidc else "",
        provider_path=OPENID,
    )
