"""The imports of modules, lazy and type-only ones too."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Import(NamedTuple):
    """An import of ``name`` from ``module``; without a name, of the module itself."""

    module: str
    name: str
    line: int

    @property
    def full_name(self) -> str:
        """The name with its module, which can be the name of a module, too."""
        return f"{self.module}.{self.name}" if self.name else self.module


def imports(source: str, package: str) -> Iterator[Import]:
    """Yield every import in a module of ``package``, also in functions and for types only."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, "", node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            yield from (Import(module, alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield Import(argument.value, "", node.lineno)


def modules(package: str, folder: Path) -> Iterator[tuple[Path, str, tuple[str, ...]]]:
    """Yield each module: its file, its package, and its name below ``package``, in parts."""
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        yield path, ".".join((package, *parts[:-1])), parts


def module_graph(package: str, folder: Path) -> dict[str, set[str]]:
    """Return the modules of a package that each of its modules imports."""
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
    """Return the modules of a cycle, or nothing."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as exc:
        found: list[str] = exc.args[1]
        return found
    return []
