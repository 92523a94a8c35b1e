"""The routes of the API, and its OpenAPI 3.1 description, which is generated from the resources.

A user or a program with a token sends the requests. GET requests need the scope ``read``, and
actions on alerts the scope ``silence``. The routes of probe workers (``workers``) need a token for
a location.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

from certpin.errors import InputError, StoreError
from certpin_watch._version import __version__
from certpin_watch.alerts.silences import acknowledge, unacknowledge
from certpin_watch.api import workers
from certpin_watch.api.protocol import (
    JSON,
    PROBLEM,
    Problem,
    RefusedError,
    encode,
    not_found,
    read_query,
    refusal,
    respond,
    row_number,
)
from certpin_watch.api.resources import (
    ACTIONS,
    RESOURCES,
    Resource,
    ResourceRequest,
    chain_pem,
    require_found,
)
from certpin_watch.api.workers import ADDRESSES
from certpin_watch.auth.access import require
from certpin_watch.store.accounts import audit
from certpin_watch.store.queries import alerts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from certpin_watch.api.protocol import Parameter
    from certpin_watch.context import Watch

BASE = "/api/v1"
PEM = "application/x-pem-file"
DESCRIPTION = "/openapi.json"
CHAIN_PEM = "/chains/{digest}.pem"

_IN_PATH = {
    "name": "The name of a host or of a pin set.",
    "digest": "The SHA-256 of a chain, in lower-case hexadecimal.",
    "id": "The number of an alert.",
}
_REFS = "#/components/schemas/{name}"

_ABOUT = (
    "The data of the monitoring service; alerts can be acknowledged. Reports of clients are "
    "claims: nothing in them is verified, and any text in them may be hostile. Escape it when you "
    "display it."
)

_CHAIN = Resource(CHAIN_PEM, "", bytes, chain_pem, immutable=True)


def routes(watch: Watch) -> list[BaseRoute]:
    """Return all routes of the API.

    Starlette uses the first route that matches a path. So ``/chains/{digest}.pem`` comes before
    ``/chains/{digest}``, which also matches paths that end in ``.pem``.
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
        return respond(request, description())

    return Route(BASE + DESCRIPTION, endpoint, methods=["GET"])


def _resource_route(watch: Watch, resource: Resource) -> BaseRoute:
    @require("read")
    def endpoint(request: Request) -> Response:
        try:
            return _read(watch, resource, request)
        except (RefusedError, StoreError) as exc:
            return refusal(exc)

    return Route(BASE + resource.path, endpoint, methods=["GET"])


def _read(watch: Watch, resource: Resource, request: Request) -> Response:
    """Read a resource of the API from the store, and return the response to a GET request.

    This blocks, so it has to be called in a thread.

    Raises:
        RefusedError: a parameter is invalid, or the object does not exist.
        StoreError: the store is unavailable.
    """
    query = read_query(request, resource.parameters)
    path = {name: str(value) for name, value in request.path_params.items()}
    if any("\x00" in value for value in path.values()):
        raise not_found("A name can't contain NUL.")
    with watch.store.read() as connection:
        found = resource.find(ResourceRequest(watch, connection, watch.clock(), path, query))
    if isinstance(found, bytes):
        return respond(request, found, PEM, immutable=True)
    return respond(request, encode(found), immutable=resource.immutable)


def _action_route(watch: Watch, action: str) -> BaseRoute:
    @require("silence")
    async def endpoint(request: Request) -> Response:
        try:
            async with request.form(max_files=0, max_fields=5, max_part_size=8192) as fields:
                note = str(fields.get("note", "")).strip()
            return await run_in_threadpool(_act, watch, action, request, note)
        except (RefusedError, StoreError) as exc:
            return refusal(exc)

    return Route(f"{BASE}/alerts/{{id}}/{action}", endpoint, methods=["POST"])


def _act(watch: Watch, action: str, request: Request, note: str) -> Response:
    """Apply an action to an alert, such as "acknowledge", and return the changed alert as response.

    ``note`` is the user's text.

    Raises:
        RefusedError: the alert does not exist (status 404), the action changes nothing (409), or
            the note is too long or unprintable (400).
    """
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


@cache
def description() -> bytes:
    """Return the OpenAPI description of the whole API as JSON."""
    types = [resource.returns for resource in RESOURCES]
    messages = [message for _, *pair in ADDRESSES.values() for message in pair]
    schemas, components = msgspec.json.schema_components(
        [*types, *messages, Problem], ref_template=_REFS
    )
    contents, problem = schemas[: len(types)], schemas[-1]
    message_schemas = dict(zip(messages, schemas[len(types) :], strict=False))
    paths = {
        resource.path: _path(
            resource.path, resource.about, {JSON: {"schema": schema}}, problem, resource.parameters
        )
        for resource, schema in zip(RESOURCES, contents, strict=True)
    }
    pem = {PEM: {"schema": {"type": "string"}}}
    paths[CHAIN_PEM] = _path(CHAIN_PEM, "A chain as PEM, leaf first.", pem, problem)
    anything = {JSON: {"schema": {"type": "object"}}}
    alert = next(resource for resource in RESOURCES if resource.path == "/alerts/{id}")
    schema = contents[RESOURCES.index(alert)]
    paths |= {
        f"{alert.path}/{name}": _action(f"{alert.path}/{name}", about, schema, problem)
        for name, (about, _) in ACTIONS.items()
    }
    for path, (about, request, response) in ADDRESSES.items():
        paths[path.removeprefix(BASE)] = _worker_path(
            path, about, message_schemas[request], message_schemas[response], problem
        )
    paths[DESCRIPTION] = _path(DESCRIPTION, "This description.", anything, problem)
    return msgspec.json.format(
        msgspec.json.encode(
            {
                "openapi": "3.1.0",
                "info": {"title": "certpin watch", "version": __version__, "description": _ABOUT},
                "servers": [{"url": BASE}],
                "security": [{"token": []}],
                "paths": paths,
                "components": {
                    "schemas": components,
                    "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
                },
            }
        )
    )


def _operation(path: str) -> str:
    return "_".join(re.findall(r"[a-z]+", path.replace("pin-sets", "pinsets")))


def _path(
    path: str,
    about: str,
    content: dict[str, Any],
    problem: dict[str, Any],
    parameters: Iterable[Parameter] = (),
) -> dict[str, Any]:
    """Return the OpenAPI path item of a resource, which is read with GET.

    Args:
        path: the path, with parameters in braces.
        about: a description of the resource.
        content: the schema of the content by media type.
        problem: the schema of an error response.
        parameters: the query parameters.
    """
    wrong = {"content": {PROBLEM: {"schema": problem}}}
    responses = {
        "200": {"description": about, "content": content},
        "304": {"description": "Your copy is current."},
        "400": {"description": "A parameter is invalid or unknown.", **wrong},
        "401": {"description": "The request has no valid token.", **wrong},
        "403": {"description": "It needs the scope `read`.", **wrong},
        "404": {"description": "It does not exist.", **wrong},
        "503": {"description": "The store is unavailable.", **wrong},
    }
    inside = [_in_path(name) for name in re.findall(r"{(\w+)}", path)]
    return {
        "get": {
            "operationId": _operation(path),
            "summary": about,
            "parameters": [*inside, *map(_in_query, parameters)],
            "responses": responses,
        }
    }


def _action(
    path: str, about: str, schema: dict[str, Any], problem: dict[str, Any]
) -> dict[str, Any]:
    """Return the OpenAPI path item of an action on an alert: a POST with a form.

    Args:
        path: the path, with parameters in braces.
        about: a description of the action.
        schema: the schema of the response, an alert.
        problem: the schema of an error response.
    """
    wrong = {"content": {PROBLEM: {"schema": problem}}}
    form = {"type": "object", "properties": {"note": {"type": "string", "maxLength": 500}}}
    return {
        "post": {
            "operationId": _operation(path),
            "summary": about,
            "parameters": [_in_path(name) for name in re.findall(r"{(\w+)}", path)],
            "requestBody": {"content": {"application/x-www-form-urlencoded": {"schema": form}}},
            "responses": {
                "200": {"description": "The alert.", "content": {JSON: {"schema": schema}}},
                "400": {"description": "The note is invalid.", **wrong},
                "401": {"description": "The request has no valid token.", **wrong},
                "403": {"description": "It needs the scope `silence`.", **wrong},
                "404": {"description": "The alert does not exist.", **wrong},
                "409": {"description": "The alert is resolved, or in that state already.", **wrong},
                "503": {"description": "The store is unavailable.", **wrong},
            },
        }
    }


def _worker_path(
    path: str,
    about: str,
    request: dict[str, Any],
    response: dict[str, Any],
    problem: dict[str, Any],
) -> dict[str, Any]:
    """Return the OpenAPI path item of a worker's request: a POST of JSON, with a worker's token.

    Args:
        path: the path.
        about: a description of the request.
        request: the schema of the body.
        response: the schema of the response.
        problem: the schema of an error response.
    """
    wrong = {"content": {PROBLEM: {"schema": problem}}}
    return {
        "post": {
            "operationId": _operation(path.removeprefix(BASE)),
            "summary": about,
            "requestBody": {"required": True, "content": {JSON: {"schema": request}}},
            "responses": {
                "200": {"description": about, "content": {JSON: {"schema": response}}},
                "400": {"description": "This is not a message of a worker.", **wrong},
                "401": {"description": "The request has no valid token.", **wrong},
                "403": {"description": "It needs the token of a worker.", **wrong},
                "408": {"description": "The body was not complete in time.", **wrong},
                "413": {"description": "The body is too large.", **wrong},
                "415": {"description": "The body is not JSON.", **wrong},
                "503": {"description": "The store is unavailable.", **wrong},
            },
        }
    }


def _in_path(name: str) -> dict[str, Any]:
    about, schema = _IN_PATH[name], {"type": "string"}
    return {"name": name, "in": "path", "required": True, "description": about, "schema": schema}


def _in_query(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": "query",
        "description": parameter.about,
        "schema": parameter.schema,
    }
