"""The way in: who asks, may their browser have meant it, and what is every answer told?

It stands before everything but the collector. A request passes it in this order:

1. Where does it come from, and under which name did it reach the watch?
2. Who is it: a token, a session, this machine's only user, or nobody?
3. Does it change something? Then the browser has to prove that a page of the watch sent it.
4. The route's own requirement (``require``). An answer that no requirement was asked for is thrown
   away.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from anyio import to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from certpin.errors import StoreError
from certpin_watch.auth import cookies, csrf, forms
from certpin_watch.auth.authenticate import Refused, authenticate
from certpin_watch.auth.door import door_of, may_be_open
from certpin_watch.auth.headers import secure
from certpin_watch.auth.origin import Origin, host_of, origin_of
from certpin_watch.auth.refusal import problem
from certpin_watch.auth.require import JUDGED, refuse_undeclared
from certpin_watch.auth.roles import WORKER_PATHS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from certpin_watch.auth.visitor import Visitor
    from certpin_watch.settings import ServiceSettings
    from certpin_watch.snapshot import Watch

_log = logging.getLogger("certpin.watch.access")


class AccessMiddleware:
    """Puts a ``Visitor`` into ``request.state.visitor``, and turns away who may not come in.

    Raises ``ConfigError`` if one of the routes does not say whom it lets in.
    """

    def __init__(self, app: ASGIApp, watch: Watch, routes: Iterable[BaseRoute] = ()) -> None:
        refuse_undeclared(routes)
        self._app = app
        self._watch = watch
        self._door = door_of(watch)
        self._hosts = _hosts(watch.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; websockets are refused."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._serve(dict(scope), receive, send)
        else:  # no page has a websocket, and none of this would look at one
            await send({"type": "websocket.close", "code": 1008})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = origin_of(scope, self._watch.settings)
        nobody_told = not self._watch.settings.alerts.tell
        scope["state"] = {**scope.get("state", {}), "origin": origin, JUDGED: False}
        scope["state"]["nobody_told"] = nobody_told  # every page says so
        answer = _Answer(scope, origin, send)
        try:
            refused = _misdirected() if await self._is_rebound(origin) else None
            if refused is None:
                refused, receive = await self._refusal(scope, receive, origin, answer)
        except StoreError:
            refused = _nobody_can_tell(Request(scope))
        if refused is not None:
            scope["state"][JUDGED] = True
            await refused(scope, receive, answer)
            return
        await self._app(scope, receive, answer)

    async def _refusal(
        self, scope: Scope, receive: Receive, origin: Origin, answer: _Answer
    ) -> tuple[Response | None, Receive]:
        """Why the request gets no further, or ``None``; and its body once more."""
        request = Request(scope)
        now = self._watch.clock()
        headers = Headers(scope=scope)
        found = await to_thread.run_sync(
            authenticate, self._door, headers, origin, now, scope["method"]
        )
        if isinstance(found, Refused):
            return _not_authenticated(request, found), receive
        if found.kind != "token" and self._is_unknown(origin):
            return _other_host(), receive
        visitor = answer.greet(request, found)
        scope["state"]["visitor"] = visitor
        if scope["method"] in csrf.SAFE or scope["path"] in WORKER_PATHS:
            return None, receive
        if scope["method"] not in forms.METHODS:
            return problem(request, 405, "Not here", "No page has this method."), receive
        kind = headers.get("content-type", "")
        body, receive = await forms.body_of(receive, kind)
        if isinstance(body, HTTPStatus):
            return problem(request, body, body.phrase, _UNREAD[body]), receive
        return None if visitor.kind == "token" else _forgery(request, body, visitor), receive

    def _is_unknown(self, origin: Origin) -> bool:
        """Return True if a browser asks for another host than that of ``public_url``.

        Not so for a program with a token: it has no cookies, and is shown no links. Prometheus asks
        each process by its address.
        """
        known = self._hosts
        return bool(known) and not origin.is_local and host_of(origin.host) not in known

    async def _is_rebound(self, origin: Origin) -> bool:
        """Whether a watch that lets everybody in is asked by a name that is not this machine's."""
        if origin.is_local or not may_be_open(self._watch.settings):
            return False
        return await to_thread.run_sync(self._door.is_open)


class _Answer:
    """``send``, with the headers of every answer; and without answers that nobody allowed."""

    def __init__(self, scope: Scope, origin: Origin, send: Send) -> None:
        self._scope = scope
        self._origin = origin
        self._send = send
        self._form_secret = ""
        self._dropped = False

    def greet(self, request: Request, visitor: Visitor) -> Visitor:
        """Give a visitor without a session the token for forms, and its cookie with a page."""
        if visitor.csrf or visitor.kind == "token":
            return visitor
        from dataclasses import replace

        secret = cookies.get(request.headers, cookies.FORM, self._origin)
        if not secret:
            secret = cookies.new_secret()
            # A request that changes something cannot get its token from its own answer.
            self._form_secret = secret if request.method in csrf.SAFE else ""
        return replace(visitor, csrf=csrf.token_of(secret))

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if self._is_unjudged(message["status"]):
                await self._drop()
                return
            headers = MutableHeaders(raw=list(message["headers"]))
            secure(headers, by_tls=self._origin.is_secure)
            if self._form_secret and headers.get("content-type", "").startswith("text/html"):
                cookies.put(headers, cookies.FORM, self._form_secret, self._origin)
            message = {**message, "headers": headers.raw}
        if not self._dropped:
            await self._send(message)

    def _is_unjudged(self, status: int) -> bool:
        """Whether a route answered that asked for nothing. Where none was found, none did."""
        if self._scope["state"].get(JUDGED) or self._dropped:
            return False
        return status < 400 if "endpoint" in self._scope else status < 300

    async def _drop(self) -> None:
        self._dropped = True
        _log.error("a route without a requirement was asked for, and not answered")
        refused = PlainTextResponse("This route does not say whom it lets in.\n", 403)
        headers = MutableHeaders(raw=list(refused.raw_headers))
        secure(headers, by_tls=self._origin.is_secure)
        await self._send({"type": "http.response.start", "status": 403, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": refused.body})


def _forgery(request: Request, body: bytes, visitor: Visitor) -> Response | None:
    """Refuse what another site may have made this browser send. See ``csrf.py``."""
    origin: Origin = request.state.origin
    if not csrf.is_own(request.headers, origin.url):
        return _forged(request)
    brought = request.headers.get(csrf.HEADER)
    if brought is None:
        brought = forms.field_of(body, csrf.FIELD)
    return None if csrf.is_right(visitor.csrf, brought) else _forged(request)


_UNREAD = {
    HTTPStatus.REQUEST_TIMEOUT: "The form did not come in time. Send it once more.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "No form of the watch is so long.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "Send it as application/x-www-form-urlencoded.",
}


def _forged(request: Request) -> Response:
    return problem(
        request,
        403,
        "This did not come from a page of the watch",
        "Nothing was changed. Load the page again, and send the form once more. Programs send a "
        "token (Authorization: Bearer).",
    )


def _not_authenticated(request: Request, refused: Refused) -> Response:
    answer = problem(request, refused.status, "This token does not let you in", refused.why)
    answer.headers["WWW-Authenticate"] = 'Bearer realm="certpin", error="invalid_token"'
    if refused.wait:
        answer.headers["Retry-After"] = str(refused.wait)
    return answer


def _nobody_can_tell(request: Request) -> Response:
    """The database is away: without it nobody is anybody."""
    answer = problem(request, 503, "The database is away", "Ask again in a moment: nobody gets in.")
    answer.headers["Retry-After"] = "5"
    return answer


def _hosts(settings: ServiceSettings) -> frozenset[str]:
    """The names under which it may be asked for; empty if ``public_url`` does not say one."""
    name = urlsplit(settings.public_url).hostname or ""
    return settings.access.hosts | {name.lower()} if name else frozenset()


def _other_host() -> Response:
    """RFC 9110 section 15.5.20. A name that an attacker chose would be in links and origins."""
    return PlainTextResponse(
        "This service is not known under that name.\n"
        "fix: ask for the host of public_url, or add the name to access.hosts in watch.toml.\n",
        421,
    )


def _misdirected() -> Response:
    return PlainTextResponse(
        "This watch answers to this machine alone, as localhost or 127.0.0.1.\n"
        "To reach it from elsewhere: certpin watch user add, and set public_url or listen.\n",
        421,
    )
