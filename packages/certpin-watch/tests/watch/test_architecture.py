"""Check the imports of certpin-watch.

Its layers import each other in one direction, only the store uses SQL, and only documented names of
certpin are used.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import certpin_watch
from tests._imports import Import, cycle, imports, module_graph, modules

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[4]
SOURCE = Path(str(certpin_watch.__file__)).parent

# Each line may import from the lines above it. Units on one line never import each other.
ORDER = (
    {"_version"},
    {"addresses", "counters", "http_server", "permissions", "secret", "snapshot"},
    {"chain_check", "html", "settings"},
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
# The only name of SQLAlchemy above the store, beside its errors: a type that is passed on.
NO_SQL = {"Connection"}
EXECUTES = re.compile(r"\.(?:execute|scalars?|exec_driver_sql)\(")


def _unit(module: str) -> str:
    return module.partition(".")[2].partition(".")[0]


@pytest.mark.slow
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


@pytest.mark.slow
def test_no_modules_import_each_other() -> None:
    assert cycle(module_graph("certpin_watch", SOURCE)) == []


def test_the_picture_in_contributing_shows_the_order() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    picture = page.partition("In `certpin_watch` the layers are")[2].partition("```text\n")[2]
    columns = [
        re.split(r" {10,}", line)[0].split() for line in picture.partition("```")[0].splitlines()
    ]
    assert list(map(set, columns)) == list(reversed(ORDER))


def _imports(prefix: str) -> Iterator[tuple[Path, Import]]:
    """Yield each import from the package ``prefix`` in certpin-watch, with the path of its file."""
    for path, package, _ in modules("certpin_watch", SOURCE):
        for found in imports(path.read_text(encoding="utf-8"), package):
            if found.module.partition(".")[0] == prefix:
                yield path.relative_to(SOURCE), found


@pytest.mark.slow
def test_only_the_store_writes_sql() -> None:
    wrong = [
        f"{path}:{found.line}: {found.full_name}"
        for path, found in _imports("sqlalchemy")
        if path.parts[0] != "store"
        and found.module != "sqlalchemy.exc"
        and found.name not in NO_SQL
    ]
    # A connection executes SQL as text, too.
    wrong += [
        f"{path.relative_to(SOURCE)}: executes SQL"
        for path, _, parts in modules("certpin_watch", SOURCE)
        if parts[0] != "store" and EXECUTES.search(path.read_text(encoding="utf-8"))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
def test_it_uses_only_documented_names_of_certpin() -> None:
    text = (ROOT / "docs/reference/extensions.md").read_text(encoding="utf-8")
    page = text.partition("## Commands")[0]
    rows = re.findall(r"(?m)^\| `(certpin[a-z0-9_.]*)` \| (.*) \|$", page)
    documented = {
        (module, name) for module, names in rows for name in re.findall(r"`(\w+)`", names)
    }
    used = {(found.module, found.name) for _, found in _imports("certpin")}
    assert sorted(used - documented) == [], "document the name in docs/reference/extensions.md"
    assert sorted(documented - used) == [], "remove the name from docs/reference/extensions.md"
