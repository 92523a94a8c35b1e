"""The middleware that checks requests for pages, API and metrics (not reports or health checks).

A request passes these steps in order:

1. The origin: the client's address, and the scheme and host of the browser's address bar.
2. The identity: a token, a session, this machine's only user, or none.
3. If it changes something, the browser must prove that a page of the service sent it.
4. The requirement of its route (``require``). If a route has none, its response is discarded.

Every response gets the security headers.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from anyio import to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from certpin.errors import StoreError
from certpin_watch.auth import sessions
from certpin_watch.auth.identity import RefusedToken, authenticate
from certpin_watch.auth.require import CHECKED, check_routes, problem
from certpin_watch.auth.state import auth_state, may_be_open
from certpin_watch.origin import Origin, host_of, origin_of
from certpin_watch.permissions import WORKER_PATHS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from certpin_watch.auth.identity import Identity
    from certpin_watch.context import Watch
    from certpin_watch.settings import ServiceSettings

MAX_BODY = 64 * 1024  # bytes
_BODY_SECONDS = 10.0  # until a body must be complete
_MAX_FIELDS = 100
_BODY_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_BODY_TYPES = {"", "application/x-www-form-urlencoded"}
_BODY_PROBLEMS = {
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
    """Sets the ``Identity`` of each request, and refuses requests without access.

    It sets these fields of ``request.state``: ``identity``; ``origin``; and
    ``no_receivers``, True if pages warn that no notification service receives alerts.
    """

    def __init__(self, app: ASGIApp, watch: Watch, routes: Iterable[BaseRoute] = ()) -> None:
        """Wrap an application. Raises ``ConfigError`` if a route declares no requirement."""
        check_routes(routes)
        self._app = app
        self._watch = watch
        self._state = auth_state(watch)
        self._hosts = _hosts(watch.settings)

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
        origin = origin_of(scope, settings.access.believed)
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

        The body is read for the CSRF token, so the returned ``receive`` returns it again.

        Returns:
            The response that refuses the request, or None if it is passed on; and ``receive``.
        """
        request = Request(scope)
        now = self._watch.clock()
        headers = Headers(scope=scope)
        found = await to_thread.run_sync(
            authenticate, self._state, headers, origin, now, scope["method"]
        )
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
        body, receive = await read_body(receive, headers.get("content-type", ""))
        if isinstance(body, HTTPStatus):
            return problem(request, body, body.phrase, _BODY_PROBLEMS[body]), receive
        forged = identity.kind != "token" and _is_forged(request, body, identity)
        return _forged(request) if forged else None, receive

    def _is_unknown(self, origin: Origin) -> bool:
        """Return True if the request names a host that isn't in the settings.

        Programs with a token may use any name, because they have no cookies and follow no links.
        Prometheus requests each process by its address.
        """
        known = self._hosts
        return bool(known) and not origin.is_local and host_of(origin.host) not in known

    async def _is_rebound(self, origin: Origin) -> bool:
        """Return True if a request is likely an attack by DNS rebinding.

        That is so if the service needs no login, and the request does not come from this machine to
        a name of the loopback.
        """
        if origin.is_local or not may_be_open(self._watch.settings):
            return False
        return await to_thread.run_sync(self._state.is_open)


class _Answer:
    """An ASGI ``send`` that adds security headers to responses.

    It discards the response of a route whose requirement was not checked, because the route has
    none.
    """

    def __init__(self, scope: Scope, origin: Origin, send: Send) -> None:
        self._scope = scope
        self._origin = origin
        self._send = send
        self._form_secret = ""
        self._discarded = False

    def with_csrf_token(self, request: Request, identity: Identity) -> Identity:
        """Return the identity with a CSRF token for the forms on pages.

        It is derived from a cookie. If the browser has none, the response sets one, if that is a
        page.
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
        """Return True if a route without a requirement responded; a 404 may have no route."""
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


async def read_body(
    receive: Receive, content_type: str = "", seconds: float = _BODY_SECONDS
) -> tuple[bytes | HTTPStatus, Receive]:
    """Read a request's body with a limit for its size and time.

    No page reads a body that was not limited here. Starlette would write a multipart form to the
    disk without a limit, and decode it with the character set that it names: some of Python's fail,
    and some produce lone surrogates. A body that never arrives would occupy one of the server's
    connections, which reports need too.

    Args:
        receive: the request's ASGI ``receive``.
        content_type: the Content-Type of the body.
        seconds: the time within which the body must be complete.

    Returns:
        The body, or the HTTP status to refuse it with; and a ``receive`` that returns the body
            again.
    """
    try:
        async with asyncio.timeout(seconds):
            body = await _read(receive)
    except TimeoutError:
        return HTTPStatus.REQUEST_TIMEOUT, receive
    if body is None:
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, receive
    if body and content_type.partition(";")[0].strip().lower() not in _BODY_TYPES:
        return HTTPStatus.UNSUPPORTED_MEDIA_TYPE, receive
    return body, _again(body, receive)


async def _read(receive: Receive) -> bytes | None:
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b""
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            return None
        if not message.get("more_body"):
            return body


def _again(body: bytes, receive: Receive) -> Receive:
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay


def _is_forged(request: Request, body: bytes, identity: Identity) -> bool:
    """Return True if another site may have caused the request (CSRF; see ``sessions``)."""
    origin: Origin = request.state.origin
    if not sessions.is_same_origin(request.headers, origin.url):
        return True
    received = request.headers.get(sessions.CSRF_HEADER)
    if received is None:
        received = _field(body, sessions.CSRF_FIELD)
    return not sessions.is_csrf_token(identity.csrf, received)


def _field(body: bytes, name: str) -> str:
    """Return the value of a form field; empty if the field is missing or repeated."""
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=_MAX_FIELDS)
    except ValueError:
        return ""
    values = fields.get(name, [])
    return values[0] if len(values) == 1 else ""


def _add_headers(headers: MutableHeaders, origin: Origin) -> None:
    """Add the security headers to a response. Pages can't set their own Cache-Control."""
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
    """Return the host names that browsers may request; empty if any name is accepted."""
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
