"""The documented JSON fields of each command, read from docs/reference/json.md.

docs/reference/reports.md has the fields of a run of the lab. The pages are the schema:
``check("server", value)`` fails unless ``value`` has exactly the fields of the table
"JSON: server", each with the documented type.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from scripts.docs import json_schema

_PLAIN: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "object": (dict,),
}


@cache
def tables() -> dict[str, dict[str, str]]:
    """Return the documented fields: for each table's name, the type of each of its fields."""
    found = json_schema.tables()
    return {name: {each: kind for each, (kind, _) in found[name].items()} for name in found}


def check(table: str, value: Any) -> None:
    """Assert that an object has the fields and types of its table."""
    fields = tables()[table]
    assert isinstance(value, dict), f"{table}: {value!r} is not an object"
    assert list(value) == list(fields), f"{table} has the fields {list(value)}"
    for name, kind in fields.items():
        assert is_a(kind, value[name]), f"{table}.{name}: {value[name]!r} is not: {kind}"


def data_of(document: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a printed JSON object that are specific to its command.

    The fields that every command prints, and ``error``, are left out.
    """
    head = [*tables()["every command"], "error"]
    assert list(document)[:2] == head[:2], f"an object begins with {list(document)}"
    return {name: value for name, value in document.items() if name not in head}


def is_a(kind: str, value: Any) -> bool:
    """Return True if ``value`` has the type ``kind``, as the documentation's tables name types."""
    if kind.startswith("list of ") and not (kind.endswith(" or null") and value is None):
        element = kind.removeprefix("list of ").removesuffix(" or null")
        return isinstance(value, list) and all(is_a(element, item) for item in value)
    return any(_is_one(word, value) for word in kind.split(" or "))


def _is_one(kind: str, value: Any) -> bool:
    if kind in _PLAIN:
        return type(value) in _PLAIN[kind]
    if kind in tables() and isinstance(value, dict) and list(value) == list(tables()[kind]):
        check(kind, value)
        return True
    return kind.startswith("list of ") and value is None
