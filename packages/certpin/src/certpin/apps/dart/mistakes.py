"""Find the mistakes in Dart code that decides which certificates an app accepts.

This module finds, for example, checks that run after the response or on another connection, clients
without trust anchors, and private keys in strings. It also runs the checks of three other modules:
``callbacks`` for callbacks that receive refused certificates, ``gates`` for code that depends on
debug or release mode, and ``plain_http`` for addresses without TLS. The module ``rules`` explains
each kind of mistake.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from certpin.apps.dart.callbacks import CALLBACKS, check_callbacks
from certpin.apps.dart.code import CREATIONS
from certpin.apps.dart.flow import CERTIFICATE
from certpin.apps.dart.gates import (
    check_gates,
    compares_pins,
    is_of_certificate,
    pin_comparisons,
)
from certpin.apps.dart.plain_http import check_plain_http
from certpin.apps.rules import FileReporter
from certpin.apps.usage import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

    from certpin.apps.dart.flow import DartFlow, Function
    from certpin.apps.model import FileFindings

# Calls that check a certificate on a separate connection. Their native code was read in
# http_certificate_pinning 3.0.1 and ssl_pinning_plugin 2.0.0.
_OTHER_CONNECTION = (
    "HttpCertificatePinning.check",
    "SecureHttpClient.build",
    "SslPinningPlugin.check",
)
_INTERCEPTOR = "CertificatePinningInterceptor"
# An app may have a class of this name. The plugin's has the parameter, or the app imports a plugin.
_PLUGIN = re.compile(rb"allowedSHAFingerprints|import\s+['\"]package:[a-z_]{0,40}pinning")
_SOCKETS = ("RawSecureSocket", "SecureSocket")
_SENDING = frozenset({"add", "addStream", "listen", "pipe", "read", "write", "writeAll", "writeln"})
_CLIENTS = re.compile(r"(?:.*\.)?(?:HttpClient|(?:Raw)?SecureSocket\.\w+)")
_ANCHORS = ("setTrustedCertificates", "setTrustedCertificatesBytes")
_LATE = "validateCertificate"  # of dio's IOHttpClientAdapter
_LATE_NAMES = frozenset({"certificate", "peerCertificate", "HttpCertificatePinning"})
# Getters that code calls on an X509Certificate, and that don't exist.
_NO_GETTERS = ("fingerprint", "publicKey", "sha256", "sha256Fingerprint", "sha512", "spki")
# An extension may add them, in this file or in another one.
_EXTENSION = re.compile(
    rb"extension\b[^{]{0,200}\bon\s+X509Certificate\b|import\s+['\"][^'\"]{0,200}extension"
)
_ERROR_TEXT = re.compile(r"certificate|handshake|\bssl\b|\btls\b|\bpin", re.IGNORECASE)
_TEXT_OF_ERROR = frozenset({"message", "toString"})
_ERROR_NAMES = frozenset({"e", "err", "error", "ex", "exc", "exception", "failure"})
_ERROR_TYPES = ("Error", "Exception")  # the ends of their names
# The mark, and the beginning of a key: code that only looks for the mark contains no key.
_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?:[A-Z]{1,9} ){0,2}PRIVATE KEY-----[\s\S]{0,200}?[A-Za-z0-9+/]{32}"
)

_WORDS = (
    *(b"badcertificatecallback", b"onbadcertificate", b"validatecertificate", b"x509certificate"),
    *(b"certificatepinning", b"securehttpclient", b"sslpinning", b"pinnedhttp", b"pinneddio"),
    *(b"peercertificate", b"httpoverrides", b"securitycontext", b"uri.http"),
    *(b"'http", b'"http', b"'ws", b'"ws', b"uri(", b"private key-----"),
)
_ERROR_WORDS = re.compile(
    rb"""contains\(\s*["'][^"'\n]{0,60}(?:certificate|handshake|ssl|tls|pin)"""
)
_WITH_PINS = (
    *(b"kdebugmode", b"kreleasemode", b"dart.vm.product", b"assert(", b"fromenvironment"),
    *(b"onresponse", b".certificate"),
)


def may_have_mistakes(lower: bytes) -> bool:
    """Return True if a Dart file contains words that code with mistakes, or with hosts, needs.

    This search is fast. ``read_dart`` parses a file only if the result is True, or if the file may
    have pins.

    Args:
        lower: the content of the file in lower case.
    """
    if any(word in lower for word in _WORDS) or _ERROR_WORDS.search(lower):
        return True
    has_pins = b"pin" in lower or b"cert" in lower or b"print" in lower
    return has_pins and any(word in lower for word in _WITH_PINS)


def check_dart(flow: DartFlow, path: str, findings: FileFindings) -> None:
    """Add the mistakes in a Dart file to ``findings``, the results for this file, sorted by line.

    ``path`` is the path of the file for the results. ``flow`` is the parsed Dart file.
    """
    reporter = FileReporter(path, findings)
    for check in _CHECKS:
        check(flow, reporter)
    findings.mistakes.sort(key=lambda each: (each.place.line, each.rule))


def _check_getters(flow: DartFlow, reporter: FileReporter) -> None:
    """Report uses of getters that ``X509Certificate`` doesn't have, such as ``cert.sha256``.

    Such code compiles only with an extension that adds the getter; a file that can have one is left
    out. ``flow`` is the parsed Dart file, and ``reporter`` collects the mistakes.
    """
    names = [name for name in _NO_GETTERS if name in flow.tree.names]
    if not names or _EXTENSION.search(flow.tree.data):
        return
    for name in names:
        for node in flow.tree.names[name]:
            owner = _owner(flow, node)
            if owner and _is_certificate(flow, node, owner):
                message = f"X509Certificate has no {name}"
                reporter.report("no-such-getter", flow.tree.line(node), message)


def _owner(flow: DartFlow, member: Node) -> str:
    """Return the expression before the name of a member, as text: ``cert`` for ``cert.sha256``.

    ``member`` is the node of the name ``sha256``. Return an empty text if no expression is before
    it. ``flow`` is the parsed Dart file.
    """
    selector = flow.tree.parent(member)
    if selector is None or "assignable_selector" not in selector.type:
        return ""
    parent = flow.tree.parent(selector)
    anchor = parent if parent is not None and parent.type == "selector" else selector
    return flow.code.path(flow.code.head(anchor))


def _is_certificate(flow: DartFlow, node: Node, owner: str) -> bool:
    if owner.rpartition(".")[2] == "peerCertificate":
        return True
    for function in flow.around(node):
        if owner in function.parameters:
            at = function.parameters.index(owner)
            return function.types[at] == CERTIFICATE or (at == 0 and _is_callback(flow, function))
    for definition in flow.code.definitions.get(owner, ()):
        names = [flow.tree.text(each) for each in flow.tree.children(definition.node)]
        if CERTIFICATE in names or flow.code.last_name(list(definition.value)) == "peerCertificate":
            return True
    return False


def _is_callback(flow: DartFlow, function: Function) -> bool:
    """Return True if a function is a closure that is set as a callback for certificates.

    The first parameter of such a closure is a certificate, even if the code doesn't give its type.
    Uses of getters that certificates don't have are then found. ``flow`` is the parsed Dart file.
    """
    for name in (*CALLBACKS, _LATE):
        for node in flow.tree.names.get(name, ()):
            closure = flow.closure(flow.assigned(node))
            if closure is not None and closure.body.id == function.body.id:
                return True
    return False


def _check_anchors(flow: DartFlow, reporter: FileReporter) -> None:
    """Report each ``SecurityContext`` without trust anchors with which a client connects.

    Such a client refuses every server, unless a callback accepts the refused certificates. ``flow``
    is the parsed Dart file, and ``reporter`` collects the mistakes.
    """
    for node in flow.tree.names.get("SecurityContext", ()):
        arguments = flow.code.arguments_of(node)
        if arguments is None or flow.code.call(arguments) != "SecurityContext":
            continue
        roots = dict(flow.code.arguments(arguments)).get("withTrustedRoots", [])
        is_without = not roots or (len(roots) == 1 and roots[0].type == "false")
        if is_without and _lacks_anchors(flow, node):
            reporter.report("no-anchors", flow.tree.line(node))


def _lacks_anchors(flow: DartFlow, node: Node) -> bool:
    """Return True if a client uses a new ``SecurityContext`` without any trust anchor.

    This is reported as a mistake. Return False if the code adds anchors, or if this file doesn't
    show the use of the object. ``node`` is the name ``SecurityContext`` in the code that makes the
    new object. ``flow`` is the parsed Dart file.
    """
    tree = flow.tree
    creation = node
    parent = tree.parent(node)
    if parent is not None and parent.type in CREATIONS:
        creation, parent = parent, tree.parent(parent)
    if any(_sets_anchors(flow, each) for each in tree.after(creation)):
        return False
    if parent is not None and parent.type == "named_argument":
        return _is_client_context(flow, parent)
    definition = flow.code.definition_of(node)
    if definition is None or any(name in tree.names for name in _ANCHORS):
        return False
    places = (x for x in tree.names.get(definition.name, ()) if not definition.contains(x))
    holders = [holder for each in places if (holder := tree.parent(each)) is not None]
    given = [holder for holder in holders if holder.type == "named_argument"]
    is_passed_on = any(holder.type in {"argument", "return_statement"} for holder in holders)
    is_for_clients = all(_is_client_context(flow, each) for each in given)
    return bool(given) and is_for_clients and not is_passed_on


def _sets_anchors(flow: DartFlow, section: Node) -> bool:
    """Return True if a section of a cascade adds trust anchors to a ``SecurityContext``.

    An example is ``..setTrustedCertificatesBytes(…)``. Then the ``SecurityContext`` is not
    reported. ``section`` is the node of the section. ``flow`` is the parsed Dart file.
    """
    selector = flow.tree.child(section, "cascade_selector")
    return selector is not None and flow.code.name_of(selector) in _ANCHORS


def _is_client_context(flow: DartFlow, argument: Node) -> bool:
    """Return True if a named argument is the ``context`` of a client of dart:io.

    A ``SecurityContext`` is reported only if such a client gets it: servers need no trust anchors.
    ``argument`` is the node of the named argument. ``flow`` is the parsed Dart file.
    """
    arguments = flow.tree.parent(argument)
    label = flow.tree.child(argument, "label")
    if arguments is None or label is None or flow.code.name_of(label) != "context":
        return False
    return _CLIENTS.fullmatch(flow.code.call(arguments)) is not None


def _check_late(flow: DartFlow, reporter: FileReporter) -> None:
    """Report checks of pins that run after the response has arrived.

    Such a check is too late: the app has already sent the request, perhaps to an attacker. ``flow``
    is the parsed Dart file, and ``reporter`` collects the mistakes.
    """
    for node in _late_checks(flow):
        reporter.report("check-after-response", flow.tree.line(node))


def _late_checks(flow: DartFlow) -> Iterator[Node]:
    for node in flow.tree.names.get(_LATE, ()):
        run = flow.assigned(node)
        if run and run[0].type != "null_literal" and not _is_constant(flow, run):
            yield node
    for handler in _response_handlers(flow):
        yield from islice((x for x in flow.tree.inside(handler) if _is_check(flow, x)), 1)
        yield from islice(
            (x for x in pin_comparisons(flow, handler) if is_of_certificate(flow, [x])), 1
        )
    for node in flow.tree.names.get("certificate", ()):
        function = next(flow.around(node), None)
        if function is None or not _is_response(flow, _owner(flow, node)):
            continue
        if compares_pins(flow, function.body) or _is_compared(flow, node):
            yield node


def _is_compared(flow: DartFlow, node: Node) -> bool:
    """Return True if code compares a value with a variable: ``certificate!.pem != expected``.

    If the value is the certificate of a response, the comparison is reported as a check that runs
    too late. ``node`` is a node of the value, such as ``certificate``. Return False for a
    comparison with a literal: ``pin_comparisons`` finds those. ``flow`` is the parsed Dart file.
    """
    for each in islice(flow.tree.ancestors(node), 4):
        if each.type == "equality_expression":
            return all(map(flow.code.last_name, flow.code.operands(each, "equality_operator")))
    return False


def _is_constant(flow: DartFlow, run: list[Node]) -> bool:
    """Return True if a callback returns only ``true`` or ``false``, and no computed value.

    Such a callback compares nothing, so it isn't reported as a check that runs too late. Return
    False if the callback is not a closure. ``run`` has the syntax nodes of the callback. ``flow``
    is the parsed Dart file.
    """
    function = flow.closure(run)
    if function is None:
        return False
    answers = [flow.unwrapped(each.run) for each in flow.returned(function.body)]
    return all(len(each) == 1 and each[0].type in {"true", "false"} for each in answers)


def _response_handlers(flow: DartFlow) -> Iterator[Node]:
    """Yield the bodies of response handlers: methods, or arguments, named ``onResponse``.

    They run after the response has arrived, so checks of pins in them are too late. ``flow`` is the
    parsed Dart file.
    """
    for function in flow.functions.get("onResponse", ()):
        yield function.body
    for node in flow.tree.names.get("onResponse", ()):
        closure = flow.closure(flow.assigned(node))
        if closure is not None:
            yield closure.body


def _is_check(flow: DartFlow, node: Node) -> bool:
    """Return True if a node is an identifier that reads or checks the certificate of a response.

    In a response handler, such an identifier is reported as a check that runs too late. Examples
    are ``certificate`` and ``HttpCertificatePinning``. ``flow`` is the parsed Dart file.
    """
    return node.type == "identifier" and flow.tree.text(node) in _LATE_NAMES


def _is_response(flow: DartFlow, owner: str) -> bool:
    """Return True if a variable contains an HTTP response: a result of ``request.close()``.

    A check of the certificate of such a response runs too late, and is reported. ``flow`` is the
    parsed Dart file. ``owner`` is the name of the variable.
    """
    for definition in flow.code.definitions.get(owner, ()):
        types = {flow.tree.text(each) for each in flow.tree.children(definition.node)}
        last = definition.value[-1] if definition.value else None
        text = flow.tree.text(last) if last is not None else ""
        if text.endswith(".close()") or text == "()" or "HttpClientResponse" in types:
            return True
    return False


def _check_other_connection(flow: DartFlow, reporter: FileReporter) -> None:
    """Report certificate checks that use a separate connection, not that of the request.

    The certificate of the request's own connection is then not checked, and an attacker can
    intercept only that one. ``flow`` is the parsed Dart file, and ``reporter`` collects the
    mistakes.
    """
    for node in _other_clients(flow):
        reporter.report("check-on-other-connection", flow.tree.line(node))
    for name in _SOCKETS:
        for node in flow.tree.names.get(name, ()):
            if _is_call(flow, node, f"{name}.connect") and _is_probe(flow, node):
                message = "the socket is closed when its certificate was compared"
                reporter.report("check-on-other-connection", flow.tree.line(node), message)


def _other_clients(flow: DartFlow) -> Iterator[Node]:
    """Yield the nodes of calls of plugins that check the certificate on a separate connection.

    ``flow`` is the parsed Dart file.
    """
    own = {flow.code.name_of(each) for each in flow.tree.kinds.get("class_definition", ())}
    if _INTERCEPTOR not in own and _PLUGIN.search(flow.tree.data):
        for node in flow.tree.names.get(_INTERCEPTOR, ()):
            if flow.code.arguments_of(node) is not None:
                yield node
    for call in _OTHER_CONNECTION:
        for node in flow.tree.names.get(call.partition(".")[0], ()):
            if _is_call(flow, node, call):
                yield node


def _is_call(flow: DartFlow, node: Node, path: str) -> bool:
    """Return True if a node is the start of a call of ``path``, as in ``Socket.connect(…)``.

    Only calls are reported, not other uses of the name. ``flow`` is the parsed Dart file, and
    ``path`` has the names in the call, joined with dots.
    """
    run = [node]
    for each in flow.tree.after(node):
        if each.type != "selector" or flow.tree.child(each, "argument_part") is not None:
            return each.type == "selector" and flow.code.path(run) == path
        run.append(each)
    return False


def _is_probe(flow: DartFlow, node: Node) -> bool:
    """Return True if the function around a node opens a socket only to compare its certificate.

    The function compares pins, closes the socket, and neither sends data nor returns the socket.
    This is reported: the check says nothing about the connection that the app's requests use.
    ``node`` is the name ``Socket`` or a similar one in the call that connects. ``flow`` is the
    parsed Dart file.
    """
    function = next(flow.around(node), None)
    if function is None:
        return False
    names = flow.names_in([function.body])
    definition = flow.code.definition_of(node)
    returned = {flow.code.path(each.run) for each in flow.returned(function.body)}
    is_kept = definition is not None and definition.name in returned
    is_closed = bool(names & {"close", "destroy"}) and not names & _SENDING
    reads = "peerCertificate" in names
    return reads and is_closed and not is_kept and compares_pins(flow, function.body)


def _check_error_texts(flow: DartFlow, reporter: FileReporter) -> None:
    """Report code that detects a TLS error by a search in the error's message.

    The texts differ between platforms, languages and versions, so the code can miss the error. An
    example is ``error.message.contains('certificate')``. ``flow`` is the parsed Dart file, and
    ``reporter`` collects the mistakes.
    """
    for node in flow.tree.names.get("contains", ()):
        arguments = flow.code.arguments_of(node)
        if arguments is None:
            continue
        owner = flow.code.call(arguments).split(".")[:-1]
        text = flow.code.value(flow.code.first_argument(arguments)) or ""
        is_text = bool(_TEXT_OF_ERROR & set(owner)) and _ERROR_TEXT.search(text) is not None
        if is_text and _is_of_error(flow, node, owner):
            reporter.report("error-by-text", flow.tree.line(node))


def _is_of_error(flow: DartFlow, node: Node, owner: list[str]) -> bool:
    """Return True if a text that the code searches is the message of an error.

    A search for words of TLS errors in it is then reported. The error is recognised by its name, by
    its type, or by a ``catch`` around the node.

    Args:
        flow: the functions of the file.
        node: the node of the search, such as the name ``contains``.
        owner: the names before the search, such as ``error`` and ``message``.
    """
    if any(_ERROR_NAMES & set(words(name)) for name in owner):
        return True
    for function in flow.around(node):
        if owner[0] in function.parameters:
            return function.types[function.parameters.index(owner[0])].endswith(_ERROR_TYPES)
    return any(
        each.type == "catch_clause"
        for block in flow.tree.ancestors(node)
        for each in islice(flow.tree.before(block), 1)
    )


def _check_private_keys(flow: DartFlow, reporter: FileReporter) -> None:
    """Report private keys in the string literals of the code.

    ``flow`` is the parsed Dart file, and ``reporter`` collects the mistakes.
    """
    for literal in flow.tree.strings:
        if b"PRIVATE KEY" in flow.tree.data[literal.start_byte : literal.end_byte]:
            whole = flow.code.value([flow.code.unit(literal)]) or flow.code.decode(literal, {})
            if _PRIVATE_KEY.search(whole):
                message = "a private key is in the code, and each user of the app can extract it"
                reporter.report("private-key-in-app", flow.tree.line(literal), message)


_CHECKS = (
    check_callbacks,
    check_gates,
    _check_getters,
    _check_anchors,
    _check_late,
    _check_other_connection,
    _check_error_texts,
    check_plain_http,
    _check_private_keys,
)
