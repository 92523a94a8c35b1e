"""Parse Dart with tree-sitter: a grammar that is not certpin's own."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import tree_sitter
import tree_sitter_dart

if TYPE_CHECKING:
    from collections.abc import Iterator


@cache
def _parser() -> tree_sitter.Parser:
    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_dart.language()))


def errors(source: str) -> list[str]:
    """Where the source is no Dart: line and text of each node that the grammar cannot place."""
    root = _parser().parse(source.encode()).root_node
    return list(_wrong(root)) if root.has_error else []


def strings(source: str) -> list[str]:
    """The string literals, as they stand in the source."""
    root = _parser().parse(source.encode()).root_node
    return [_text(node) for node in _walk(root) if node.type == "string_literal"]


def identifiers(source: str) -> set[str]:
    """Every name that the source uses."""
    root = _parser().parse(source.encode()).root_node
    kinds = {"identifier", "type_identifier"}
    return {_text(node) for node in _walk(root) if node.type in kinds}


def _wrong(root: tree_sitter.Node) -> Iterator[str]:
    for node in _walk(root):
        if node.is_error or node.is_missing:
            yield f"line {node.start_point[0] + 1}: {_text(node)[:60]!r}"


def _walk(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    yield node
    for child in node.children:
        yield from _walk(child)


def _text(node: tree_sitter.Node) -> str:
    return (node.text or b"").decode()
