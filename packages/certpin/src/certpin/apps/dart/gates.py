"""Find pin checks in Dart code that depend on debug mode, an ``assert`` or a build option.

Such a check is missing from some builds of the app, which can be the release builds.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import TYPE_CHECKING

from certpin.apps.dart.code import BRANCHES, CREATIONS, DEFINITIONS, FUNCTIONS, SELECTORS
from certpin.apps.dart.flow import CERTIFICATE
from certpin.apps.literals import identifies_certificate
from certpin.apps.usage import PIN_WORDS, words
from certpin.support.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

    from certpin.apps.dart.flow import DartFlow, Function
    from certpin.apps.rules import FileReporter

# Functions and classes that compare pins, or make a client that does.
_ENFORCING = (
    *("CertificatePinningHttpClient", "CertificatePinningInterceptor", "HttpCertificatePinning"),
    *("PinnedHttpClient", "PinnedHttpOverrides", "SecureHttpClient", "SslPinningPlugin"),
    *("pinnedAdapter", "pinnedClient", "pinnedDio"),
)
_VALIDATES = frozenset(
    {
        *("accept", "accepts", "check", "is", "match", "matches", "trust", "trusted", "valid"),
        *("validate", "verify"),
    }
)
PIN_NAMES = PIN_WORDS - {"ssl", "tls"}
# "pin" may be a number that a user enters; the other words are about certificates.
_CERTIFICATE_NAMES = PIN_NAMES - {"pin", "pins", "pinned"}
_DIGEST_WORDS = frozenset(
    {"digest", "fingerprint", "fingerprints", "hash", "sha", "spki", "thumbprint", "thumbprints"}
)
# A path to a certificate, its name, and a switch for pinning are no pins.
_OPTION_WORDS = frozenset(
    {"fingerprint", "fingerprints", "pin", "pins", "spki", "thumbprint", "thumbprints"}
)
_NO_OPTION_WORDS = frozenset({"enable", "enabled", "host", "hosts", "mode", "path", "url"})
_CONSTRUCTORS = frozenset({"initializer_list_entry", "initializers"})
_EMPTY = frozenset({"[]", "{}", "null", "''", '""'})
_TYPES = re.compile(r"const|<[\w<>, ]*>|\s")
_MAX_EMPTY = 50  # bytes of `const <String>[]`
_MAX_SHOWN = 80


def check_gates(flow: DartFlow, reporter: FileReporter) -> None:
    """Report pin checks that run only in some builds of the app, such as only in debug builds.

    ``flow`` is the parsed Dart file, and ``reporter`` collects the mistakes.
    """
    if flow.has_modes:
        _check_clients(flow, reporter)
        _check_validators(flow, reporter)
        _check_empty_release(flow, reporter)
    _check_asserts(flow, reporter)
    _check_build_options(flow, reporter)


def compares_pins(flow: DartFlow, node: Node) -> bool:
    """Return True if the code below a syntax node compares pins (see ``pin_comparisons``).

    The checks for mistakes use this, for example to report an ``assert`` that compares a pin.
    ``flow`` is the parsed Dart file.
    """
    return any(True for _ in pin_comparisons(flow, node))


def pin_comparisons(flow: DartFlow, node: Node) -> Iterator[Node]:
    """Yield the nodes of the comparisons of pins in the code below a syntax node.

    Such code is, for example, ``pins.contains(…)``, ``fingerprint == …`` or ``checkPin(…)``. A
    comparison with a literal counts only if the literal is a digest or a certificate in PEM, and
    the other value is computed from a certificate. A comparison of lengths, for example, doesn't
    count. ``flow`` is the parsed Dart file.
    """
    for each in flow.tree.inside(node):
        check = _COMPARISONS.get(each.type)
        if check is not None and check(flow, each):
            yield each


def is_of_certificate(flow: DartFlow, run: list[Node]) -> bool:
    """Return True if an expression seems to be computed from a certificate, as a fingerprint is.

    Its comparison with a digest is then a check of a pin. A name in the expression shows this, or a
    name in the value of a local variable that it uses. ``flow`` is the parsed Dart file, and
    ``run`` has the syntax nodes of the expression.
    """
    return any(_CERTIFICATE_NAMES & set(words(name)) for name in flow.origins(run))


def _is_pin_equality(flow: DartFlow, equality: Node) -> bool:
    runs = flow.code.operands(equality, "equality_operator")
    others = [run for run in runs if not identifies_certificate(flow.code.value(run) or "")]
    if len(others) < len(runs):
        return any(run and is_of_certificate(flow, run) for run in others)
    names = [flow.code.last_name(run) for run in runs]
    return all(names) and any(PIN_NAMES & set(words(name)) for name in names)


def _is_pin_call(flow: DartFlow, arguments: Node) -> bool:
    owner, _, name = flow.code.call(arguments).rpartition(".")
    if name == "contains":
        run = flow.code.first_argument(arguments)
        # `pin.contains('text')` searches in a text, for example for a placeholder.
        return flow.code.value(run) is None and (
            bool(PIN_NAMES & set(words(owner.rpartition(".")[2])))
            or _is_certificate_digest(flow, run)
        )
    parts = set(words(name))
    return bool(parts & _VALIDATES and parts & PIN_NAMES)


def _is_certificate_digest(flow: DartFlow, run: list[Node]) -> bool:
    """Return True if an expression, or a local variable in it, seems to hash a certificate.

    A search for this value in a list (``list.contains(…)``) then counts as a comparison of pins.
    ``flow`` is the parsed Dart file, and ``run`` has the syntax nodes of the expression.
    """
    parts = {word for name in (flow.origins(run) if run else ()) for word in words(name)}
    return bool(parts & _CERTIFICATE_NAMES and parts & _DIGEST_WORDS)


_COMPARISONS = {"arguments": _is_pin_call, "equality_expression": _is_pin_equality}


def enforcing_clients(flow: DartFlow) -> Iterator[Node]:
    """Yield each use of a client that enforces pins, or of a pin check, as the node of its name.

    The callers compare these uses with the builds in which they run. Imports, types and definitions
    are left out. So are clients that the code makes, but never uses. ``flow`` is the parsed Dart
    file.
    """
    for name in _ENFORCING:
        for node in flow.tree.names.get(name, ()):
            is_used = flow.code.is_used(node) and not _is_dropped(flow, node)
            if is_used or _is_passed_on(flow, node):
                yield node


def _is_dropped(flow: DartFlow, name: Node) -> bool:
    """Return True if the code makes a pinning client and never uses it: it then enforces nothing.

    The new client is a whole statement, or the value of a local variable without a use. A variable
    that is not local can have uses in other files. A call of a function as a statement is a use,
    because the function can change its arguments. ``name`` is the node of the class or function
    that makes the client. ``flow`` is the parsed Dart file.
    """
    arguments = flow.code.arguments_of(name)
    around = (x for x in flow.tree.ancestors(name) if x.type not in SELECTORS | CREATIONS)
    holder = next(around, None)
    if arguments is None or holder is None:
        return False
    run = [each for each in flow.tree.children(holder) if each.type != ";"]
    if run[-1].end_byte != arguments.end_byte:
        return False  # the code uses a member of the client, or does more in the statement
    if holder.type == "expression_statement":
        return _is_class(flow, name)
    return holder.type in DEFINITIONS and _is_unused(flow, holder)


def _is_unused(flow: DartFlow, definition: Node) -> bool:
    """Return True if a syntax node defines a local variable that its function doesn't use later.

    A pinning client in such a variable enforces nothing (``_is_dropped``). Return False for a
    variable that isn't local, because other files can use it. ``flow`` is the parsed Dart file, and
    ``definition`` is the node.
    """
    function = next(flow.around(definition), None)
    if function is None:
        return False
    same = flow.tree.names.get(flow.code.name_of(definition), [])
    at = bisect_left(same, definition.end_byte, key=lambda each: each.start_byte)
    return at == len(same) or same[at].start_byte >= function.body.end_byte


def _is_passed_on(flow: DartFlow, name: Node) -> bool:
    """Return True if a name is that of a function, and the code passes it as an argument.

    This counts as a use of a pin check, as a call of it does. ``flow`` is the parsed Dart file, and
    ``name`` the node of the name.
    """
    parent = flow.tree.parent(name)
    is_argument = parent is not None and parent.type in {"argument", "named_argument"}
    return is_argument and not _is_class(flow, name)


def _is_class(flow: DartFlow, name: Node) -> bool:
    return flow.tree.text(name)[0].isupper()


def _check_clients(flow: DartFlow, reporter: FileReporter) -> None:
    """Report pinning HTTP clients that only debug builds use, or only release builds.

    ``flow`` is the parsed Dart file, and ``reporter`` collects the mistakes.
    """
    clients = list(enforcing_clients(flow))
    for node in clients:
        gate = flow.gate(node)
        if gate not in {"debug", "release"} or _has_other_branch(flow, node, clients):
            continue
        line = flow.tree.line(node)
        if gate == "debug":
            reporter.report("pins-in-debug-only", line)
        else:
            message = f"{flow.tree.text(node)} is used in release builds only"
            reporter.report("debug-only-gate", line, message)


def _has_other_branch(flow: DartFlow, node: Node, clients: list[Node]) -> bool:
    """Return True if the ``if`` around a pinning client contains another pinning client.

    Both branches of the ``if`` then have one, so the client is not reported as used in some builds
    only. Return False if there is no ``if`` around it. ``node`` is the name of the client in the
    code, and ``clients`` has such nodes for all pinning clients of the file. ``flow`` is the parsed
    Dart file.
    """
    branch = next((x for x in flow.tree.ancestors(node) if x.type in BRANCHES), None)
    if branch is None:
        return False
    return sum(branch.start_byte <= x.start_byte < branch.end_byte for x in clients) > 1


def _check_validators(flow: DartFlow, reporter: FileReporter) -> None:
    """Report functions that check certificates, but accept any certificate in debug builds.

    ``flow`` is the parsed Dart file, and ``reporter`` collects the mistakes.
    """
    for statement in flow.tree.kinds.get("return_statement", ()):
        if flow.is_true(flow.tree.children(statement)[1:2]):
            branch = _debug_branch(flow, statement)
            if branch is not None:
                _report_validator(flow, reporter, branch)
    for branch in flow.tree.kinds.get("logical_or_expression", ()):
        runs = flow.code.operands(branch, "logical_or_operator")
        modes = {flow.mode(run) for run in runs}
        if "debug" in modes and len(modes) > 1:
            _report_validator(flow, reporter, branch)


def _report_validator(flow: DartFlow, reporter: FileReporter, branch: Node) -> None:
    function = next(flow.around(branch), None)
    if function is not None and _is_validator(function):
        reporter.report("debug-only-gate", flow.tree.line(branch))


def _debug_branch(flow: DartFlow, statement: Node) -> Node | None:
    """Return the ``if`` around a ``return true`` that makes it run only in debug builds.

    The line of this ``if`` is reported. Return None if there is no such ``if`` in the function that
    contains the statement. ``statement`` is the node of the ``return true``. ``flow`` is the parsed
    Dart file.
    """
    current = statement
    for parent in flow.tree.ancestors(statement):
        if parent.type in FUNCTIONS:
            return None
        is_first = parent.type == "if_statement" and flow.is_first(current, parent)
        if is_first and flow.mode(flow.condition(parent)) == "debug":
            return parent
        current = parent
    return None


def _is_validator(function: Function) -> bool:
    """Return True if a function's name or parameters show that it checks certificates.

    The name has a word for pins, a parameter is an ``X509Certificate``, or is named like one. If
    such a function accepts any certificate in debug builds, that is reported; in other functions, a
    result for debug builds is no mistake.
    """
    if CERTIFICATE in function.types or set(words(function.name)) & PIN_NAMES:
        return True
    return any({"cert", "certificate"} & set(words(name)) for name in function.parameters)


def _check_empty_release(flow: DartFlow, reporter: FileReporter) -> None:
    """Report ``kDebugMode ? pins : []``, because a release build then has no pins.

    ``flow`` is the parsed Dart file, and ``reporter`` collects the mistakes.
    """
    for node in flow.tree.kinds.get("conditional_expression", ()):
        condition, first, second = flow.code.branches(node)
        mode = flow.mode(condition)
        if mode not in {"debug", "release"}:
            continue
        debug, release = (first, second) if mode == "debug" else (second, first)
        if _is_empty(flow, release) and not _is_empty(flow, debug) and _is_of_pins(flow, node):
            reporter.report("pins-in-debug-only", flow.tree.line(node))


def _is_empty(flow: DartFlow, run: list[Node]) -> bool:
    if len(run) != 1 or run[0].end_byte - run[0].start_byte > _MAX_EMPTY:
        return False
    return _TYPES.sub("", flow.tree.text(run[0])) in _EMPTY


def _is_of_pins(flow: DartFlow, node: Node) -> bool:
    """Return True if a value is assigned to a variable or parameter with a name such as ``pins``.

    The code ``kDebugMode ? pins : []`` is reported only for such a value. ``node`` is the node of
    the value. ``flow`` is the parsed Dart file.
    """
    definition = flow.code.definition_of(node)
    names = [definition.name] if definition is not None else []
    for each in flow.tree.ancestors(node):
        label = flow.tree.child(each, "label") if each.type == "named_argument" else None
        if label is not None:
            names.append(flow.code.name_of(label))
    return any(PIN_NAMES & set(words(name)) for name in names)


def _check_asserts(flow: DartFlow, reporter: FileReporter) -> None:
    """Report comparisons of pins in an ``assert``, because release builds don't contain them.

    ``flow`` is the parsed Dart file, and ``reporter`` collects the mistakes.
    """
    for assertion in flow.tree.kinds.get("assertion", ()):
        # In a constructor, it checks arguments, not a connection.
        above = {each.type for each in flow.tree.ancestors(assertion)}
        if not above & _CONSTRUCTORS and compares_pins(flow, assertion):
            line = flow.tree.line(assertion)
            reporter.report("pins-in-debug-only", line, "an assert compares the pin")


def _check_build_options(flow: DartFlow, reporter: FileReporter) -> None:
    """Report pins that come from a build option (``String.fromEnvironment``).

    A build without the option has the default, or no pins. ``flow`` is the parsed Dart file, and
    ``reporter`` collects the mistakes.
    """
    for arguments in _calls(flow, "fromEnvironment", "String.fromEnvironment"):
        key = flow.code.value(flow.code.first_argument(arguments)) or ""
        definition = flow.code.definition_of(arguments)
        name = definition.name if definition is not None else ""
        named = {*words(key), *words(name)}
        if named & _OPTION_WORDS and not named & _NO_OPTION_WORDS:
            shown = printable(key[:_MAX_SHOWN])
            message = f"the pin comes from the build option {shown}"
            reporter.report("pins-from-build-option", flow.tree.line(arguments), message)


def _calls(flow: DartFlow, name: str, call: str) -> Iterator[Node]:
    """Yield the arguments of each call of a function, such as ``String.fromEnvironment``.

    ``call`` is the name of the function, and ``name`` its last identifier (``fromEnvironment``).
    ``flow`` is the parsed Dart file.
    """
    for node in flow.tree.names.get(name, ()):
        arguments = flow.code.arguments_of(node)
        if arguments is not None and flow.code.call(arguments) == call:
            yield arguments
