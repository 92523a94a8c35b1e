"""The documented options and JSON fields of each command, read from docs/commands.md.

docs/reports.md has the fields of a run of the lab. The pages are the schema:
``check("server", value)`` fails unless ``value`` has exactly the fields of the table
"JSON: server", each with the documented type.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

_DOCS = Path(__file__).parents[4] / "docs"
PAGE = _DOCS / "commands.md"
PAGES = (PAGE, _DOCS / "reports.md")
_PLAIN: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "object": (dict,),
}


def sections() -> dict[str, str]:
    """Return the section of each command, by its name."""
    parts = re.split(r"^## certpin (\w+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def options(section: str) -> set[str]:
    """Return the options in the first column of the tables of a section."""
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| ")]
    return {word for cell in cells for word in re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", cell)}


@cache
def tables() -> dict[str, dict[str, str]]:
    """Return the type of each field, by the name of its table."""
    found: dict[str, dict[str, str]] = {}
    name = ""
    lines = [line for page in PAGES for line in page.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        if line.startswith("#"):
            name = line.partition("JSON: ")[2]
        elif name and (row := re.match(r"\| `(\w+)` \| ([^|]+) \|", line)):
            found.setdefault(name, {})[row[1]] = row[2].strip()
    return found


def check(table: str, value: Any) -> None:
    """Assert that an object has the fields and types of its table."""
    fields = tables()[table]
    assert isinstance(value, dict), f"{table}: {value!r} is not an object"
    assert list(value) == list(fields), f"{table} has the fields {list(value)}"
    for name, kind in fields.items():
        assert is_a(kind, value[name]), f"{table}.{name}: {value[name]!r} is not: {kind}"


def data_of(document: dict[str, Any]) -> dict[str, Any]:
    """Return the data of a JSON object, without the fields of every object and the error."""
    head = [*tables()["every command"], "error"]
    assert list(document)[:2] == head[:2], f"an object begins with {list(document)}"
    return {name: value for name, value in document.items() if name not in head}


def is_a(kind: str, value: Any) -> bool:
    """Return True if a value has a documented type."""
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
