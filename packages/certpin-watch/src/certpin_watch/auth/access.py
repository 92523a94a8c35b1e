"""Check each request for pages, API and metrics. Reports and health checks are not checked here.

The service checks these things in order:

1. The origin: the client's address, and the scheme and host of the browser's address bar.
2. The identity of the sender: a program with a token, a user with a session, a local user of a
   service that needs no login, or anonymous.
3. CSRF: if a request changes something, the browser must prove that a page of the service sent it.
4. The requirement of the route, such as a scope. The route declares it with ``require``.

If a route declares no requirement, the service doesn't start. As a second protection, a response is
discarded if no requirement was checked for it. Every response gets the security headers.
"""

from __future__ import annotations

import inspect
import logging
from dataclasses import replace
from functools import wraps
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from anyio import to_thread
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount

from certpin.errors import ConfigError, StoreError
from certpin_watch.addresses import Origin, host_of, local_path, origin_of
from certpin_watch.auth import sessions
from certpin_watch.auth.identity import (
    Identity,
    RefusedToken,
    auth_state,
    authenticate,
    may_be_open,
)
from certpin_watch.html import render
from certpin_watch.permissions import REQUIREMENTS, WORKER_PATHS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from certpin_watch.context import Watch
    from certpin_watch.settings import ServiceSettings

    Endpoint = Callable[[Request], Any]

LOGIN_PAGE = "/login"
OPENID_LOGIN = "/login/openid"
CHECKED = "certpin_checked"  # in the state of a request: its requirement was checked
_REQUIREMENT = "certpin_requirement"

_BODY_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_BODY_PROBLEMS = {
    HTTPStatus.BAD_REQUEST: "The form is incomplete, so nothing was changed. Send it again.",
    HTTPStatus.REQUEST_TIMEOUT: "The form did not arrive in time. Send it again.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The form is too long.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "Send it as application/x-www-form-urlencoded.",
}

# Scripts, styles, pictures and requests: only files of this service. Nothing inline, no frames, no
# <base>. A login with OpenID Connect begins with a link instead of a form, because browsers apply
# `form-action` to redirects after a form, too: so it needs no exception for the provider.
POLICY = (
    "default-src 'none'; "
    "script-src 'self'; "
    "style-src 'self'; "
    "img-src 'self'; "
    "font-src 'self'; "
    "connect-src 'self'; "
    "manifest-src 'self'; "
    "form-action 'self'; "
    "frame-ancestors 'none'; "
    "base-uri 'none'; "
    # Text becomes elements or scripts only through the one policy of watch.js.
    "require-trusted-types-for 'script'; "
    "trusted-types default"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",  # for browsers without frame-ancestors
    # Other sites get no Referer. With "no-referrer", browsers would send the service's own forms
    # with the Origin "null" (Fetch, "append a request Origin header").
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
# Two years. Without includeSubDomains: the owners of other names decide for themselves.
_HSTS = "max-age=63072000"

_log = logging.getLogger("certpin.watch.access")


class AccessMiddleware:
    """Wraps the service's application: identifies the sender of each request, or refuses it.

    Three fields of ``request.state`` are set: ``identity``, the sender; ``origin``, the addresses
    of the client and of the service as the browser knows it; and ``no_receivers``, True if pages
    warn that no notification service receives alerts.
    """

    def __init__(self, app: ASGIApp, watch: Watch, routes: Iterable[BaseRoute] = ()) -> None:
        """Wrap an ASGI application.

        Args:
            app: the application that gets the requests.
            watch: the settings, the store and the clock.
            routes: the routes of the application, to check them.

        Raises:
            ConfigError: a route declares no requirement (``require``).
        """
        check_routes(routes)
        self._app = app
        self._watch = watch
        self._state = auth_state(watch)
        self._hosts = _hosts(watch.settings)
        self._proxies = watch.settings.access.believed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check an HTTP request, and pass it on to the application; refuse websockets."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._serve(dict(scope), receive, send)
        else:  # no page uses a websocket, and these checks would not apply to it
            await send({"type": "websocket.close", "code": 1008})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        settings = self._watch.settings
        origin = origin_of(scope, self._proxies)
        scope["state"] = {
            **scope.get("state", {}),
            "origin": origin,
            "no_receivers": not settings.alerts.tell,
            CHECKED: False,
        }
        answer = _Answer(scope, origin, send)
        try:
            rebound = await self._is_rebound(origin)
            refused: Response | None = _LOOPBACK_ONLY if rebound else None
            if refused is None:
                refused, receive = await self._refusal(scope, receive, origin, answer)
        except StoreError:
            refused = _store_unavailable(Request(scope))
        if refused is not None:
            scope["state"][CHECKED] = True
            await refused(scope, receive, answer)
            return
        await self._app(scope, receive, answer)

    async def _refusal(
        self, scope: Scope, receive: Receive, origin: Origin, answer: _Answer
    ) -> tuple[Response | None, Receive]:
        """Identify the sender of a request, and check its host name and CSRF token.

        ``origin`` has the addresses of the client and of the service. ``answer`` sends the
        response, and gives the identity a CSRF token.

        Returns:
            A pair. First, the response that refuses the request, or None if the request is passed
            on. Second, the ASGI ``receive`` for the application: if the body was read for the CSRF
            token, this function returns it again.
        """
        request = Request(scope)
        now = self._watch.clock()
        headers = Headers(scope=scope)
        found = await to_thread.run_sync(authenticate, self._state, headers, origin, now)
        if isinstance(found, RefusedToken):
            return _token_refused(request, found), receive
        if found.kind != "token" and self._is_unknown(origin):
            return _UNKNOWN_HOST, receive
        identity = answer.with_csrf_token(request, found)
        scope["state"]["identity"] = identity
        if scope["method"] in sessions.SAFE_METHODS or scope["path"] in WORKER_PATHS:
            return None, receive
        if scope["method"] not in _BODY_METHODS:
            return problem(request, 405, "Unknown method", "No page has this method."), receive
        body, receive = await sessions.read_body(receive, headers.get("content-type", ""))
        if isinstance(body, HTTPStatus):
            return problem(request, body, body.phrase, _BODY_PROBLEMS[body]), receive
        forged = identity.kind != "token" and sessions.is_forged(
            headers, body, origin.url, identity.csrf
        )
        return _forged(request) if forged else None, receive

    def _is_unknown(self, origin: Origin) -> bool:
        """Return True if a request must be refused because its host name isn't in the settings.

        ``origin`` has the host name and the client's address. If the settings have no host names,
        every name is accepted. Requests from this machine to ``localhost`` or a loopback IP are
        always accepted.

        Don't call this for programs with a token. They can request any name, because they have no
        cookies and follow no links. Prometheus, for example, requests each process by its address.
        """
        known = self._hosts
        return bool(known) and not origin.is_local and host_of(origin.host) not in known

    async def _is_rebound(self, origin: Origin) -> bool:
        """Return True if a request can be an attack by DNS rebinding.

        In this attack, the host name of an attacker's page resolves to this machine, so that the
        page can send requests to the service. The attack can succeed only while the service needs
        no login; with a login, return False. Without one, return True if the request comes from
        another machine, or is for a host other than ``localhost`` or a loopback address. ``origin``
        has that host, and the client's address.
        """
        if origin.is_local or not may_be_open(self._watch.settings):
            return False
        return await to_thread.run_sync(self._state.is_open)


class _Answer:
    """An ASGI ``send`` function that adds security headers to the response that it sends.

    If the route has declared no requirement (``require``), its response is discarded, because the
    access to it was not checked.
    """

    def __init__(self, scope: Scope, origin: Origin, send: Send) -> None:
        self._scope = scope
        self._origin = origin
        self._send = send
        self._form_secret = ""
        self._discarded = False

    def with_csrf_token(self, request: Request, identity: Identity) -> Identity:
        """Return the identity with a CSRF token, which forms on the page will contain.

        An identity that has a CSRF token already (from a session), and a program with a token of
        the service, are returned unchanged. For all others, the CSRF token is derived from a
        cookie. If the browser doesn't have this cookie, the response to a GET request sets it,
        if it is a page.
        """
        if identity.csrf or identity.kind == "token":
            return identity
        secret = sessions.get_cookie(request.headers, sessions.FORM_COOKIE, self._origin)
        if not secret:
            secret = sessions.new_secret()
            # A request that changes something can't get its token from its own response.
            self._form_secret = secret if request.method in sessions.SAFE_METHODS else ""
        return replace(identity, csrf=sessions.csrf_token(secret))

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if self._is_unchecked(message["status"]):
                await self._discard()
                return
            headers = MutableHeaders(raw=list(message["headers"]))
            _add_headers(headers, self._origin)
            if self._form_secret and headers.get("content-type", "").startswith("text/html"):
                sessions.set_cookie(headers, sessions.FORM_COOKIE, self._form_secret, self._origin)
            message = {**message, "headers": headers.raw}
        if not self._discarded:
            await self._send(message)

    def _is_unchecked(self, status: int) -> bool:
        """Return True if the response must be discarded, because a requirement was not checked.

        This is the requirement that the route declares with ``require``. Responses with an error
        ``status`` such as 404 need no check, because they also occur for paths without a route.
        """
        if self._scope["state"].get(CHECKED) or self._discarded:
            return False
        return status < 400 if "endpoint" in self._scope else status < 300

    async def _discard(self) -> None:
        self._discarded = True
        _log.error("discarded the response of a route that declares no requirement")
        refused = PlainTextResponse("This route declares no requirement.\n", 403)
        headers = MutableHeaders(raw=list(refused.raw_headers))
        _add_headers(headers, self._origin)
        await self._send({"type": "http.response.start", "status": 403, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": refused.body})


def _add_headers(headers: MutableHeaders, origin: Origin) -> None:
    """Add the security headers to a response, such as ``Content-Security-Policy``.

    HTML pages, and responses without a ``Cache-Control`` header, also get ``Cache-Control:
    no-store``. If ``origin`` shows that the browser used TLS, the response also gets
    ``Strict-Transport-Security``.
    """
    for name, value in _HEADERS.items():
        headers[name] = value
    if origin.is_secure:
        headers["Strict-Transport-Security"] = _HSTS
    if "cache-control" not in headers or headers.get("content-type", "").startswith("text/html"):
        headers["Cache-Control"] = "no-store"


def _forged(request: Request) -> Response:
    return problem(
        request,
        403,
        "This did not come from a page of this service",
        "Nothing was changed. Reload the page, and send the form again. Programs send a token "
        "(Authorization: Bearer).",
    )


def _token_refused(request: Request, refused: RefusedToken) -> Response:
    answer = problem(request, refused.status, "This token gives no access", refused.why)
    answer.headers["WWW-Authenticate"] = 'Bearer realm="certpin", error="invalid_token"'
    if refused.wait:
        answer.headers["Retry-After"] = str(refused.wait)
    return answer


def _store_unavailable(request: Request) -> Response:
    answer = problem(
        request, 503, "The database is unavailable", "No login can be checked. Try again soon."
    )
    answer.headers["Retry-After"] = "5"
    return answer


def _hosts(settings: ServiceSettings) -> frozenset[str]:
    """Return the host names in the settings, under which browsers can request pages.

    The result is empty if the settings have no public address. Then every name is accepted.
    """
    name = urlsplit(settings.public_url).hostname or ""
    return settings.access.hosts | {name.lower()} if name else frozenset()


# RFC 9110, 15.5.20. Otherwise a name that an attacker chose would be in links and origins.
_UNKNOWN_HOST = PlainTextResponse(
    "This service is not known under that name.\n"
    "fix: request the host of public_url, or add the name to access.hosts in watch.toml.\n",
    421,
)
_LOOPBACK_ONLY = PlainTextResponse(
    "This service answers only this machine, as localhost or 127.0.0.1.\n"
    "fix: to reach it from elsewhere, certpin watch user add, and set public_url or listen.\n",
    421,
)


def require(requirement: str) -> Callable[[Endpoint], Endpoint]:
    """Decorate an endpoint function: it then serves only requests that meet a requirement.

    Args:
        requirement: which senders are permitted: ``anyone``, ``signed-in`` (any user), ``worker``
            (a token for a location), or a scope that the sender must have.

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


def requirement_of(route: BaseRoute) -> str | None:
    """Return the requirement that a route declares with ``require``, such as a scope.

    Return None if it declares none.
    """
    declared = getattr(getattr(route, "endpoint", None), _REQUIREMENT, None)
    return declared if isinstance(declared, str) else None


def every_route(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    """Yield all routes that must declare a requirement (with ``require``).

    A mount is replaced by the routes inside it. A mount without routes, such as a mounted
    application, is yielded itself. It can't declare a requirement, so ``check_routes`` refuses it.
    """
    for route in routes:
        if isinstance(route, Mount) and route.routes:
            yield from every_route(route.routes)
        else:
            yield route


def check_routes(routes: Iterable[BaseRoute]) -> None:
    """Check that each route declares with ``require`` which senders are permitted to request it.

    Raises:
        ConfigError: a route declares no requirement.
    """
    wrong = [repr(route) for route in every_route(routes) if requirement_of(route) is None]
    if wrong:
        raise ConfigError(
            f"no requirement is declared for {', '.join(wrong)}",
            fix="put @require(…) before the endpoint",
        )


def problem(request: Request, status: int, title: str, detail: str) -> Response:
    """Return an error response: a page for browsers, problem details (RFC 9457) for programs.

    Args:
        request: the refused request. No part of it is in the response.
        status: the HTTP status.
        title: a short sentence.
        detail: one or two sentences that explain the error.
    """
    if wants_page(request):
        return render(request, "access/refused.html", status, title=title, detail=detail)
    return JSONResponse(
        {"title": title, "status": status, "detail": detail},
        status,
        media_type="application/problem+json",
    )


def wants_page(request: Request) -> bool:
    """Return True if a request accepts HTML, as the requests of browsers for pages do.

    Other senders count as programs: they get errors as JSON, and are not redirected to the login.
    """
    return "text/html" in request.headers.get("accept", "")


def _check(request: Request, requirement: str) -> Response | None:
    """Check the sender of a request. Return None if the sender meets the requirement of the route.

    Otherwise return a response that refuses the request. The request is also refused if
    ``AccessMiddleware`` has not identified the sender. ``requirement`` is, for example, a scope.
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
    """Return the response to a request that needs a login.

    A browser that requests a page, or a part of one, is redirected. All other requests, such as
    those of programs and submitted forms, get an error.

    Args:
        request: the request.
        recheck: True if the user has a session that the OpenID provider must confirm. Then the
            browser is redirected to the provider, else to the login page.
    """
    if request.headers.get("hx-request") == "true":
        # Part of a page was requested: htmx then loads this address in the whole window.
        current = _split(request.headers.get("hx-current-url", ""))
        address = _login_address(*current, recheck=recheck)
        return Response(status_code=401, headers={"HX-Redirect": address})
    if wants_page(request) and request.method in {"GET", "HEAD"}:
        address = _login_address(request.url.path, request.url.query, recheck=recheck)
        return RedirectResponse(address, 303)
    title, why = "Sign in first", "Sign in, or send a token (Bearer)."
    if recheck:
        title = "The OpenID provider must confirm your session first"
        why = "Nothing was changed. Reload the page, and send the form again."
    answer = problem(request, 401, title, why)
    answer.headers["WWW-Authenticate"] = 'Bearer realm="certpin"'
    return answer


def _split(address: str) -> tuple[str, str]:
    """Split the URL of a page into its path and query; ``("/", "")`` if the URL is invalid.

    ``address`` is the URL that htmx, the JavaScript library of the pages, sends in the header
    ``HX-Current-URL``.
    """
    try:
        parts = urlsplit(address)
    except ValueError:
        return "/", ""
    return parts.path, parts.query


def _login_address(path: str, query: str, *, recheck: bool) -> str:
    """Return the address to which a browser is redirected for a login.

    After the login, the browser returns to the page with this path and query.

    Args:
        path: the path of the requested page.
        query: the query of the requested page.
        recheck: True to return the address that asks the OpenID provider to confirm the user, False
            for the login page.
    """
    back = quote(local_path(path + (f"?{query}" if query else "")), safe="/")
    return f"{OPENID_LOGIN}?again=1&next={back}" if recheck else f"{LOGIN_PAGE}?next={back}"
