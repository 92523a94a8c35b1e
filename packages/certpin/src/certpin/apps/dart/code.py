"""Read Dart's syntax tree: constants and their values, calls and their arguments.

The grammar is flat: ``a.b(c)`` is a sequence of sibling nodes, a name and its selectors. A *run*
is a list of sibling nodes that make up one expression.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import TYPE_CHECKING

from certpin.apps.syntax import Grammar, SyntaxTree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

GRAMMAR = Grammar(
    package="tree_sitter_dart",
    names=frozenset({"identifier", "type_identifier", "identifier_dollar_escaped"}),
    strings=frozenset({"string_literal"}),
)

DEFINITIONS = frozenset(
    {"static_final_declaration", "initialized_identifier", "initialized_variable_definition"}
)
CLASSES = frozenset(
    {"class_definition", "enum_declaration", "extension_declaration", "mixin_declaration"}
)
FUNCTIONS = frozenset({"function_body", "function_expression_body"})
CREATIONS = frozenset({"new_expression", "const_object_expression"})
CASE = "switch_expression_case"
BRANCHES = frozenset({"conditional_expression", "if_element", "if_statement"})
_QUOTES = frozenset({"'", '"', "'''", '"""', "r'", 'r"', "r'''", 'r"""'})
SELECTORS = frozenset(
    {"selector", "unconditional_assignable_selector", "conditional_assignable_selector"}
)
_HEADS = GRAMMAR.names | {"this", "super"}
_PARAMETERS = frozenset({"constructor_param", "super_formal_parameter"})
_ESCAPE = re.compile(
    r"\\(?:u\{([0-9A-Fa-f]{1,6})\}|u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|(.))", re.DOTALL
)
# Behind three opening quotes, Dart ignores the rest of a line without text (specification 17.7).
_FIRST_LINE = re.compile(rb"[ \t]*\r?\n")
_CONTROL = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "v": "\v"}
_MAX_TEXT = 1024 * 1024  # characters of one constant
_MAX_STEPS = 200  # from a constant to the constants that it is made of, and so on
_MAX_DEPTH = 20  # names inside names


@dataclass(frozen=True)
class Definition:
    """The definition of a constant, or of a variable with its first value.

    Attributes:
        name: the name of the constant or variable.
        owner: the name of the class that contains the definition; empty outside of classes.
        node: the node of the definition.
        value: the nodes of the expression behind ``=``.
    """

    name: str
    owner: str
    node: Node
    value: tuple[Node, ...]

    def contains(self, node: Node) -> bool:
        """Return True if a syntax node is a part of this definition."""
        return self.node.start_byte <= node.start_byte < self.node.end_byte


class DartCode:
    """A parsed Dart file, with methods that find definitions, names, strings and calls in it."""

    def __init__(self, tree: SyntaxTree) -> None:
        self.tree = tree
        self._units: dict[int, Node] = {}

    @cached_property
    def definitions(self) -> dict[str, list[Definition]]:
        """The constants and variables of the file, by name."""
        found: dict[str, list[Definition]] = {}
        for kind in sorted(DEFINITIONS):
            for node in self.tree.kinds.get(kind, ()):
                definition = self._definition(node)
                if definition is not None:
                    found.setdefault(definition.name, []).append(definition)
        return found

    def definition_of(self, node: Node) -> Definition | None:
        """Return the definition of the constant or variable whose value contains a syntax node.

        Return None if there is no such definition, or if the node is inside a function.
        """
        for each in self.tree.ancestors(node):
            if each.type in DEFINITIONS:
                return self._definition(each)
            if each.type in FUNCTIONS:
                return None
        return None

    def class_of(self, node: Node) -> str:
        """Return the name of the class that contains a syntax node; empty outside of classes."""
        return next(
            (self.name_of(each) for each in self.tree.ancestors(node) if each.type in CLASSES), ""
        )

    def name_of(self, node: Node) -> str:
        """Return the name in the syntax node of a definition, class, label, parameter or signature.

        Return an empty text if the node has no name.
        """
        for child in self.tree.children(node):
            if child.type == "=":
                break
            if child.type in _PARAMETERS:
                return self.name_of(child)
            # A type before the name is no name, but an extension has only its type.
            if child.type == "identifier" or (
                child.type == "type_identifier" and node.type in CLASSES
            ):
                return self.tree.text(child)
        return ""

    def value(self, run: list[Node]) -> str | None:
        """Return the text that an expression always has when the app runs; None if it varies.

        The method evaluates string literals, their concatenation and interpolation, and the names
        of constants of this file. A call of ``String.fromEnvironment`` counts as its default value.
        ``run`` has the syntax nodes of the expression.
        """
        return _Evaluation(self).text(run)

    def unit(self, literal: Node) -> Node:
        """Return the syntax node of the concatenation, ``'a' + 'b'``, around a string literal.

        ``literal`` is the literal's node, which is returned if the literal isn't concatenated.
        """
        unit, passed = literal, []
        for each in self.tree.ancestors(literal):
            if each.id in self._units:
                unit = self._units[each.id]
                break
            if each.type == "additive_expression":
                unit = each
            elif each.type != "parenthesized_expression":
                break
            passed.append(each.id)
        if unit.id != literal.id:
            self._units.update(dict.fromkeys(passed, unit))
        return unit

    def head(self, node: Node) -> list[Node]:
        """Return the nodes of the expression before a selector: ``A.check`` before ``(x)``.

        A selector is a part such as ``.name`` or ``(x)``; ``node`` is the selector.
        """
        run: list[Node] = []
        for each in self.tree.before(node):
            if each.type in SELECTORS:
                run.append(each)
                continue
            if each.type in _HEADS or each.type.endswith(("expression", "literal")):
                run.append(each)
            break
        return run[::-1]

    def path(self, run: list[Node]) -> str:
        """Return the names in an expression, joined with dots: ``HttpCertificatePinning.check``.

        ``run`` has the syntax nodes of the expression.
        """
        names: list[str] = []
        for node in run:
            if node.type in GRAMMAR.names:
                names.append(self.tree.text(node))
            elif node.type in SELECTORS:
                names += self._selector_names(node)
        return ".".join(names)

    def last_name(self, run: list[Node]) -> str:
        """Return the last name in an expression: ``check`` of ``HttpCertificatePinning.check``.

        ``run`` has the syntax nodes of the expression.
        """
        return self.path(run).rpartition(".")[2]

    def call(self, arguments: Node) -> str:
        """Return the name of the function or class that gets these arguments, such as ``A.check``.

        Return an empty text if it has no name.
        """
        parent = self.tree.parent(arguments)
        if parent is None:
            return ""
        if parent.type != "argument_part":  # `new A.b(…)`, `const A(…)`
            names = takewhile(lambda each: each.id != arguments.id, self.tree.children(parent))
            return ".".join(self.tree.text(each) for each in names if each.type in GRAMMAR.names)
        selector = self.tree.parent(parent)
        if selector is None:
            return ""
        if selector.type == "cascade_section":
            cascade = self.tree.child(selector, "cascade_selector")
            return self.name_of(cascade) if cascade is not None else ""
        if selector.type == "selector":
            return self.path(self.head(selector))
        return self.name_of(selector)  # an enum constant

    def arguments(self, arguments: Node) -> Iterator[tuple[str, list[Node]]]:
        """Yield the name and value of each argument of a call.

        The name of a positional argument is empty, and the value is a list of syntax nodes.
        ``arguments`` is the node of the call's arguments.
        """
        for each in self.tree.children(arguments):
            children = self.tree.children(each)
            if each.type == "named_argument":
                label = self.tree.child(each, "label")
                yield self.name_of(label) if label is not None else "", children[1:]
            elif each.type == "argument":
                yield "", children

    def first_argument(self, arguments: Node) -> list[Node]:
        """Return the value of a call's first positional argument, as a list of syntax nodes.

        The list is empty if there is none. ``arguments`` is the node of the call's arguments.
        """
        return next((run for name, run in self.arguments(arguments) if not name), [])

    def arguments_of(self, name: Node) -> Node | None:
        """Return the node of the arguments behind a name: ``name(…)`` or ``….name(…)``.

        Return None if the name is not called.
        """
        following = next(self.tree.after(self._member(name)), None)
        if following is None:
            return None
        if following.type == "selector":
            return self.arguments_in(following)
        if following.type == "argument_part":
            return self.tree.child(following, "arguments")
        return following if following.type == "arguments" else None

    def arguments_in(self, selector: Node) -> Node | None:
        """Return the node of the arguments in a selector such as ``(x)``; None if it is no call."""
        part = self.tree.child(selector, "argument_part")
        return self.tree.child(part, "arguments") if part is not None else None

    def is_used(self, name: Node) -> bool:
        """Return True if the code calls a name or uses a member of it: ``name(…)``, ``name.x``.

        The name can have a prefix, as in ``library.name(…)``. Other places only name it, such as a
        type or an import. ``name`` is the syntax node of the name.
        """
        following = next(self.tree.after(self._member(name)), None)
        return following is not None and following.type in {"selector", "arguments"}

    def _member(self, name: Node) -> Node:
        """Return the whole selector ``.name`` or ``..name``, given the syntax node of its name.

        The siblings after the selector are the next parts of the expression, such as the arguments
        of a call. If the name is in no selector, return the name's node itself.
        """
        parent = self.tree.parent(name)
        for _ in range(2):  # `.name` is in a selector, and that in another one
            if parent is None or parent.type not in SELECTORS | {"cascade_selector"}:
                break
            name, parent = parent, self.tree.parent(parent)
        return name

    def operands(self, node: Node, operator: str) -> list[list[Node]]:
        """Return the operands of ``a + b + c``: the expressions between the operators.

        Args:
            node: the syntax node of the whole expression.
            operator: the kind of syntax node that is an operator, such as ``additive_operator``.
        """
        runs: list[list[Node]] = [[]]
        for child in self.tree.children(node):
            if child.type == operator:
                runs.append([])
            else:
                runs[-1].append(child)
        return runs

    def branches(self, conditional: Node) -> tuple[list[Node], list[Node], list[Node]]:
        """Return the three parts of ``a ? b : c``, each as a list of nodes.

        These are the condition and the two branches. ``conditional`` is the node of the whole
        expression.
        """
        children = self.tree.children(conditional)
        start = next((at for at, each in enumerate(children) if each.type == "?"), len(children))
        end = next((at for at, each in enumerate(children) if each.type == ":"), len(children))
        return children[:start], children[start + 1 : end], children[end + 1 :]

    def alternatives(self, node: Node) -> list[list[Node]]:
        """Return the expressions that can be the value of a whole expression, as lists of nodes.

        They are the branches of ``a ? b : c``, the results of the cases of a ``switch`` expression,
        and the operands of ``a ?? b``. The list is empty for other expressions. ``node`` is the
        syntax node of the whole expression.
        """
        if node.type == "conditional_expression":
            return list(self.branches(node)[1:])
        if node.type == "if_null_expression":
            return self.operands(node, "??")
        cases = [x for x in self.tree.children(node) if x.type == CASE]
        return [self.operands(each, "=>")[-1] for each in cases]

    def decode(self, literal: Node, inner: dict[int, str]) -> str:
        """Return the text of a string literal, without quotes and with escapes decoded.

        ``inner`` has the values of the expressions in ``${…}``, by the ID of their syntax node. An
        expression that is not in ``inner`` counts as an empty text.
        """
        parts: list[str] = []
        closing, is_raw, start = "", False, 0
        for child in self.tree.children(literal):
            kind = child.type
            if not closing and kind in _QUOTES:
                closing, is_raw, start = kind.removeprefix("r"), kind[0] == "r", child.end_byte
                first = _FIRST_LINE.match(self.tree.data, start) if len(closing) == 3 else None
                start = first.end() if first else start
            elif closing and kind in {closing, "template_substitution"}:
                parts += [self._between(start, child, is_raw=is_raw), inner.get(child.id, "")]
                start = child.end_byte
                closing = "" if kind == closing else closing
        return "".join(parts)

    def _between(self, start: int, end: Node, *, is_raw: bool) -> str:
        text = self.tree.data[start : end.start_byte].decode("utf-8", "replace")
        return text if is_raw or "\\" not in text else _ESCAPE.sub(_unescaped, text)

    def _selector_names(self, selector: Node) -> list[str]:
        names = []
        for child in self.tree.children(selector):
            if child.type in GRAMMAR.names:
                names.append(self.tree.text(child))
            elif child.type in SELECTORS:
                names += self._selector_names(child)
        return names

    def _definition(self, node: Node) -> Definition | None:
        children = self.tree.children(node)
        at = next((at for at, each in enumerate(children) if each.type == "="), None)
        name = self.name_of(node)
        if at is None or not name:
            return None
        return Definition(name, self.class_of(node), node, tuple(children[at + 1 :]))


class _Evaluation:
    """Evaluates one constant expression of a Dart file to its text.

    The number of evaluated expressions and their depth are limited, because a constant can refer to
    itself.
    """

    def __init__(self, code: DartCode) -> None:
        self.code = code
        self.steps = 0
        self.depth = 0

    def text(self, run: list[Node]) -> str | None:
        self.steps += 1
        if not run or self.steps > _MAX_STEPS or self.depth > _MAX_DEPTH:
            return None
        kind = run[0].type
        if kind in {"identifier", "identifier_dollar_escaped"}:
            return self._named(run)
        return self._single(run[0]) if len(run) == 1 else None

    def _single(self, node: Node) -> str | None:
        tree = self.code.tree
        match node.type:
            case "string_literal":
                return self._literal(node)
            case "additive_expression":
                return self._joined(self.code.operands(node, "additive_operator"))
            case "parenthesized_expression":
                return self._joined([tree.children(node)[1:-1]])
            case kind if kind in CREATIONS:
                return self._environment(tree.child(node, "arguments"))
        return None

    def _joined(self, runs: list[list[Node]]) -> str | None:
        """Return the joined texts of expressions; None if one of them is no constant text.

        Each of the ``runs`` has the syntax nodes of one expression.
        """
        self.depth += 1
        parts = [self.text(run) for run in runs]
        self.depth -= 1
        known = [part for part in parts if part is not None]
        return _limited("".join(known)) if len(known) == len(parts) else None

    def _literal(self, node: Node) -> str | None:
        tree = self.code.tree
        inner: dict[int, str] = {}
        for child in tree.children(node):
            if child.type == "template_substitution":
                run = [each for each in tree.children(child) if each.type not in {"$", "{", "}"}]
                text = self._joined([run])
                if text is None:
                    return None
                inner[child.id] = text
        return _limited(self.code.decode(node, inner))

    def _named(self, run: list[Node]) -> str | None:
        last = run[-1]
        part = self.code.tree.child(last, "argument_part") if last.type == "selector" else None
        if part is not None:
            return self._environment(self.code.tree.child(part, "arguments"))
        owner, _, name = self.code.path(run).rpartition(".")
        found = self.code.definitions.get(name, [])
        owner = owner.rpartition(".")[2] or self.code.class_of(run[0])
        chosen = [each for each in found if each.owner == owner] or found
        if len(chosen) != 1:
            return None
        return self._joined([list(chosen[0].value)])

    def _environment(self, arguments: Node | None) -> str | None:
        """Return the default value in a call of ``String.fromEnvironment``.

        ``arguments`` is the node of the call's arguments. Return None for other calls, and if the
        call has no constant default.
        """
        if arguments is None or self.code.call(arguments) != "String.fromEnvironment":
            return None
        named = dict(self.code.arguments(arguments))
        return self._joined([named["defaultValue"]]) if "defaultValue" in named else None


def _limited(text: str) -> str | None:
    return text if len(text) <= _MAX_TEXT else None


def _unescaped(match: re.Match[str]) -> str:
    number = match[1] or match[2] or match[3]
    if number:
        value = int(number, 16)
        return chr(value) if value <= 0x10FFFF and not 0xD800 <= value <= 0xDFFF else "\ufffd"
    return _CONTROL.get(match[4], match[4])
