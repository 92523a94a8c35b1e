"""The OpenAPI 3.1 description of the API, generated from its resources."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from certpin_watch._version import __version__
from certpin_watch.api.actions import ACTIONS
from certpin_watch.api.protocol import JSON, PROBLEM, Problem
from certpin_watch.api.resources import RESOURCES
from certpin_watch.api.workers import ADDRESSES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from certpin_watch.api.protocol import Parameter


BASE = "/api/v1"
PEM = "application/x-pem-file"
DESCRIPTION = "/openapi.json"
CHAIN_PEM = "/chains/{digest}.pem"

_IN_PATH = {
    "name": "The name of a host, or of a pin set.",
    "digest": "The digest of a chain: SHA-256, in lower-case hexadecimal.",
    "id": "The number of an alert.",
}
_REFS = "#/components/schemas/{name}"


@cache
def description() -> bytes:
    """The document as JSON."""
    types = [each.answers for each in RESOURCES]
    messages = [each for _, *both in ADDRESSES.values() for each in both]
    schemas, components = msgspec.json.schema_components(
        [*types, *messages, Problem], ref_template=_REFS
    )
    answers, problem = schemas[: len(types)], schemas[-1]
    sent = dict(zip(messages, schemas[len(types) :], strict=False))
    paths = {
        each.path: _path(
            each.path, each.about, {JSON: {"schema": schema}}, problem, each.parameters
        )
        for each, schema in zip(RESOURCES, answers, strict=True)
    }
    pem = {PEM: {"schema": {"type": "string"}}}
    paths[CHAIN_PEM] = _path(CHAIN_PEM, "A chain as PEM, leaf first.", pem, problem)
    anything = {JSON: {"schema": {"type": "object"}}}
    story = next(each for each in RESOURCES if each.path == "/alerts/{id}")
    schema = answers[RESOURCES.index(story)]
    paths |= {
        f"{story.path}/{name}": _action(f"{story.path}/{name}", about, schema, problem)
        for name, (about, _) in ACTIONS.items()
    }
    for path, (about, takes, gives) in ADDRESSES.items():
        paths[path.removeprefix(BASE)] = _of_worker(path, about, sent[takes], sent[gives], problem)
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
    "The findings of the monitoring service; alerts can be acknowledged. Reports of clients are "
    "claims: nothing in them is proven, and every text in them is hostile. Escape it when you show "
    "it."
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
    """One address: everything is read with GET."""
    wrong = {"content": {PROBLEM: {"schema": problem}}}
    responses = {
        "200": {"description": about, "content": content},
        "304": {"description": "As you have it."},
        "400": {"description": "A parameter is wrong, or not known.", **wrong},
        "401": {"description": "Nobody knows who asks.", **wrong},
        "403": {"description": "It needs the scope `read`.", **wrong},
        "404": {"description": "There is no such thing.", **wrong},
        "503": {"description": "The store is away for a moment.", **wrong},
    }
    inside = [_in_path(name) for name in re.findall(r"{(\w+)}", path)]
    return {
        "get": {
            "operationId": _operation(path),
            "summary": about,
            "parameters": [*inside, *(_in_query(each) for each in parameters)],
            "responses": responses,
        }
    }


def _action(
    path: str, about: str, schema: dict[str, Any], problem: dict[str, Any]
) -> dict[str, Any]:
    """One address that changes something: a POST with a form, by a token or a person's page."""
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
                "400": {"description": "The note cannot be used.", **wrong},
                "401": {"description": "The request has no valid token.", **wrong},
                "403": {"description": "It needs the scope `silence`.", **wrong},
                "404": {"description": "There is no such alert.", **wrong},
                "409": {"description": "It is resolved, or in that state already.", **wrong},
                "503": {"description": "The store is away for a moment.", **wrong},
            },
        }
    }


def _of_worker(
    path: str, about: str, takes: dict[str, Any], gives: dict[str, Any], problem: dict[str, Any]
) -> dict[str, Any]:
    """One address of workers: JSON in, JSON out, by a token for a location."""
    wrong = {"content": {PROBLEM: {"schema": problem}}}
    return {
        "post": {
            "operationId": _operation(path.removeprefix(BASE)),
            "summary": about,
            "requestBody": {"required": True, "content": {JSON: {"schema": takes}}},
            "responses": {
                "200": {"description": about, "content": {JSON: {"schema": gives}}},
                "400": {"description": "This is not a message of a worker.", **wrong},
                "401": {"description": "The request has no valid token.", **wrong},
                "403": {"description": "It needs the token of a worker.", **wrong},
                "413": {"description": "The body is too large.", **wrong},
                "415": {"description": "The body is not JSON.", **wrong},
                "503": {"description": "The store is away for a moment.", **wrong},
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
