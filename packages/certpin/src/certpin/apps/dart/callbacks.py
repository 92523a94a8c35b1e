"""Find Dart callbacks that can accept refused certificates, and the builds that use them.

``dart:io`` calls ``HttpClient.badCertificateCallback`` and ``onBadCertificate`` only for a
certificate that failed verification. Three kinds of callbacks are no mistakes: those that refuse
every certificate, those that accept only loopback addresses, and those that accept a certificate
only in a debug build in which a further condition is true. Every other callback is a mistake. If
the callback is a function of another file, which isn't read here, the result has a question for the
user: can the function return true?
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from certpin.apps.dart.code import CASE, CREATIONS, DEFINITIONS, GRAMMAR, SELECTORS, Definition
from certpin.apps.dart.flow import CERTIFICATE, Returned
from certpin.apps.dart.gates import enforcing_clients
from certpin.apps.usage import PIN_WORDS, words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tree_sitter import Node

    from certpin.apps.dart.flow import DartFlow, Function, Mode
    from certpin.apps.rules import FileReporter

# The effects of a callback: accept all, accept all in debug builds, accept by host or by a flag,
# compare the certificate, or those of a function that isn't in this file.
Answer = Literal["accept", "debug", "flag", "compare", "elsewhere"]

CALLBACKS = ("badCertificateCallback", "onBadCertificate")
_ACCEPTING = frozenset({"allowBadCertificates"})  # grpc-dart: `(_, __) => true`
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1", "10.0.2.2", "10.0.3.2"})
_LISTS = frozenset({"list_literal", "set_or_map_literal"})
# The nodes beside the entries of such a list.
_AROUND_ENTRIES = frozenset({"[", "]", "{", "}", ",", "const_builtin", "type_arguments"})
_MAX_DEPTH = 5  # functions that call each other
_MAX_SAME_NAME = 3  # functions or variables of one name
_OVERRIDES = "HttpOverrides"
_OF_RELEASE: frozenset[Mode] = frozenset({"release", None})
_REFUSALS = frozenset(
    {"false", "null_literal", "throw_expression", "throw_expression_without_cascade"}
)
# The parents of names that are only read, and of labels and parameters. Other parents can give a
# variable another value, such as `(x, y) = f()` or `for (x in y)`, or define another one.
_HARMLESS = frozenset(
    {
        *("argument", "conditional_expression", "equality_expression", "formal_parameter"),
        *("function_body", "function_expression_body", "if_statement", "label", "named_argument"),
        *("logical_and_expression", "logical_or_expression", "parenthesized_expression"),
        *("return_statement", "template_substitution", "unary_expression"),
    }
)

# How many operands have to be false, or local, so that the whole expression is: of "and", one is
# enough, and of "or", all.
_ENOUGH: dict[str, Callable[[Iterable[bool]], bool]] = {
    "logical_and_expression": any,
    "logical_or_expression": all,
}


def check_callbacks(flow: DartFlow, reporter: FileReporter) -> None:
    """Report the certificate callbacks of a Dart file that can accept a certificate.

    Such a callback returns true, or compares the certificate with pins. A comparison in a callback
    is a mistake too: the callback is never called for a certificate that passed verification.
    ``flow`` is the parsed Dart file, and ``reporter`` collects the mistakes.
    """
    for name in CALLBACKS:
        for node in flow.tree.names.get(name, ()):
            run = flow.assigned(node)
            if run:
                _check_callback(flow, reporter, name, node, run)


def _check_callback(
    flow: DartFlow, reporter: FileReporter, name: str, node: Node, run: list[Node]
) -> None:
    answers = set(_answers(flow, run, 0))
    line = flow.tree.line(node)
    gate = _gate_of(flow, node)
    if not answers or gate == "debug-and-more":
        return
    if answers == {"elsewhere"}:
        if not _is_passed_on(flow, node, run):
            reporter.ask(line, f"{name} is a function of another file: can it return true?")
    elif answers <= {"debug", "elsewhere"} or gate == "debug":
        _report_in_debug(flow, reporter, name, node, compares="compare" in answers)
    else:
        _report(flow, reporter, name, node, answers)


def _report_in_debug(
    flow: DartFlow, reporter: FileReporter, name: str, node: Node, *, compares: bool
) -> None:
    """Report a callback that, only in debug builds, accepts certificates that failed verification.

    Args:
        flow: the parsed Dart file.
        reporter: collects the mistakes.
        name: the name of the callback, such as ``badCertificateCallback``.
        node: the syntax node of this name.
        compares: True if the callback compares a pin. Release builds then have no such check,
            unless they use a client in the same file that enforces pins.
    """
    line, gate = flow.tree.line(node), _gate_of(flow, node)
    builds = "debug" if "kDebugMode" in flow.tree.names else "debug and profile"
    if compares:
        is_enforced = any(flow.gate(each) in _OF_RELEASE for each in enforcing_clients(flow))
        rule = "debug-only-gate" if is_enforced else "pins-in-debug-only"
        reporter.report(rule, line, f"{name} compares the pin in {builds} builds only")
        return
    message = f"{name} accepts every certificate in {builds} builds"
    is_for_all = gate != "debug" and (_overrides_class(flow, node) or _is_in_zone(flow, node))
    rule = "overrides-with-callback" if is_for_all else "debug-only-gate"
    reporter.report(rule, line, f"{message}, for every client" if is_for_all else message)


def _report(
    flow: DartFlow, reporter: FileReporter, name: str, node: Node, answers: set[Answer]
) -> None:
    """Report a callback that accepts certificates that failed verification, in release builds.

    ``name`` is the name of the callback, and ``answers`` are its effects (see ``_answers``). The
    reported rule depends on these and on the class around ``node``. ``flow`` is the parsed Dart
    file, and ``reporter`` collects the mistakes.
    """
    line = flow.tree.line(node)
    if _overrides_class(flow, node) or _is_in_zone(flow, node):
        reporter.report("overrides-with-callback", line)
    elif name == "onBadCertificate":
        reporter.report("on-bad-certificate", line)
    elif "compare" in answers:
        reporter.report("pin-in-callback", line)
    elif "accept" in answers:
        reporter.report("accept-any-certificate", line)
    else:
        message = f"{name} accepts every certificate if a host or a flag says so"
        reporter.report("accept-any-certificate", line, message)


def _gate_of(flow: DartFlow, node: Node) -> Mode:
    """Return the builds in which the code sets a callback, such as "debug" or "release".

    Return None if all builds set it, or if that is unknown. The other values are those of
    ``DartFlow.gate``; they decide if the callback is a mistake, and which one. A callback in a
    subclass of ``HttpOverrides`` is set in the builds that install the subclass. ``flow`` is the
    parsed Dart file, and ``node`` the name to which the callback is assigned.
    """
    gate = flow.gate(node)
    overrides = _overrides_class(flow, node)
    if gate is not None or not overrides:
        return gate
    places = [each for each in flow.tree.names.get(overrides, ()) if flow.code.is_used(each)]
    gates = {flow.gate(each) for each in places}
    return gates.pop() if len(gates) == 1 else None


def _overrides_class(flow: DartFlow, node: Node) -> str:
    """Return the name of the subclass of ``HttpOverrides`` that contains a syntax node.

    A callback in such a class is used by every client of the app, so it is reported with its own
    rule, ``overrides-with-callback``. Return an empty text if the class around the node is no such
    subclass. ``flow`` is the parsed Dart file.
    """
    for each in flow.tree.ancestors(node):
        if each.type == "class_definition":
            superclass = flow.tree.child(each, "superclass")
            names = flow.names_in([superclass]) if superclass is not None else set()
            return flow.code.name_of(each) if _OVERRIDES in names else ""
    return ""


def _is_in_zone(flow: DartFlow, node: Node) -> bool:
    """Return True if a syntax node is inside the arguments of a method of ``HttpOverrides``.

    Such a method is ``HttpOverrides.runZoned``. A callback there is used by every client, so it is
    reported with its own rule, ``overrides-with-callback``. ``flow`` is the parsed Dart file.
    """
    return any(
        each.type == "arguments" and flow.code.call(each).startswith(f"{_OVERRIDES}.")
        for each in flow.tree.ancestors(node)
    )


def _is_passed_on(flow: DartFlow, node: Node, run: list[Node]) -> bool:
    """Return True if the code only passes an existing callback on, and doesn't define one.

    This is so if the assigned expression is the name of another certificate callback, or a
    parameter of a function around the assignment. Then the user is not asked about this assignment:
    the question belongs to the code that defines the callback.

    Args:
        flow: the functions of the file.
        node: the name to which the callback is assigned.
        run: the assigned expression, as syntax nodes.
    """
    path = flow.code.path(flow.unwrapped(run))
    name = path.rpartition(".")[2]
    return name in CALLBACKS or any(path in each.parameters for each in flow.around(node))


def _answers(flow: DartFlow, run: list[Node], depth: int) -> Iterator[Answer]:
    """Yield the effects of a callback on certificates that failed verification.

    Each effect is "accept", "debug" (accepts in debug builds), "flag" (accepts if a host or a flag
    says so), "compare" (compares with pins), or "elsewhere" (the code is in another file). Nothing
    is yielded for a callback that only refuses certificates, which is no mistake.

    Args:
        flow: the functions and conditions of the file.
        run: the expression that is set as the callback, as syntax nodes.
        depth: the number of functions that were followed so far; beyond a limit, nothing is
            yielded.
    """
    run = flow.unwrapped(run)
    if not run or depth > _MAX_DEPTH:
        return
    function = flow.closure(run)
    if function is not None:
        yield from _function_answers(flow, function, depth)
    elif len(run) == 1 and run[0].type in {"null_literal", "false"}:
        return
    elif len(run) == 1 and run[0].type == "conditional_expression":
        yield from _conditional_answers(flow, run[0], depth)
    elif len(run) == 1 and (values := flow.code.alternatives(run[0])):
        for value in values:
            yield from _answers(flow, value, depth + 1)
    else:
        yield from _named_answers(flow, run, depth)


def _named_answers(flow: DartFlow, run: list[Node], depth: int) -> Iterator[Answer]:
    """Yield the effects, such as "accept", of a callback that is given by its name.

    The name is that of a function or variable, or of the class of a new object, which Dart calls
    with its method ``call``. "elsewhere" means that this file doesn't define it. ``flow`` is the
    parsed Dart file, ``run`` has the syntax nodes of the expression, and ``depth`` is the recursion
    depth.
    """
    name = flow.code.last_name(run)
    is_call = any(flow.tree.child(each, "argument_part") is not None for each in run)
    if is_call or run[0].type in CREATIONS:
        functions, definitions = _call_methods(flow, run), list[Definition]()
    else:
        functions = flow.functions.get(name, [])
        definitions = flow.code.definitions.get(name, [])
    if name in _ACCEPTING:
        yield "accept"
    elif functions:
        for each in functions[:_MAX_SAME_NAME]:
            yield from _function_answers(flow, each, depth + 1)
    elif definitions:
        for definition in definitions[:_MAX_SAME_NAME]:
            yield from _answers(flow, list(definition.value), depth + 1)
    else:
        yield "elsewhere"


def _call_methods(flow: DartFlow, run: list[Node]) -> list[Function]:
    """Return the methods ``call`` of the object that an expression creates.

    They are those of its class, or of the nearest classes in this file from which it inherits one.
    The list is empty for another expression. ``flow`` is the parsed Dart file, and ``run`` has the
    syntax nodes of the expression.
    """
    nodes = [*flow.tree.children(run[0]), *run]
    heads = [flow.tree.text(each) for each in nodes if each.type in GRAMMAR.names]
    names = set(heads[:1])
    methods = flow.functions.get("call", [])
    for _ in range(_MAX_DEPTH):
        found = [each for each in methods if flow.code.class_of(each.body) in names]
        if found:
            return found
        classes = flow.tree.kinds.get("class_definition", ())
        bases = (flow.tree.child(x, "superclass") for x in classes if flow.code.name_of(x) in names)
        names = flow.names_in([each for each in bases if each is not None])
    return []


def _conditional_answers(flow: DartFlow, node: Node, depth: int) -> Iterator[Answer]:
    condition, first, second = flow.code.branches(node)
    mode = flow.mode(condition)
    for answer in _answers(flow, first, depth + 1):
        if mode == "debug":
            yield "debug"
        elif mode != "debug-and-more":
            yield answer
    for answer in _answers(flow, second, depth + 1):
        yield "debug" if mode == "release" else answer


def _function_answers(flow: DartFlow, function: Function, depth: int) -> Iterator[Answer]:
    for returned in _parts_of_returned(flow, function):
        gate = flow.gate(returned.node, inside=function.body)
        if gate == "debug-and-more":
            continue
        for answer in _returned_answers(flow, function, returned, depth):
            yield "debug" if gate == "debug" else answer


def _parts_of_returned(flow: DartFlow, function: Function) -> Iterator[Returned]:
    """Yield the parts of the expressions that a function returns, to judge each part separately.

    The parts of ``a || b``, ``a ? b : c`` and ``a ?? b`` are those that can be the result. For
    example, one part is true only for loopback addresses or in debug builds, and another one
    always. An expression without such parts is yielded as a whole. ``flow`` is the parsed Dart
    file.
    """
    pending = list(flow.returned(function.body))
    while pending:
        returned = pending.pop()
        run = flow.unwrapped(returned.run)
        kind = run[0].type if len(run) == 1 else ""
        if kind == "logical_or_expression":
            parts = flow.code.operands(run[0], "logical_or_operator")
        elif kind in {"conditional_expression", "if_null_expression"}:
            parts = flow.code.alternatives(run[0])
        else:
            yield returned
            continue
        pending += [Returned(part, part[0]) for part in parts if part]


def _conditional(flow: DartFlow, function: Function, conditions: list[list[Node]]) -> Answer:
    """Return the effect of a ``return true`` in a callback, from the conditions around it.

    The effect is "compare" if a condition compares the certificate with pins, "flag" if there is
    another condition, or "accept" if there is none except debug or release mode. ``flow`` is the
    parsed Dart file. Each condition is a list of syntax nodes, and ``function`` is the callback.
    """
    if any(_compares(flow, function, run) for run in conditions):
        return "compare"
    unknown = [run for run in conditions if flow.mode(run) is None]
    return "flag" if unknown else "accept"


def _returned_answers(
    flow: DartFlow, function: Function, returned: Returned, depth: int
) -> Iterator[Answer]:
    run = flow.unwrapped(returned.run)
    if not run or _refuses(flow, run):
        return
    conditions = list(flow.conditions(returned.node, function.body))
    if any(value and _is_local(flow, each) for each, value in conditions):
        return
    mode, called = flow.mode(run), _called_function(flow, run)
    if flow.is_true(run):
        yield _conditional(flow, function, [each for each, _ in conditions])
    elif mode == "debug":
        yield "debug"
    elif mode == "debug-and-more" or _is_local(flow, run) or _passes_on(flow, run):
        return
    elif called is not None and depth < _MAX_DEPTH:
        yield from set(_function_answers(flow, called, depth + 1))
    else:
        yield "compare" if _compares(flow, function, run) else "flag"


def _refuses(flow: DartFlow, run: list[Node], depth: int = 0) -> bool:
    """Return True if an expression can never be true, so that a callback that returns it refuses.

    Such a result of a callback is no mistake. Examples are ``false``, ``throw …``, and conditional
    expressions of these. A callback that throws refuses the certificate too: the handshake ends
    with the exception. ``flow`` is the parsed Dart file, ``run`` has the syntax nodes of the
    expression, and ``depth`` is the recursion depth.
    """
    run = flow.unwrapped(run)
    if len(run) != 1 or depth > _MAX_DEPTH:
        return False
    node = run[0]
    if node.type in _REFUSALS:
        return True
    if node.type == "identifier":
        return _is_constant_refusal(flow, node, depth)
    if values := flow.code.alternatives(node):
        return all(_refuses(flow, value, depth + 1) for value in values)
    if enough := _ENOUGH.get(node.type):
        operands = flow.code.operands(node, node.type.replace("expression", "operator"))
        return enough(_refuses(flow, operand, depth + 1) for operand in operands)
    return False


def _is_constant_refusal(flow: DartFlow, name: Node, depth: int) -> bool:
    """Return True if a name has a value in this file that is never true, such as ``false``.

    ``_refuses`` uses this: a callback that returns the name then refuses every certificate. The
    value is known only for constants and local variables that this file defines. Code in other
    files can change other variables, or define the name itself.

    Args:
        flow: the file.
        name: the node of the name.
        depth: the number of names and expressions that were followed so far.
    """
    text = flow.tree.text(name)
    if not all(_keeps_value(flow, each) for each in flow.tree.names.get(text, ())):
        return False
    if any(text in each.parameters for each in flow.around(name)):
        return False
    found = [x for x in flow.code.definitions.get(text, ()) if _is_in_scope(flow, x.node, name)]
    return 0 < len(found) <= _MAX_SAME_NAME and all(
        _is_final(flow, each.node) and _refuses(flow, list(each.value), depth + 1) for each in found
    )


def _keeps_value(flow: DartFlow, name: Node) -> bool:
    """Return True if the code at one use of a variable's name can't assign another value to it.

    This is so if the code only reads the variable there, or defines it with its first value. The
    first value of a variable counts as its value only if this is True for all uses of its name in
    the file. ``name`` is the syntax node of the use. ``flow`` is the parsed Dart file.
    """
    parent = flow.tree.parent(name)
    if parent is None or parent.type not in DEFINITIONS:
        return parent is not None and parent.type in _HARMLESS
    return flow.tree.child(parent, "=") is not None


def _is_in_scope(flow: DartFlow, definition: Node, use: Node) -> bool:
    """Return True if a name at ``use`` can mean the variable that ``definition`` defines.

    This is so if the block, loop, function or class around the definition contains the use, or if
    the definition is outside of all of these. Other definitions of the same name are ignored. Both
    arguments are syntax nodes. ``flow`` is the parsed Dart file.
    """
    for each in flow.tree.ancestors(definition):
        if each.type == "for_statement" or each.type.endswith(("block", "_body")):
            return each.start_byte <= use.start_byte < each.end_byte
    return True


def _is_final(flow: DartFlow, definition: Node) -> bool:
    """Return True if code in other files can't give the defined name another value.

    Its value in this file counts as known only in this case. This is so for constants and for local
    variables. ``flow`` is the parsed Dart file, and ``definition`` the node that defines the name.
    """
    return definition.type == "static_final_declaration" or any(flow.around(definition))


def _passes_on(flow: DartFlow, run: list[Node]) -> bool:
    """Return True if an expression calls a certificate callback, such as ``onBadCertificate(…)``.

    A callback that returns this expression only passes on the decision of the called one. So it
    adds no effect, and isn't reported. ``flow`` is the parsed Dart file, and ``run`` has the syntax
    nodes of the expression.
    """
    name = flow.code.last_name(run)
    values = [list(each.value) for each in flow.code.definitions.get(name, ())]
    return name in CALLBACKS or any(flow.code.last_name(value) in CALLBACKS for value in values)


def _called_function(flow: DartFlow, run: list[Node]) -> Function | None:
    """Return the function of this file that an expression calls, to follow its results.

    Return None if the expression is not a call, or if the file defines no function or several
    functions with the called name. ``flow`` is the parsed Dart file, and ``run`` has the syntax
    nodes of the expression.
    """
    if not run or flow.tree.child(run[-1], "argument_part") is None:
        return None
    if len(run) > 3 or run[0].type not in {"identifier", "this"}:
        return None
    found = flow.functions.get(flow.code.path(run).rpartition(".")[2], [])
    return found[0] if len(found) == 1 else None


def _compares(flow: DartFlow, function: Function, run: list[Node]) -> bool:
    """Return True if an expression in a callback seems to compare the certificate with pins.

    The expression then uses the certificate that the callback receives, or a name about pins. The
    effect of the callback is then "compare", otherwise "accept" or "flag" (see ``_answers``).

    Args:
        flow: the file of the callback.
        function: the callback.
        run: the syntax nodes of the expression.
    """
    names = flow.origins(run)
    certificates = {
        name
        for name, kind in zip(function.parameters, function.types, strict=True)
        if kind == CERTIFICATE
    } or set(function.parameters[:1])
    if names & certificates - {"", "_"}:
        return True
    return any(PIN_WORDS & set(words(name)) for name in names)


def _is_local(flow: DartFlow, run: list[Node], depth: int = 0) -> bool:
    """Return True if an expression can be true only for loopback addresses.

    A callback that accepts certificates only under this condition is no mistake. ``flow`` is the
    parsed Dart file, ``run`` has the syntax nodes of the expression, and ``depth`` is the recursion
    depth.
    """
    run = flow.unwrapped(run)
    kind = run[0].type if len(run) == 1 and depth <= _MAX_DEPTH else ""
    if enough := _ENOUGH.get(kind):
        operands = flow.code.operands(run[0], kind.replace("expression", "operator"))
        return enough(_is_local(flow, operand, depth + 1) for operand in operands)
    if kind == "switch_expression":
        cases = [each for each in flow.tree.children(run[0]) if each.type == CASE]
        return all(_accepts_locally(flow, each, depth) for each in cases)
    return _is_loopback(flow, run, depth)


def _accepts_locally(flow: DartFlow, case: Node, depth: int) -> bool:
    """Return True if a case of a ``switch`` expression can be true only for loopback addresses.

    This is so if its pattern needs a loopback address, or if its value is never true. If all cases
    are so, the whole expression counts as a condition for loopback addresses (``_is_local``).
    ``flow`` is the parsed Dart file, and ``depth`` is the recursion depth.
    """
    parts = flow.code.operands(case, "=>")
    return _is_loopback_pattern(flow, parts[0], depth) or _refuses(flow, parts[-1])


def _is_loopback(flow: DartFlow, run: list[Node], depth: int) -> bool:
    """Return True if an expression compares a value only with loopback addresses.

    Then a callback that accepts certificates under this condition is no mistake. Such expressions
    are ``host == 'localhost'``, ``['localhost'].contains(host)``, and the condition ``host case
    'localhost'``. For any other expression return False, because it can have another meaning.
    ``flow`` is the parsed Dart file, ``run`` has the syntax nodes of the expression, and ``depth``
    is the recursion depth.
    """
    kinds = [each.type for each in run]
    if "case" in kinds:
        return _is_loopback_pattern(flow, run[kinds.index("case") + 1 :], depth)
    if kinds == ["equality_expression"]:
        operators = [x for x in flow.tree.children(run[0]) if x.type == "equality_operator"]
        sides = flow.code.operands(run[0], "equality_operator")
        if [flow.tree.text(each) for each in operators] != ["=="]:
            return False
        return any(_is_value(x) and _are_local(flow, y) for x, y in (sides, sides[::-1]))
    if len(run) != 3 or kinds[0] not in _LISTS or flow.tree.text(run[1]) != ".contains":
        return False
    arguments = [x for x in flow.nodes_in(run[2:]) if x.type == "argument"]
    entries = [x for x in flow.tree.children(run[0]) if x.type not in _AROUND_ENTRIES]
    is_of_value = len(arguments) == 1 and _is_value(flow.tree.children(arguments[0]))
    return is_of_value and _are_local(flow, entries)


def _is_loopback_pattern(flow: DartFlow, run: list[Node], depth: int) -> bool:
    """Return True if a pattern, or the condition ``when`` behind it, needs a loopback address.

    The pattern is that of an ``if`` with ``case``, or of a case of a ``switch`` expression.
    ``flow`` is the parsed Dart file, ``run`` has the syntax nodes of the pattern and the condition,
    and ``depth`` is the recursion depth.
    """
    guard = next((at for at, each in enumerate(run) if each.type == "when"), len(run))
    if _is_local(flow, run[guard + 1 :], depth + 1):
        return True
    constants = [x for x in run[:guard] if x.type != "logical_or_operator"]
    values = [flow.tree.children(each) for each in constants]
    return bool(values) and all(_are_local(flow, each) for each in values)


def _is_value(run: list[Node]) -> bool:
    """Return True if an expression is a name, perhaps with members and calls: ``uri.host``.

    An expression with an operator is not one. ``_is_loopback`` accepts a comparison with a loopback
    address only if the other side is such a value, because it can then be the host. ``run`` has the
    syntax nodes of the expression.
    """
    kinds = [each.type for each in run]
    return bool(kinds) and kinds[0] in GRAMMAR.names and SELECTORS.issuperset(kinds[1:])


def _are_local(flow: DartFlow, nodes: list[Node]) -> bool:
    """Return True if syntax nodes are string literals with loopback addresses, and nothing else.

    A comparison of a host with only these values is no mistake. Return False for an empty list.
    ``flow`` is the parsed Dart file.
    """
    return bool(nodes) and all(
        each.type == "string_literal"
        and flow.tree.child(each, "template_substitution") is None
        and flow.code.decode(each, {}) in _LOCAL
        for each in nodes
    )
