"""The layers of the service, its only way to SQL, and the names of certpin that it uses."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import certpin_watch
from tests._imports import cycle, module_graph

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[4]
SOURCE = Path(str(certpin_watch.__file__)).parent

# Each line may import from the lines above it. Units on one line never import each other.
ORDER = (
    {"_version"},
    {"addresses", "counters", "expiry", "http_server", "permissions", "secret", "snapshot"},
    {"html", "origin", "settings"},
    {"_otel", "logs", "store"},
    {"context", "health", "telemetry"},
    {"auth", "collector", "metrics", "monitor", "retention"},
    {"rules"},
    {"alerts"},
    {"api", "web"},
    {"application"},
    {"service"},
    {"cli"},
)
RANK = {unit: rank for rank, units in enumerate(ORDER) for unit in units}
# What modules above the store may use of SQLAlchemy: errors, and a type that they pass on.
NO_SQL = {"Connection", "Engine"}


def _unit(module: str) -> str:
    return module.partition(".")[2].partition(".")[0]


@pytest.mark.medium
def test_imports_follow_the_order() -> None:
    graph = module_graph("certpin_watch", SOURCE)
    assert {_unit(module) for module in graph} - {""} == RANK.keys()
    wrong = [
        f"{module} must not import {imported}"
        for module, found in graph.items()
        for imported in found
        if _unit(module) != _unit(imported) and RANK[_unit(imported)] >= RANK[_unit(module)]
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.medium
def test_no_modules_import_each_other() -> None:
    assert cycle(module_graph("certpin_watch", SOURCE)) == []


def test_the_picture_in_contributing_shows_the_order() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    picture = page.partition("In `certpin_watch` the layers are")[2].partition("```text\n")[2]
    columns = [
        re.split(r" {10,}", line)[0].split() for line in picture.partition("```")[0].splitlines()
    ]
    assert list(map(set, columns)) == list(reversed(ORDER))


def _imports(prefix: str) -> Iterator[tuple[Path, str, str]]:
    """Each name that is imported from a package: the file, the module, the name."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                if node.module.partition(".")[0] == prefix:
                    yield from ((path, node.module, name.name) for name in node.names)
            elif isinstance(node, ast.Import):
                names = [name.name for name in node.names if name.name.partition(".")[0] == prefix]
                yield from ((path, name, "") for name in names)


@pytest.mark.medium
def test_only_the_store_writes_sql() -> None:
    wrong = [
        f"{path.relative_to(SOURCE)}: {module}.{name}"
        for path, module, name in _imports("sqlalchemy")
        if path.relative_to(SOURCE).parts[0] != "store"
        and module != "sqlalchemy.exc"
        and name not in NO_SQL
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.medium
def test_it_uses_only_documented_names_of_certpin() -> None:
    page = (ROOT / "docs/extensions.md").read_text(encoding="utf-8").partition("## Commands")[0]
    rows = re.findall(r"(?m)^\| `(certpin[a-z0-9_.]*)` \| (.*) \|$", page)
    documented = {
        (module, name) for module, names in rows for name in re.findall(r"`(\w+)`", names)
    }
    used = {(module, name) for _, module, name in _imports("certpin")}
    assert sorted(used - documented) == [], "document the name in docs/extensions.md"
    assert sorted(documented - used) == [], "remove the name from docs/extensions.md"
