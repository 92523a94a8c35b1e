"""Find the imports in Python source files, and the graph of which module imports which.

Imports inside functions and imports only for type checkers count too.
"""

from __future__ import annotations

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Import(NamedTuple):
    """One import in a source file: of ``name`` from ``module``, in line ``line``.

    ``name`` is empty for ``import module``.
    """

    module: str
    name: str
    line: int

    @property
    def full_name(self) -> str:
        """``module.name``, which may itself be a module, or ``module`` if ``name`` is empty."""
        return f"{self.module}.{self.name}" if self.name else self.module


@cache
def imports(source: str, package: str) -> tuple[Import, ...]:
    """Return every import in ``source``, the text of a module that belongs to ``package``.

    Imports in functions, imports for type checkers only and ``import_module("…")`` count too.
    """
    return tuple(_imports(source, package))


def _imports(source: str, package: str) -> Iterator[Import]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, "", node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            yield from (Import(module, alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node.func).endswith("import_module"):
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield Import(argument.value, "", node.lineno)


def _called(function: ast.expr) -> str:
    """Return the name of a called function, without its module; empty if it has none."""
    return getattr(function, "attr", getattr(function, "id", ""))


def modules(package: str, folder: Path) -> Iterator[tuple[Path, str, tuple[str, ...]]]:
    """Yield the path of each Python file of a package, its parent package, and its name in parts.

    The parts are those of the path below ``folder`` without ``.py``, such as ``("tls", "gate")``.
    """
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        yield path, ".".join((package, *parts[:-1])), parts


def module_graph(package: str, folder: Path) -> dict[str, set[str]]:
    """Return for each module of a package the modules of that package that it imports."""
    found = {
        ".".join((package, *parts)).removesuffix(".__init__"): (path, inside)
        for path, inside, parts in modules(package, folder)
    }
    graph = {}
    for module, (path, inside) in found.items():
        imported = imports(path.read_text(encoding="utf-8"), inside)
        # `from package import module` is an import of the module.
        names = {each.full_name if each.full_name in found else each.module for each in imported}
        graph[module] = names & found.keys() - {module}
    return graph


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """Return the modules of one import cycle in ``graph``, or an empty list if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as exc:
        found: list[str] = exc.args[1]
        return found
    return []
