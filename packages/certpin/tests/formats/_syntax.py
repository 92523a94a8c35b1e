"""Check that exported source code parses, with tree-sitter grammars.

They cover languages for which the tests have no compiler. Tree-sitter has no packages for Python
3.15: a test that needs it has ``until_python("3.14")``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node


def errors(grammar: str, text: str) -> list[str]:
    """Return the syntax errors of source code, each as its line and text."""
    wrong = (node for node in _nodes(_root(grammar, text)) if node.is_error or node.is_missing)
    return [f"{node.start_point.row + 1}: {node.text!r}"[:200] for node in wrong]


def names(grammar: str, text: str, kind: str) -> list[str]:
    """Return the names of all declarations of one kind in source code, in their order there.

    Args:
        grammar: the tree-sitter grammar of the language, such as ``kotlin``.
        text: the source code.
        kind: the type of the declarations' nodes in the grammar, such as ``class_declaration``.
    """
    found = (node for node in _nodes(_root(grammar, text)) if node.type == kind)
    named = (node.child_by_field_name("name") for node in found)
    return [node.text.decode() for node in named if node and node.text]


def _root(grammar: str, text: str) -> Node:
    from tree_sitter import Language, Parser

    language = Language(import_module(f"tree_sitter_{grammar}").language())
    return Parser(language).parse(text.encode()).root_node


def _nodes(node: Node) -> Iterator[Node]:
    waiting = [node]
    while waiting:
        each = waiting.pop()
        yield each
        waiting += reversed(each.children)
