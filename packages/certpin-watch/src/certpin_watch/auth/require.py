"""Requirements of routes, and the responses to requests that don't meet them.

Every route declares a requirement. If one doesn't, the service doesn't start.
"""

from __future__ import annotations

import inspect
from functools import wraps
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount

from certpin.errors import ConfigError
from certpin_watch.auth.identity import Identity
from certpin_watch.html.render import render
from certpin_watch.origin import local_path
from certpin_watch.permissions import REQUIREMENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from starlette.types import ASGIApp, Receive, Scope, Send

    Endpoint = Callable[[Request], Any]

LOGIN_PAGE = "/login"
OPENID_LOGIN = "/login/openid"
CHECKED = "certpin_checked"  # in the state of a request: its requirement was checked
_REQUIREMENT = "certpin_requirement"


def require(requirement: str) -> Callable[[Endpoint], Endpoint]:
    """Decorate an endpoint function so that it serves only requests that meet a requirement.

    Args:
        requirement: ``anyone``, ``signed-in``, a scope, or ``worker``.

    Raises:
        ConfigError: there is no such requirement.
    """
    _check_requirement(requirement)

    def decorate(endpoint: Endpoint) -> Endpoint:
        @wraps(endpoint)
        async def guarded(request: Request) -> Response:
            if (refused := _check(request, requirement)) is not None:
                return refused
            answer: Response = await (
                endpoint(request)
                if inspect.iscoroutinefunction(endpoint)
                else run_in_threadpool(endpoint, request)
            )
            return answer

        setattr(guarded, _REQUIREMENT, requirement)
        return guarded

    return decorate


class Guarded:
    """Wraps an ASGI application, such as static files, and refuses requests without permission.

    Use it for applications as you use ``require`` for endpoint functions.
    """

    def __init__(self, app: ASGIApp, requirement: str) -> None:
        _check_requirement(requirement)
        self._app = app
        setattr(self, _REQUIREMENT, requirement)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to the application if it meets the requirement, else refuse it."""
        refused = _check(Request(scope), getattr(self, _REQUIREMENT))
        await (refused or self._app)(scope, receive, send)


def requirement_of(route: BaseRoute) -> str | None:
    """Return the requirement of a route; None if it declares none."""
    for target in (getattr(route, "endpoint", None), getattr(route, "app", None)):
        if isinstance(declared := getattr(target, _REQUIREMENT, None), str):
            return declared
    return None


def every_route(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    """Yield all routes that must declare a requirement.

    A mount without a requirement is replaced by the routes inside it.
    """
    for route in routes:
        inner = route.routes if isinstance(route, Mount) else None
        if inner and requirement_of(route) is None:
            yield from every_route(inner)
        else:
            yield route


def check_routes(routes: Iterable[BaseRoute]) -> None:
    """Check that each route declares its requirement. Raises ``ConfigError``."""
    wrong = [repr(route) for route in every_route(routes) if requirement_of(route) is None]
    if wrong:
        raise ConfigError(
            f"no requirement is declared for {', '.join(wrong)}",
            fix="put @require(…) before the endpoint",
        )


def problem(request: Request, status: int, title: str, detail: str) -> Response:
    """Return an error as a page for browsers, as problem details (RFC 9457) for programs.

    Args:
        request: the refused request. No part of it is in the response.
        status: the HTTP status.
        title: a short sentence.
        detail: one or two sentences that explain it.
    """
    if wants_page(request):
        return render(request, "access/refused.html", status, title=title, detail=detail)
    return JSONResponse(
        {"title": title, "status": status, "detail": detail},
        status,
        media_type="application/problem+json",
    )


def wants_page(request: Request) -> bool:
    """Return True if a request prefers HTML, because a browser displays the response."""
    return "text/html" in request.headers.get("accept", "")


def _check(request: Request, requirement: str) -> Response | None:
    """Return a response that refuses the request, or None if it meets the requirement.

    A request without an identity meets no requirement.
    """
    request.scope.setdefault("state", {})[CHECKED] = True
    found = getattr(request.state, "identity", None)
    identity = found if isinstance(found, Identity) else None
    if identity is not None and identity.may(requirement):
        return None
    if identity is None or identity.kind == "anonymous":
        return _to_login(request, recheck=identity is not None and identity.recheck)
    return problem(request, 403, "You have no access to this", f"It requires {requirement}.")


def _check_requirement(requirement: str) -> None:
    if requirement not in REQUIREMENTS:
        raise ConfigError(
            f"there is no requirement {requirement[:80]!r}",
            fix=f"use one of {', '.join(REQUIREMENTS)}",
        )


def _to_login(request: Request, *, recheck: bool) -> Response:
    """Redirect a browser to the login, or with ``recheck`` to the provider; refuse a program."""
    if request.headers.get("hx-request") == "true":
        # Part of a page was requested: htmx then loads this address in the whole window.
        current = _split(request.headers.get("hx-current-url", ""))
        address = _login_address(*current, recheck=recheck)
        return Response(status_code=401, headers={"HX-Redirect": address})
    if wants_page(request) and request.method in {"GET", "HEAD"}:
        address = _login_address(request.url.path, request.url.query, recheck=recheck)
        return RedirectResponse(address, 303)
    answer = problem(request, 401, "Sign in first", "Sign in, or send a token (Bearer).")
    answer.headers["WWW-Authenticate"] = 'Bearer realm="certpin"'
    return answer


def _split(address: str) -> tuple[str, str]:
    """Return the path and the query of a page's URL, as htmx sends it in ``HX-Current-URL``."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "/", ""
    return parts.path, parts.query


def _login_address(path: str, query: str, *, recheck: bool) -> str:
    """Return the address of the login page, which redirects to the given page afterwards."""
    back = quote(local_path(path + (f"?{query}" if query else "")), safe="/")
    return f"{OPENID_LOGIN}?again=1&next={back}" if recheck else f"{LOGIN_PAGE}?next={back}"
