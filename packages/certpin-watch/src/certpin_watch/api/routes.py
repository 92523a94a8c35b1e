"""The routes of the API. Reading needs the scope ``read``, actions need ``silence``.

The routes of probe workers (``workers``) need a token for a location.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

from certpin.errors import InputError, StoreError
from certpin_watch.alerts.silences import acknowledge, unacknowledge
from certpin_watch.api import openapi, workers
from certpin_watch.api.protocol import (
    JSON,
    RefusedError,
    encode,
    not_found,
    read_query,
    refusal,
    respond,
    row_number,
    store_unavailable,
)
from certpin_watch.api.resources import (
    ACTIONS,
    RESOURCES,
    Resource,
    ResourceRequest,
    chain_pem,
    require_found,
)
from certpin_watch.auth.require import require
from certpin_watch.store.audit import audit
from certpin_watch.store.queries import alerts

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from certpin_watch.context import Watch

_CHAIN = Resource(openapi.CHAIN_PEM, "", bytes, chain_pem, immutable=True)


def routes(watch: Watch) -> list[BaseRoute]:
    """Return all routes of the API.

    ``/chains/{digest}.pem`` precedes the resource with the shorter path, which would match it, too.
    """
    return [
        _description_route(),
        *workers.routes(watch),
        *(_action_route(watch, action) for action in ACTIONS),
        *(_resource_route(watch, resource) for resource in (_CHAIN, *RESOURCES)),
    ]


def _description_route() -> BaseRoute:
    @require("read")
    def endpoint(request: Request) -> Response:
        try:
            read_query(request, ())
        except RefusedError as exc:
            return refusal(exc)
        return respond(request, openapi.description())

    return Route(openapi.BASE + openapi.DESCRIPTION, endpoint, methods=["GET"])


def _resource_route(watch: Watch, resource: Resource) -> BaseRoute:
    @require("read")
    def endpoint(request: Request) -> Response:
        try:
            return _read(watch, resource, request)
        except RefusedError as exc:
            return refusal(exc)
        except StoreError:
            return refusal(store_unavailable())

    return Route(openapi.BASE + resource.path, endpoint, methods=["GET"])


def _read(watch: Watch, resource: Resource, request: Request) -> Response:
    """Return a resource. Starlette runs this in a thread, because the store waits for its disk."""
    query = read_query(request, resource.parameters)
    path = {name: str(value) for name, value in request.path_params.items()}
    if any("\x00" in value for value in path.values()):
        raise not_found("A name can't contain NUL.")
    with watch.store.read() as connection:
        found = resource.find(ResourceRequest(watch, connection, watch.clock(), path, query))
    if isinstance(found, bytes):
        return respond(request, found, openapi.PEM, immutable=True)
    return respond(request, encode(found), immutable=resource.immutable)


def _action_route(watch: Watch, action: str) -> BaseRoute:
    @require("silence")
    async def endpoint(request: Request) -> Response:
        try:
            async with request.form(max_files=0, max_fields=5, max_part_size=8192) as fields:
                note = str(fields.get("note", "")).strip()
            return await run_in_threadpool(_act, watch, action, request, note)
        except RefusedError as exc:
            return refusal(exc)
        except StoreError:
            return refusal(store_unavailable())

    return Route(f"{openapi.BASE}/alerts/{{id}}/{action}", endpoint, methods=["POST"])


def _act(watch: Watch, action: str, request: Request, note: str) -> Response:
    """Apply an action to an alert, such as "acknowledge", and return the changed alert."""
    number = require_found(row_number(request.path_params["id"]))
    settings = watch.settings.alerts
    with watch.store.write() as connection:
        require_found(alerts.alert(connection, settings.hold, number))
        if not _change(connection, watch, action, request, number, note):
            detail = "The alert is resolved, or in that state already."
            raise RefusedError(409, "Nothing was changed", detail)
        alert = alerts.alert(connection, settings.hold, number)
    return Response(encode(alert), media_type=JSON, headers={"Cache-Control": "no-store"})


def _change(
    connection: Connection, watch: Watch, action: str, request: Request, number: int, note: str
) -> bool:
    identity, now = request.state.identity, watch.clock()
    at = int(now.timestamp())
    try:
        if action == "acknowledge":
            changed = acknowledge(connection, number, identity.name, at, note)
        else:
            changed = unacknowledge(connection, number, identity.name, at)
    except InputError as exc:
        raise RefusedError(400, "Invalid note", f"{exc.problem}: {exc.fix}.") from exc
    if changed:
        _, word = ACTIONS[action]
        audit(connection, identity, word, str(number), at=now)
    return changed
