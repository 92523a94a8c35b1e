"""How somebody is turned away: a page for people, problem details (RFC 9457) for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from starlette.responses import JSONResponse, RedirectResponse, Response

if TYPE_CHECKING:
    from starlette.requests import Request

    from certpin_watch.auth.visitor import Visitor

LOGIN_PAGE = "/login"
OPENID = "/login/openid"


def refuse(request: Request, visitor: Visitor, requirement: str) -> Response:
    """Not signed in: go there. Signed in, and not allowed to: 403."""
    if visitor.kind == "nobody":
        return _to_login(request, again=visitor.recheck)
    return problem(request, 403, "This is not for you", f"It needs {requirement}.")


def problem(request: Request, status: int, title: str, detail: str) -> Response:
    """What went wrong, as whoever asks can read it. Nothing of the request is in it."""
    if wants_page(request):
        from certpin_watch.html.render import render

        return render(request, "access/refused.html", status, title=title, detail=detail)
    return JSONResponse(
        {"title": title, "status": status, "detail": detail},
        status,
        media_type="application/problem+json",
    )


def wants_page(request: Request) -> bool:
    """Whether a browser will show the answer."""
    return "text/html" in request.headers.get("accept", "")


def local_path(text: str) -> str:
    """A path of this watch, for after the sign-in; ``/`` for whatever leads elsewhere.

    Browsers read a backslash as a slash, two slashes as a host, and drop tabs and line ends.
    """
    fine = text.startswith("/") and text[1:2] not in {"/", "\\"} and "\\" not in text
    return text if fine and text.isascii() and text.isprintable() and len(text) < 1000 else "/"


def _to_login(request: Request, *, again: bool) -> Response:
    """``again``: the provider may know them still, and need nothing of them to say so."""
    if request.headers.get("hx-request") == "true":
        # A part of a page was asked for: htmx follows this with the whole window.
        there = _sign_in(*_shown(request.headers.get("hx-current-url", "")), again=again)
        return Response(status_code=401, headers={"HX-Redirect": there})
    if wants_page(request) and request.method in {"GET", "HEAD"}:
        return RedirectResponse(_sign_in(request.url.path, request.url.query, again=again), 303)
    answer = problem(request, 401, "Who are you?", "Sign in, or send a token (Bearer).")
    answer.headers["WWW-Authenticate"] = 'Bearer realm="certpin"'
    return answer


def _shown(address: str) -> tuple[str, str]:
    """Path and query of the page in the window, as htmx tells it."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "/", ""
    return parts.path, parts.query


def _sign_in(path: str, query: str, *, again: bool) -> str:
    """Where to sign in, to come back to this page."""
    back = quote(local_path(path + (f"?{query}" if query else "")), safe="/")
    return f"{OPENID}?again=1&next={back}" if again else f"{LOGIN_PAGE}?next={back}"
