"""Whether source code parses: with the grammars of tree-sitter, for languages that are not here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tree_sitter import Language, Parser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node


def errors(grammar: object, text: str) -> list[str]:
    """Each place that the grammar has no rule for, or misses something at."""
    tree = Parser(Language(grammar)).parse(text.encode())
    wrong = (node for node in _nodes(tree.root_node) if node.is_error or node.is_missing)
    return [f"{node.start_point.row + 1}: {node.text!r}"[:200] for node in wrong]


def names(grammar: object, text: str, kind: str) -> list[str]:
    """The names of the declarations of a kind."""
    tree = Parser(Language(grammar)).parse(text.encode())
    found = (node for node in _nodes(tree.root_node) if node.type == kind)
    named = (node.child_by_field_name("name") for node in found)
    return [node.text.decode() for node in named if node and node.text]


def _nodes(node: Node) -> Iterator[Node]:
    waiting = [node]
    while waiting:
        each = waiting.pop()
        yield each
        waiting += reversed(each.children)
