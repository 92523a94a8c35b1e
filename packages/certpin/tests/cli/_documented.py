"""What docs/commands.md says: the options of each command, and the JSON it prints, field by field.

docs/reports.md has the fields of a run of the lab. The pages are the schema:
``check("server", value)`` fails unless ``value`` has the very fields of the table "JSON: server",
each of the type that stands there.
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
    """The text about each command, by its name."""
    parts = re.split(r"^## certpin (\w+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def options(section: str) -> set[str]:
    """The options in the first column of the tables of a section."""
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| ")]
    return {word for cell in cells for word in re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", cell)}


@cache
def tables() -> dict[str, dict[str, str]]:
    """The type of each field, by the name of its table."""
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
    """Compare an object with its table. Raises ``AssertionError``."""
    fields = tables()[table]
    assert isinstance(value, dict), f"{table}: {value!r} is no object"
    assert list(value) == list(fields), f"{table} has the fields {list(value)}"
    for name, kind in fields.items():
        assert is_a(kind, value[name]), f"{table}.{name}: {value[name]!r} is not: {kind}"


def data_of(document: dict[str, Any]) -> dict[str, Any]:
    """The data of a JSON object, without what every object begins with, and without the error."""
    head = [*tables()["every command"], "error"]
    assert list(document)[:2] == head[:2], f"an object begins with {list(document)}"
    return {name: value for name, value in document.items() if name not in head}


def is_a(kind: str, value: Any) -> bool:
    """Whether a value is of a type as the page writes it."""
    if kind.startswith("list of ") and not (kind.endswith(" or null") and value is None):
        each = kind.removeprefix("list of ").removesuffix(" or null")
        return isinstance(value, list) and all(is_a(each, item) for item in value)
    return any(_is_one(word, value) for word in kind.split(" or "))


def _is_one(kind: str, value: Any) -> bool:
    if kind in _PLAIN:
        return type(value) in _PLAIN[kind]
    if kind in tables() and isinstance(value, dict) and list(value) == list(tables()[kind]):
        check(kind, value)
        return True
    return kind.startswith("list of ") and value is None
