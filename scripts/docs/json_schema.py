"""The JSON Schema of the commands' ``--json`` output, made from tables in json.md and reports.md.

Tests compare the output of every command with these tables (``tests.cli._documented``), so the
schema describes the real output.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from scripts.docs.commands import ROOT, json_objects
from scripts.docs.markdown import block, page

_PAGES = tuple(ROOT / "docs/reference" / name for name in ("json.md", "reports.md"))
_PLAIN = ("string", "integer", "number", "boolean", "null", "object")
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_LIST, _OR_NULL = "list of ", " or null"
_INTRODUCTION = """\
The schema (JSON Schema, draft 2020-12) of the objects of [JSON output](json.md), by their names.
`certpin COMMAND` is the whole object of a command that succeeds. A command that prints a stream has
none: each line is one of the objects that [JSON output](json.md) names."""
# An object in the table of commands: "[add](#json-add)".
_OBJECT = re.compile(r"\[([^]]+)\]\([^)]*#json-[^)]*\)")
# One of two forms of the data: "[export](#json-export); with `--list`, `formats`: …".
_FORMS = re.compile(r"; with `--[\w-]+`, |, or (?=\[)")
# A field of the data, with its type if that is a list: "`formats`: a list of [export format](…)".
_LINKS = r"(?:\[[^]]+\]\([^)]+\)(?:, | or )?)+"
_FIELD = re.compile(rf"`([a-z_]+)`(?: \([^)]*\))?(?:: a list of ({_LINKS}))?")


@cache
def tables() -> dict[str, dict[str, tuple[str, str]]]:
    """Return the fields of each JSON object, by the object's name and the field's name.

    The value for a field is its type, in the notation of the tables, and its meaning.
    """
    found: dict[str, dict[str, tuple[str, str]]] = {}
    name = ""
    for line in [line for each in _PAGES for line in each.read_text(encoding="utf-8").splitlines()]:
        if line.startswith("#"):
            name = line.partition("JSON: ")[2]
        elif name and (row := re.match(r"\| `(\w+)` \| ([^|]+) \|(.*)\|$", line)):
            found.setdefault(name, {})[row[1]] = (row[2].strip(), row[3].strip())
    return found


def schema() -> dict[str, Any]:
    """Return the JSON Schema with a definition for each object that commands print as JSON."""
    definitions = {name: _object(fields) for name, fields in tables().items()}
    for command, data in json_objects().items():
        if not data.startswith("a stream"):
            forms = [_data(form) for form in _FORMS.split(data)]
            parts = [_reference("every command"), forms[0] if len(forms) == 1 else {"anyOf": forms}]
            definitions[command] = {"allOf": parts}
    return {"$schema": _DIALECT, "$defs": definitions}


def _data(form: str) -> dict[str, Any]:
    """Return the JSON Schema of a command's data, from its text in the table of commands.

    The text names an object, or each field.
    """
    if found := _OBJECT.fullmatch(form):
        return _reference(found[1])
    fields = {name: _items(_OBJECT.findall(kinds)) for name, kinds in _FIELD.findall(form)}
    return {"type": "object", "properties": fields, "required": list(fields)}


def _items(names: list[str]) -> dict[str, Any]:
    """Return the JSON Schema of a list of objects with these names; any value without a name."""
    references = [_reference(name) for name in names]
    if not references:
        return {}
    return {"type": "array", "items": references[0] if len(names) == 1 else {"anyOf": references}}


def schema_page() -> dict[str, str]:
    """Return the text of the page with the JSON Schema, by its path below ``docs``."""
    text = json.dumps(schema(), indent=1, ensure_ascii=False)
    return {"reference/json-schema.md": page("JSON Schema", _INTRODUCTION, block(text, "json"))}


def _object(fields: dict[str, tuple[str, str]]) -> dict[str, Any]:
    shown = {
        name: {**_type(kind), **({"description": meaning} if meaning else {})}
        for name, (kind, meaning) in fields.items()
    }
    return {"type": "object", "properties": shown, "required": list(fields)}


def _type(kind: str) -> dict[str, Any]:
    """Return the JSON Schema of a type in the tables' notation, such as ``list of string``."""
    if kind.startswith(_LIST):
        items = kind.removeprefix(_LIST).removesuffix(_OR_NULL)
        found = {"type": "array", "items": _type(items)}
        return {"anyOf": [found, {"type": "null"}]} if kind.endswith(_OR_NULL) else found
    words = kind.split(" or ")
    found_types = [{"type": word} if word in _PLAIN else _reference(word) for word in words]
    return found_types[0] if len(found_types) == 1 else {"anyOf": found_types}


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/$defs/{name.replace(' ', '%20')}"}
