"""What a route asks of its visitors. A route that asks for nothing is answered by nobody."""

from __future__ import annotations

import inspect
from functools import wraps
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.routing import BaseRoute, Mount

from certpin.errors import ConfigError
from certpin_watch.auth.refusal import refuse
from certpin_watch.auth.roles import REQUIREMENTS
from certpin_watch.auth.visitor import Visitor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    Endpoint = Callable[[Request], Any]

_DECLARED = "certpin_requirement"
JUDGED = "certpin_judged"  # in the state of a request whose visitor was looked at


def require(requirement: str) -> Callable[[Endpoint], Endpoint]:
    """Let a request in that meets this: ``anyone``, ``signed-in``, or one of the scopes.

    Raises ``ConfigError`` for a word that nobody knows.
    """
    _refuse_unknown(requirement)

    def decorate(endpoint: Endpoint) -> Endpoint:
        @wraps(endpoint)
        async def guarded(request: Request) -> Response:
            if (refused := _judge(request, requirement)) is not None:
                return refused
            answer: Response = await (
                endpoint(request)
                if inspect.iscoroutinefunction(endpoint)
                else run_in_threadpool(endpoint, request)
            )
            return answer

        setattr(guarded, _DECLARED, requirement)
        return guarded

    return decorate


class Guarded:
    """``require`` for what is an ASGI application: static files, say."""

    def __init__(self, app: ASGIApp, requirement: str) -> None:
        _refuse_unknown(requirement)
        self._app = app
        setattr(self, _DECLARED, requirement)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request that meets it."""
        refused = _judge(Request(scope), getattr(self, _DECLARED))
        await (refused or self._app)(scope, receive, send)


def requirement_of(route: BaseRoute) -> str | None:
    """What a route asks for; ``None`` if nobody said."""
    for place in (getattr(route, "endpoint", None), getattr(route, "app", None)):
        if isinstance(declared := getattr(place, _DECLARED, None), str):
            return declared
    return None


def every_route(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    """The routes, and those that are mounted where the mount itself asks for nothing."""
    for route in routes:
        inner = route.routes if isinstance(route, Mount) else None
        if inner and requirement_of(route) is None:
            yield from every_route(inner)
        else:
            yield route


def refuse_undeclared(routes: Iterable[BaseRoute]) -> None:
    """Raise ``ConfigError`` if a route does not say whom it lets in."""
    wrong = [repr(each) for each in every_route(routes) if requirement_of(each) is None]
    if wrong:
        raise ConfigError(
            f"nobody said who may use {', '.join(wrong)}", fix="put @require(…) before the endpoint"
        )


def _judge(request: Request, requirement: str) -> Response | None:
    """Without a visitor, nobody looked at who asks: then nothing is let in."""
    request.scope.setdefault("state", {})[JUDGED] = True
    visitor = getattr(request.state, "visitor", None)
    if isinstance(visitor, Visitor) and visitor.may(requirement):
        return None
    return refuse(request, visitor if isinstance(visitor, Visitor) else Visitor(), requirement)


def _refuse_unknown(requirement: str) -> None:
    if requirement not in REQUIREMENTS:
        raise ConfigError(
            f"there is no requirement {requirement[:80]!r}", fix=f"of {', '.join(REQUIREMENTS)}"
        )
