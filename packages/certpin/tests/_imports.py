"""The imports between the modules of a package, lazy and type-only ones too."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def module_graph(package: str, folder: Path) -> dict[str, set[str]]:
    """Return the modules that each module of a package imports, lazily and for types too."""
    files = {}
    for path in folder.rglob("*.py"):
        parts = (package, *path.relative_to(folder).with_suffix("").parts)
        files[".".join(parts).removesuffix(".__init__")] = path
    graph = {}
    for module, path in files.items():
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        found = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
        for node in nodes:
            if isinstance(node, ast.ImportFrom) and node.module:
                # `from package import module` is an import of the module.
                names = {name: f"{node.module}.{name}" for name in (a.name for a in node.names)}
                found |= {full if full in files else node.module for full in names.values()}
        graph[module] = found & files.keys() - {module}
    return graph


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """Return the modules of a cycle, or nothing."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as exc:
        found: list[str] = exc.args[1]
        return found
    return []
