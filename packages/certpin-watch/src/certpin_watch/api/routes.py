"""The routes of the API. Reading needs the scope ``read``, actions need ``silence``.

The routes of probe workers (``workers``) need a token for a location.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from starlette.routing import Route

from certpin.errors import StoreError
from certpin_watch.api import openapi, workers
from certpin_watch.api.actions import ACTIONS, act
from certpin_watch.api.protocol import RefusedError, answer, asked, encode, refusal
from certpin_watch.api.resources import RESOURCES, Ask, Resource, chain_pem
from certpin_watch.auth.require import require

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from certpin_watch.context import Watch


_CHAIN = Resource(openapi.CHAIN_PEM, "", bytes, chain_pem, lasts=True)


def routes(watch: Watch) -> list[BaseRoute]:
    """Every resource, the longest path first; and the description."""

    def of(resource: Resource) -> BaseRoute:
        @require("read")
        def endpoint(request: Request) -> Response:
            return _guarded(partial(_found, watch, resource), request)

        return Route(openapi.BASE + resource.path, endpoint, methods=["GET"])

    def to(action: str) -> BaseRoute:
        @require("silence")
        async def endpoint(request: Request) -> Response:
            try:
                return await act(watch, action, request)
            except (RefusedError, StoreError) as exc:
                return _problem(exc)

        return Route(f"{openapi.BASE}/alerts/{{id}}/{action}", endpoint, methods=["POST"])

    @require("read")
    def described(request: Request) -> Response:
        return _guarded(_described, request)

    return [
        Route(openapi.BASE + openapi.DESCRIPTION, described, methods=["GET"]),
        *workers.routes(watch),
        *map(to, ACTIONS),
        of(_CHAIN),
        *map(of, RESOURCES),
    ]


def _guarded(how: Callable[[Request], Response], request: Request) -> Response:
    """Whatever goes wrong in a way that is known is a problem in JSON."""
    try:
        return how(request)
    except (RefusedError, StoreError) as exc:
        return _problem(exc)


def _problem(exc: RefusedError | StoreError) -> Response:
    if isinstance(exc, RefusedError):
        return refusal(exc)
    # The text of a StoreError is for the operator, who finds it in the log.
    return refusal(RefusedError(503, "The store is away", "Try again in a moment."))


def _described(request: Request) -> Response:
    asked(request, ())
    return answer(request, openapi.description())


def _found(watch: Watch, resource: Resource, request: Request) -> Response:
    """Runs in a thread: the store waits for its disk."""
    query = asked(request, resource.parameters)
    path = {name: str(value) for name, value in request.path_params.items()}
    if any("\x00" in each for each in path.values()):
        raise RefusedError(404, "There is no such thing", "No name has a NUL in it.")
    with watch.store.read() as connection:
        found = resource.find(Ask(watch, connection, watch.clock(), path, query))
    if isinstance(found, bytes):
        return answer(request, found, openapi.PEM, lasts=True)
    return answer(request, encode(found), lasts=resource.lasts)
