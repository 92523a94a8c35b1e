"""The OpenAPI 3.1 description of the API, generated from its resources."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from certpin_watch._version import __version__
from certpin_watch.api.protocol import JSON, PROBLEM, Problem
from certpin_watch.api.resources import ACTIONS, RESOURCES
from certpin_watch.api.workers import ADDRESSES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from certpin_watch.api.protocol import Parameter


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


@cache
def description() -> bytes:
    """Return the OpenAPI description as JSON."""
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


_ABOUT = (
    "The data of the monitoring service; alerts can be acknowledged. Reports of clients are "
    "claims: nothing in them is verified, and any text in them may be hostile. Escape it when you "
    "display it."
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
    """Return the OpenAPI path item of a resource, which is read with GET."""
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
    """Return the OpenAPI path item of an action on an alert: a POST with a form."""
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
    """Return the OpenAPI path item of a worker's URL: a POST with JSON and a location's token."""
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
