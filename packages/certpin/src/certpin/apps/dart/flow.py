"""Find the functions of a Dart file, their results, and the builds in which code runs.

Builds are debug builds and release builds of the app; profile builds count as debug builds. The
analysis is local to one file, and doesn't execute anything. A condition with a value from another
file counts as unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Literal

from certpin.apps.dart.code import BRANCHES, FUNCTIONS, DartCode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

# When code runs: in debug builds, in debug builds if a second condition is met too, or only in
# other builds. None means always, or unknown.
Mode = Literal["debug", "debug-and-more", "release"] | None

CERTIFICATE = "X509Certificate"  # the type of dart:io, in Function.types

_FLAGS: dict[str, Mode] = {
    "kDebugMode": "debug",
    "kProfileMode": "debug",
    "kReleaseMode": "release",
}
_STRONGEST: tuple[Mode, ...] = ("debug-and-more", "debug", "release")
_PRODUCT = "dart.vm.product"  # true in release builds: https://dart.dev/libraries/core/environment
_MAX_DEPTH = 8  # names that are resolved for one flag
_MAX_DEFINITIONS = 50  # of one name, in one file


@dataclass(frozen=True)
class Function:
    """A function of a Dart file that has a body.

    Attributes:
        name: its name; empty for a closure.
        parameters: the names of its parameters.
        types: the types of its parameters, in the same order; empty texts for missing ones.
        body: the syntax node of its body.
    """

    name: str
    parameters: tuple[str, ...]
    types: tuple[str, ...]
    body: Node


@dataclass(frozen=True)
class Returned:
    """An expression that a function returns.

    Attributes:
        run: the syntax nodes of the expression.
        node: the ``return`` statement, or the first node behind ``=>``. The conditions around the
            expression are found from it.
    """

    run: list[Node]
    node: Node


class DartFlow:
    """A Dart file with its functions. Finds the builds and the conditions in which code runs.

    Attributes:
        has_modes: True if the file distinguishes debug builds from release builds.
    """

    def __init__(self, code: DartCode) -> None:
        self.code = code
        self.tree = code.tree
        has_flag = any(name in code.tree.names for name in _FLAGS)
        self._leaving: dict[int, list[tuple[int, Mode]]] = {}
        set_by_assert: dict[str, Mode] = dict.fromkeys(self._assert_flags(), "debug")
        self._flags = {**set_by_assert, **_FLAGS}
        has_constant = has_flag or _PRODUCT.encode() in code.tree.data
        self.has_modes = has_constant or bool(set_by_assert)

    def _assert_flags(self) -> set[str]:
        """Return the names of variables that are true only in debug builds.

        Only an ``assert`` sets them, in the form ``assert(() { flag = true; return true; }())``.
        """
        found = set()
        for assertion in self.tree.kinds.get("assertion", ()):
            for each in self.tree.inside(assertion):
                left = self.tree.child(each, "assignable_expression")
                if each.type == "assignment_expression" and left is not None:
                    is_set = self.is_true(_behind(self.tree.children(each)))
                    found.add(self.code.last_name(self.tree.children(left)) if is_set else "")
        return {name for name in found - {""} if self._is_set_once(name)}

    def _is_set_once(self, name: str) -> bool:
        """Return True if one variable of the file has this name, and one assignment sets it.

        If so, and if an ``assert`` sets it to true, it is a variable for debug builds
        (``_assert_flags``). Its definition doesn't count as an assignment, even if it has a value.
        """
        assigned = [x for x in self.tree.names.get(name, ()) if self.assigned(x)]
        return len(assigned) == 1 and len(self.code.definitions.get(name, ())) == 1

    @cached_property
    def functions(self) -> dict[str, list[Function]]:
        """The functions, methods and getters of the file, by name."""
        found: dict[str, list[Function]] = {}
        for body in self.tree.kinds.get("function_body", ()):
            function = self.function_of(body)
            if function.name:
                found.setdefault(function.name, []).append(function)
        return found

    def function_of(self, body: Node) -> Function:
        """Return the function that has this syntax node as its body."""
        signature = next(
            (each for each in self.tree.before(body) if each.type.endswith("_signature")), None
        )
        while signature is not None:
            inner = (each for each in self.tree.children(signature))
            nested = next((each for each in inner if each.type.endswith("_signature")), None)
            if nested is None:
                break
            signature = nested
        holder = signature if signature is not None else self.tree.parent(body)
        name = self.code.name_of(signature) if signature is not None else ""
        lists = self._parameter_lists(holder) if holder is not None else []
        parameters = [each for node in lists for each in self._parameters(node)]
        names = tuple(self.code.name_of(each) for each in parameters)
        types = tuple(self._type_of(each) for each in parameters)
        return Function(name, names, types, body)

    def around(self, node: Node) -> Iterator[Function]:
        """Yield the functions that contain a syntax node, the innermost first."""
        for each in self.tree.ancestors(node):
            if each.type in FUNCTIONS:
                yield self.function_of(each)

    def assigned(self, node: Node) -> list[Node]:
        """Return the value that the code assigns to a name, as a list of syntax nodes.

        That is ``x`` in ``client.name = x``, ``..name = x`` and ``name: x``. The list is empty if
        nothing is assigned at this node.
        """
        parent = self.tree.parent(node)
        if parent is None:
            return []
        if parent.type == "label":
            argument = self.tree.parent(parent)
            if argument is None or argument.type != "named_argument":
                return []
            return self.tree.children(argument)[1:]
        if parent.type == "cascade_selector":
            section = self.tree.parent(parent)
            return _behind(self.tree.children(section)) if section is not None else []
        for each in islice(self.tree.ancestors(node), 3):
            if each.type == "assignment_expression":
                children = self.tree.children(each)
                return _behind(children) if node.end_byte == children[0].end_byte else []
        return []

    def closure(self, run: list[Node]) -> Function | None:
        """Return the function of an expression that is a closure; None for other expressions.

        ``run`` has the syntax nodes of the expression.
        """
        run = self.unwrapped(run)
        if len(run) == 1 and run[0].type == "function_expression":
            body = self.tree.child(run[0], "function_expression_body")
            return self.function_of(body) if body is not None else None
        return None

    def unwrapped(self, run: list[Node]) -> list[Node]:
        """Return an expression without the parentheses and the type casts around it.

        ``run`` has the syntax nodes of the expression.
        """
        for _ in range(_MAX_DEPTH):
            kind = run[0].type if len(run) == 1 else ""
            if kind == "parenthesized_expression":
                run = self.tree.children(run[0])[1:-1]
            elif kind == "type_cast_expression":
                run = [x for x in self.tree.children(run[0]) if x.type != "type_cast"]
            else:
                break
        return run

    def returned(self, body: Node) -> Iterator[Returned]:
        """Yield the expressions that a function returns, except those of functions inside it.

        ``body`` is the syntax node of the function's body.
        """
        children = self.tree.children(body)
        arrow = next((at for at, each in enumerate(children) if each.type == "=>"), None)
        if arrow is not None:
            run = [each for each in children[arrow + 1 :] if each.type != ";"]
            yield Returned(run, run[0] if run else body)
            return
        for node in self.own_nodes(body):
            if node.type == "return_statement":
                run = [
                    each for each in self.tree.children(node) if each.type not in {"return", ";"}
                ]
                yield Returned(run, node)

    def own_nodes(self, body: Node) -> Iterator[Node]:
        """Yield the syntax nodes of a function's body, except those of functions inside it."""
        pending = list(reversed(self.tree.children(body)))
        while pending:
            node = pending.pop()
            yield node
            if node.type not in FUNCTIONS:
                pending.extend(reversed(self.tree.children(node)))

    def mode(self, condition: list[Node], depth: int = 0) -> Mode:
        """Return the builds in which a condition can be true.

        Args:
            condition: the syntax nodes of the condition.
            depth: the recursion depth.

        Returns:
            "debug", "release", or "debug-and-more" (debug builds, but only if a further condition
            is true). None if the condition can be true in all builds, or if that is unknown.
        """
        run = self.unwrapped(condition) if self.has_modes else []
        if not run or depth > _MAX_DEPTH:
            return None
        node = run[0]
        kind = node.type if len(run) == 1 else ""
        if kind == "equality_expression":
            return self._compared(node, depth)
        if len(run) == 1 and node.type == "unary_expression":
            inner = self.tree.children(node)
            is_not = bool(inner) and self.tree.text(inner[0]) == "!"
            return _inverted(self.mode(inner[1:], depth + 1)) if is_not else None
        if len(run) == 1 and node.type in {"logical_and_expression", "logical_or_expression"}:
            return self._combined(node, depth)
        return self._flag(run, depth)

    def condition(self, branch: Node) -> list[Node]:
        """Return the condition of an ``if`` or of ``a ? b : c`` as a list of syntax nodes.

        ``branch`` is the node of the whole ``if`` or conditional expression.
        """
        run: list[Node] = []
        for each in self.tree.children(branch):
            if each.type in {"?", ")"}:
                break
            if each.type not in {"if", "("}:
                run.append(each)
        return run

    def gate(self, node: Node, *, inside: Node | None = None) -> Mode:
        """Return the builds in which the code at a syntax node runs.

        This follows from the conditions around the node, from an ``assert`` around it, and from an
        earlier ``if`` in the same block that returns in some builds.

        Args:
            node: any syntax node.
            inside: an ancestor of the node; only code inside it is considered. None to consider the
                whole file.

        Returns:
            "debug", "release", or "debug-and-more" (debug builds, but only if a further condition
            is true). None if the code runs in all builds, or if that is unknown.
        """
        found: set[Mode] = set()
        current = node
        for parent in self.tree.ancestors(node):
            if inside is not None and parent.id == inside.id:
                break
            if parent.type in BRANCHES:
                found.add(self._branch(current, parent))
            elif parent.type == "assertion":
                found.add("debug")
            elif parent.type == "block" and self.has_modes:
                found |= {
                    mode for end, mode in self._early_returns(parent) if end <= current.start_byte
                }
            current = parent
        return next((mode for mode in _STRONGEST if mode in found), None)

    def conditions(self, node: Node, inside: Node) -> Iterator[tuple[list[Node], bool]]:
        """Yield each condition around a syntax node, and the value with which the node's code runs.

        The value is False for code in the second branch of ``if`` or ``a ? b : c``, otherwise True.
        Only conditions inside the ancestor ``inside`` are yielded, the innermost first.
        """
        current = node
        for parent in self.tree.ancestors(node):
            if parent.id == inside.id:
                return
            if parent.type in BRANCHES:
                yield self.condition(parent), self.is_first(current, parent)
            current = parent

    def is_true(self, run: list[Node]) -> bool:
        """Return True if an expression is the literal ``true``.

        The check for callbacks that accept every certificate uses this. ``run`` has the syntax
        nodes of the expression.
        """
        run = self.unwrapped(run)
        return len(run) == 1 and run[0].type == "true"

    def names_in(self, run: list[Node]) -> set[str]:
        """Return every identifier in an expression.

        ``run`` has the syntax nodes of the expression.
        """
        return {self.tree.text(each) for each in self.nodes_in(run) if "identifier" in each.type}

    def origins(self, run: list[Node]) -> set[str]:
        """Return every identifier in an expression, and in the values of local variables in it.

        Local variables are those of the outermost function around the expression. ``run`` has the
        syntax nodes of the expression.
        """
        around = [each for each in self.tree.ancestors(run[0]) if each.type in FUNCTIONS][-1:]
        names = pending = self.names_in(run)
        for _ in range(_MAX_DEPTH if around else 0):
            values = [self._local_values(name, around[0]) for name in pending]
            pending = {name for value in values for name in self.names_in(value)} - names
            names = names | pending
        return names

    def _local_values(self, name: str, body: Node) -> list[Node]:
        """Return the nodes of the values with which a function defines variables of this name.

        ``body`` is the syntax node of the function's body.
        """
        definitions = self.code.definitions.get(name, ())[:_MAX_DEFINITIONS]
        inside = (x for x in definitions if body.start_byte <= x.node.start_byte < body.end_byte)
        return [node for each in inside for node in each.value]

    def nodes_in(self, run: list[Node]) -> Iterator[Node]:
        """Yield the syntax nodes of an expression, and all nodes below them.

        ``run`` has the syntax nodes of the expression.
        """
        for node in run:
            yield node
            yield from self.tree.inside(node)

    def is_first(self, current: Node, branch: Node) -> bool:
        """Return True if a node is in the condition or first branch of ``if`` or ``a ? b : c``.

        The code in the first branch runs if the condition is true, and other code if it is false.
        ``current`` is the node. ``branch`` is the node of the whole ``if`` or conditional
        expression.
        """
        separator = ":" if branch.type == "conditional_expression" else "else"
        behind = next((x for x in self.tree.children(branch) if x.type == separator), None)
        return behind is None or current.start_byte < behind.start_byte

    def _branch(self, current: Node, branch: Node) -> Mode:
        """Return the builds in which one part of an ``if`` or of ``a ? b : c`` runs.

        Args:
            current: the part: the condition, or one of the two branches.
            branch: the whole ``if`` or ``a ? b : c``.

        Returns:
            "debug", "release", or "debug-and-more" (debug builds, but only if a further condition
            is true). None if it runs in all builds, or if the builds are unknown.
        """
        condition = self.condition(branch)
        if current in condition:
            return None
        mode = self.mode(condition)
        return mode if self.is_first(current, branch) else _inverted(mode)

    def _early_returns(self, block: Node) -> list[tuple[int, Mode]]:
        """Find each ``if`` in a block that makes some builds return before the code after it.

        Returns:
            For each such ``if``, its end in the file (in bytes), and the builds that run the code
            after it, such as "release".
        """
        if block.id not in self._leaving:
            statements = (x for x in self.tree.children(block) if x.type == "if_statement")
            modes = ((each.end_byte, self._mode_behind(each)) for each in statements)
            self._leaving[block.id] = [(end, mode) for end, mode in modes if mode is not None]
        return self._leaving[block.id]

    def _mode_behind(self, statement: Node) -> Mode:
        """Return the builds, such as "release", that run the code after an ``if`` statement.

        These are the builds for which the ``if`` doesn't return. Return None if it never returns,
        has an ``else``, or if the builds are unknown.
        """
        mode = self.mode(self.condition(statement))
        if mode is None or self.tree.child(statement, "else") is not None:
            return None
        last = self.tree.children(statement)[-1]
        if last.type == "block":
            inner = self.tree.children(last)
            last = inner[-2] if len(inner) > 2 else last  # before the brace
        return _inverted(mode) if last.type == "return_statement" else None

    def _combined(self, node: Node, depth: int) -> Mode:
        is_and = node.type == "logical_and_expression"
        operator = "logical_and_operator" if is_and else "logical_or_operator"
        modes = [self.mode(run, depth + 1) for run in self.code.operands(node, operator)]
        if is_and:
            if "debug-and-more" in modes or ("debug" in modes and set(modes) != {"debug"}):
                return "debug-and-more"
            return "debug" if "debug" in modes else "release" if "release" in modes else None
        return modes[0] if len(set(modes)) == 1 else None

    def _compared(self, equality: Node, depth: int) -> Mode:
        """Return the builds in which a comparison such as ``flag == false`` is true.

        They are "debug", "release" or "debug-and-more" (see ``mode``); None if unknown.
        ``equality`` is the node of the comparison. ``depth`` is the recursion depth.
        """
        runs = self.code.operands(equality, "equality_operator")
        constants = [x[0].type for x in runs if len(x) == 1 and x[0].type in {"true", "false"}]
        flags = [x for x in runs if len(x) != 1 or x[0].type not in {"true", "false"}]
        operator = self.tree.child(equality, "equality_operator")
        if len(constants) != 1 or len(flags) != 1 or operator is None:
            return None
        mode = self.mode(flags[0], depth + 1)
        is_same = (self.tree.text(operator) == "==") == (constants[0] == "true")
        return mode if is_same else _inverted(mode)

    def _flag(self, run: list[Node], depth: int) -> Mode:
        for each in run:
            part = self.tree.child(each, "argument_part")
            if each.type == "selector" and part is not None:
                return self._environment(part)
        owner, _, name = self.code.path(run).rpartition(".")
        if name in self._flags:
            return self._flags[name]
        for definition in self.code.definitions.get(name, ())[:2]:
            if not owner or definition.owner == owner:
                return self.mode(list(definition.value), depth + 1)
        for function in self.functions.get(name, ())[:1]:
            for answer in self.returned(function.body):
                return self.mode(answer.run, depth + 1)
        return None

    def _environment(self, part: Node) -> Mode:
        arguments = self.tree.child(part, "arguments")
        if arguments is None or self.code.call(arguments) != "bool.fromEnvironment":
            return None
        first = next(self.code.arguments(arguments), ("", []))[1]
        return "release" if self.code.value(first) == _PRODUCT else None

    def _parameter_lists(self, holder: Node) -> list[Node]:
        return [x for x in self.tree.children(holder) if x.type == "formal_parameter_list"]

    def _parameters(self, node: Node) -> Iterator[Node]:
        for each in self.tree.children(node):
            if each.type == "formal_parameter":
                yield each
            elif each.type == "optional_formal_parameters":
                yield from (x for x in self.tree.children(each) if x.type == "formal_parameter")

    def _type_of(self, parameter: Node) -> str:
        found = self.tree.child(parameter, "type_identifier")
        return self.tree.text(found) if found is not None else ""


def _behind(children: list[Node]) -> list[Node]:
    """Return the syntax nodes behind the assignment operator in a list of siblings (``children``).

    The list is empty if there is no such operator.
    """
    at = next((at for at, each in enumerate(children) if each.type in {"=", "??="}), None)
    return children[at + 1 :] if at is not None else []


def _inverted(mode: Mode) -> Mode:
    if mode == "debug":
        return "release"
    return "debug" if mode == "release" else None
