"""Parse source code with tree-sitter, within limits.

``Grammar`` describes a language: its tree-sitter grammar, and a few kinds of nodes. Tree-sitter
never fails on broken code: the tree then has error nodes, and the rest is read as usual.

Time and memory are limited here, for the parser and for the code that reads the tree. For hostile
code, both can be quadratic in its length: 100,000 times ``/*`` in Dart take more than a minute.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass, field
from importlib import import_module
from itertools import islice
from time import thread_time
from typing import TYPE_CHECKING, Any

from certpin.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

# Both are far above the largest files of apps: a file of 20,000 lines has about 100,000 named
# nodes, and is read in one second.
MAX_NODES = 300_000
MAX_SECONDS = 5.0  # of the processor, so that a busy machine reads the same files
_STEPS_PER_CLOCK = 1024  # a look at the clock takes longer than a step

# A search from a node upwards ends here. Real code has at most about 100 levels (nested widgets).
MAX_LEVELS = 400

_EXTRA = "apps"


@dataclass(frozen=True)
class Grammar:
    """The tree-sitter grammar of a programming language, and its kinds of nodes.

    Attributes:
        package: the Python module of the grammar, which has a function ``language()``.
        names: the kinds of nodes that contain one identifier.
        strings: the kinds of nodes of string literals.
    """

    package: str
    names: frozenset[str]
    strings: frozenset[str]


@dataclass
class SyntaxTree:
    """The syntax tree of one source file, with an index of its nodes.

    Methods that visit nodes raise ``ReadTimeoutError`` if reading the file takes too long.

    Attributes:
        data: the content of the file; each line ends with a line feed.
        root: the root node.
        deadline: the time at which reading the file must have ended, in seconds of
            ``thread_time()``.
        names: the nodes of identifiers, by identifier, in the order of the file.
        strings: the nodes of string literals, in the order of the file.
        kinds: the other named nodes with children, by kind, in the order of the file.
        broken_line: the line of the first syntax error; None if there is none.
        is_complete: False if the file has more nodes than the limit; the index then lacks the nodes
            after the limit.
    """

    data: bytes
    root: Node
    deadline: float
    names: dict[str, list[Node]] = field(default_factory=dict)
    strings: list[Node] = field(default_factory=list)
    kinds: dict[str, list[Node]] = field(default_factory=dict)
    broken_line: int | None = None
    is_complete: bool = True
    _children: dict[int, list[Node]] = field(default_factory=dict)
    _parents: dict[int, Node] = field(default_factory=dict)
    _steps: int = 0

    def children(self, node: Node) -> list[Node]:
        """Return the children of a node: named nodes and tokens."""
        self._steps += 1
        if self._steps % _STEPS_PER_CLOCK == 0:
            _check_time(self.deadline)
        return self._children.get(node.id, [])

    def parent(self, node: Node) -> Node | None:
        """Return the parent of a named node; None for the root."""
        return self._parents.get(node.id)

    def ancestors(self, node: Node) -> Iterator[Node]:
        """Yield the parent of a node, the parent's parent, and so on, up to a limit of levels."""
        return islice(self._all_ancestors(node), MAX_LEVELS)

    def before(self, node: Node) -> Iterator[Node]:
        """Yield the siblings before a node, the nearest first."""
        siblings, index = self._siblings(node)
        return (siblings[at] for at in range(index - 1, -1, -1))

    def after(self, node: Node) -> Iterator[Node]:
        """Yield the siblings after a node, the nearest first."""
        siblings, index = self._siblings(node)
        return (siblings[at] for at in range(index + 1, len(siblings)))

    def child(self, node: Node, kind: str) -> Node | None:
        """Return the first child of a node that has this kind; None if no child has."""
        return next((each for each in self.children(node) if each.type == kind), None)

    def inside(self, node: Node) -> Iterator[Node]:
        """Yield all nodes below a node, in the order of the file."""
        pending = self.children(node)[::-1]
        while pending:
            current = pending.pop()
            yield current
            pending.extend(reversed(self.children(current)))

    def text(self, node: Node) -> str:
        """Return the source text of a node."""
        self._steps += 1
        return self.data[node.start_byte : node.end_byte].decode("utf-8", "replace")

    def line(self, node: Node) -> int:
        """Return the line of a node, counted from 1."""
        return node.start_point.row + 1

    def _siblings(self, node: Node) -> tuple[list[Node], int]:
        """Return the children of a node's parent, in file order, and the node's index in them."""
        parent = self.parent(node)
        siblings = self.children(parent) if parent is not None else []
        index = bisect_left(siblings, node.start_byte, key=lambda each: each.start_byte)
        while index < len(siblings) and siblings[index].id != node.id:
            index += 1  # an empty node can be at the same place
        return siblings, index

    def _all_ancestors(self, node: Node) -> Iterator[Node]:
        current = self.parent(node)
        while current is not None:
            yield current
            current = self.parent(current)


class ReadTimeoutError(Exception):
    """Reading a source file took longer than the time limit."""


def parse(grammar: Grammar, data: bytes) -> SyntaxTree:
    """Parse a source file. Syntax errors become error nodes of the tree.

    Args:
        grammar: the programming language.
        data: the content of the file, mostly UTF-8; other bytes become errors in the tree.

    Returns:
        The tree. Its methods raise ``ReadTimeoutError`` at the same deadline as this function.

    Raises:
        ReadTimeoutError: the parser needs more than ``MAX_SECONDS``.
        MissingExtraError: tree-sitter or the grammar isn't installed.
    """
    deadline = thread_time() + MAX_SECONDS
    # For compilers, a carriage return ends a line, and so a comment; for the grammars, it doesn't.
    data = re.sub(rb"\r(?!\n)", b"\n", data)
    view = memoryview(data)
    try:
        # A parser that reads by a function reports its progress, and can be stopped.
        parsed = _parser(grammar).parse(
            lambda offset, _: view[offset:],
            progress_callback=lambda _, __: thread_time() > deadline,
        )
    except ValueError:  # "Parsing failed": it was stopped
        _check_time(deadline)
        raise
    return _indexed(grammar, SyntaxTree(data, parsed.root_node, deadline))


def _check_time(deadline: float) -> None:
    if thread_time() > deadline:
        raise ReadTimeoutError(f"reading it takes more than {MAX_SECONDS:.0f} seconds")


def _parser(grammar: Grammar) -> Any:
    """Return a new tree-sitter parser for the language of a grammar. Use it for one file only.

    A parser that was stopped would continue with the old file.
    """
    try:
        tree_sitter = import_module("tree_sitter")
        package = import_module(grammar.package)
    except ModuleNotFoundError as exc:
        raise MissingExtraError("certpin.apps", _EXTRA, name=exc.name) from exc
    return tree_sitter.Parser(tree_sitter.Language(package.language()))


def _indexed(grammar: Grammar, tree: SyntaxTree) -> SyntaxTree:
    """Fill the index of a syntax tree, and return the tree.

    ``grammar`` has the kinds of nodes with names and strings. Each named node is visited once,
    without recursion: code can be 100,000 levels deep.
    """
    data, names = tree.data, dict[bytes, list["Node"]]()
    pending, count = [tree.root], 0
    while pending:
        node = pending.pop()
        kind = node.type
        count += 1
        if count > MAX_NODES:
            tree.is_complete = False
            break
        if kind in grammar.names:
            names.setdefault(data[node.start_byte : node.end_byte], []).append(node)
            continue
        children = node.children
        if not children:
            continue
        if kind in grammar.strings:
            tree.strings.append(node)
        else:
            tree.kinds.setdefault(kind, []).append(node)
        tree._children[node.id] = children
        named = [each for each in children if each.is_named]
        for each in named:
            tree._parents[each.id] = node
        named.reverse()
        pending += named
    tree.names = {name.decode("utf-8", "replace"): nodes for name, nodes in names.items()}
    tree.broken_line = _broken_line(tree.root)
    return tree


def _broken_line(root: Node) -> int | None:
    """Return the line of the first syntax error in a tree, from 1; None if there is none.

    ``root`` is the root node of the tree.
    """
    node = root
    while node.has_error and node.type != "ERROR" and not node.is_missing:
        broken = next((each for each in node.children if each.has_error or each.is_missing), None)
        if broken is None:
            break
        node = broken
    return node.start_point.row + 1 if root.has_error else None
