"""Collect the names and hosts around a string in Dart code.

They show if the string is a pin, and of which host.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from certpin.apps.dart.code import BRANCHES, DEFINITIONS, FUNCTIONS
from certpin.apps.literals import host_in
from certpin.apps.usage import (
    MAX_NAME,
    Acceptance,
    Usage,
    flavour_of,
    flavour_of_pins,
    is_production,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tree_sitter import Node

    from certpin.apps.dart.flow import DartFlow
    from certpin.pins.policy import PinKind

# The digests that libraries compare, from their sources: http_certificate_pinning 3.0.1 and
# ssl_pinning_plugin 2.0.0 hash the whole certificate on Android and iOS. public_key_pinning has the
# same names as the first, and hashes the key. certificate_pinning_httpclient hashes the key.
_INTERCEPTOR = "CertificatePinningInterceptor"
_RECEIVERS: dict[str, PinKind] = {
    "CertificatePinningHttpClient": "sha256",
    _INTERCEPTOR: "cert-sha256",
    "HttpCertificatePinning.check": "cert-sha256",
    "SecureHttpClient.build": "cert-sha256",
    "SslPinningPlugin.check": "cert-sha256",
}
_RECEIVING_PARAMETER = "allowedSHAFingerprints"
_KEY_LIBRARY = b"package:public_key_pinning/"
_HOST_PARAMETERS = frozenset(
    {
        *("authority", "baseUrl", "baseURL", "base_url", "domain", "endpoint", "host", "hostname"),
        *("hostName", "server", "serverUrl", "serverURL", "uri", "url"),
    }
)
# A list has `contains` too, but is searched for a variable, not for a constant.
_SEARCHES = frozenset({"contains", "endsWith", "indexOf", "replaceAll", "split", "startsWith"})
# The result of other calls is no list that contains the string.
_COLLECTIONS = frozenset({"List", "Map", "Set", "UnmodifiableListView", "UnmodifiableSetView"})
_COPIES = frozenset({"toList", "toSet"})
_MAX_ENTRIES = 50  # of a map or record that describes one host
_MAX_STRINGS = 50  # texts of one function in which a host is looked for
_HOST_WORDS = frozenset(
    {
        *("authority", "authorities", "domain", "domains", "endpoint", "endpoints", "host"),
        *("hostname", "hosts", "server", "servers", "uri", "url", "urls"),
    }
)


def usage_of(flow: DartFlow, node: Node) -> Usage:
    """Return the names and hosts around a node, which is a string or the name of a constant.

    ``flow`` is the parsed Dart file.
    """
    return _Climb(flow).usage(node)


class _Climb:
    """Collects the names and hosts in the code around one string, from which a ``Usage`` is made.

    The names are those of variables, parameters, functions and classes. The search goes up the
    syntax tree, from the string to the class that contains it.
    """

    def __init__(self, flow: DartFlow) -> None:
        self.flow = flow
        self.code = flow.code
        self.tree = flow.tree
        self.names: list[str] = []
        self.outer: list[str] = []
        self.hosts: list[str] = []
        self.flavours: list[str] = []
        self.own_flavours: list[str] = []
        self.is_production = False
        self.is_contained = True  # the string itself is in what has the next name
        self.acceptance = Acceptance()
        self.host_expression = ""
        self.receiver: PinKind | None = None
        self.is_searched = False

    def usage(self, node: Node) -> Usage:
        current, is_outside, region = node, False, node
        self._compared(node, node)
        for parent in self.tree.ancestors(node):
            self.is_contained = self.is_contained and self._contains(current, parent)
            if parent.type in FUNCTIONS:
                name = self.flow.function_of(parent).name
                self._accept(name, is_outer=True)
                (self.outer if is_outside else self.names).append(name)
                self.own_flavours.append(flavour_of_pins(name))
                region = region if region.type in FUNCTIONS else parent
                is_outside = True
            elif parent.type.endswith(("_definition", "_declaration")) and (
                is_outside or parent.type not in DEFINITIONS
            ):
                name = self.code.name_of(parent)
                self.outer.append(name)
                self.own_flavours.append(flavour_of(name))
                self._accept(name, is_outer=True)
            elif not is_outside and parent.type in _STEPS:
                _STEPS[parent.type](self, current, parent)
            if parent.type in _HOST_CONDITIONS:
                self._host_condition(current, parent)
            if parent.type in _FLAVOUR_CONDITIONS:
                self._flavour_condition(current, parent)
            if parent.type in DEFINITIONS:
                region = parent if region is node else region
                is_outside = True
            current = parent
        names, outer = tuple(filter(None, self.names)), tuple(filter(None, self.outer))
        hosts = tuple(dict.fromkeys(self.hosts))
        return Usage(
            names,
            outer,
            self.receiver,
            hosts,
            is_searched=self.is_searched,
            nearby=() if hosts else tuple(self._hosts_within(region)),
            host_expression="" if hosts else self.host_expression,
            flavours=tuple(filter(None, self.flavours)),
            own_flavours=tuple(filter(None, self.own_flavours)),
            is_production=self.is_production,
            acceptance=self.acceptance,
        )

    def _hosts_within(self, region: Node) -> Iterator[str]:
        """Yield the hosts in the strings inside ``region``, such as the node of a function."""
        strings = self.tree.strings
        first = bisect_left(strings, region.start_byte, key=lambda each: each.start_byte)
        for literal in strings[first : first + _MAX_STRINGS]:
            if literal.start_byte >= region.end_byte:
                return
            if host := host_in(self.code.decode(literal, {})):
                yield host

    def _add_hosts(self, hosts: Iterable[str]) -> None:
        """Record the hosts of the examined string, unless nearer code has already named some.

        Empty texts in ``hosts`` are left out.
        """
        if not self.hosts:
            self.hosts += filter(None, hosts)

    def _flavour(self, name: str) -> None:
        """Record the build and the acceptance that the name of a constant or parameter shows.

        The build is that of a flavour (a variant of the app, such as ``dev``), or that for the app
        store. The acceptance is whether the app accepts or refuses the key that the examined string
        pins. If the name shows nothing about one of them, nothing is recorded for it.
        """
        self.flavours.append(flavour_of_pins(name))
        self.own_flavours.append(flavour_of(name))
        self.is_production = self.is_production or is_production(name)
        self._accept(name, is_outer=False)

    def _accept(self, name: str, *, is_outer: bool) -> None:
        """Record if a name shows whether the app accepts or refuses the key that the string pins.

        An example of such a name is ``revokedPins``. Nothing is recorded if the value with the name
        doesn't contain the string (``_contains``).

        Args:
            name: a name around the string.
            is_outer: True if it is the name of a function or a class.
        """
        if self.is_contained:
            self.acceptance = self.acceptance.inside(name, is_outer=is_outer)

    def _contains(self, current: Node, parent: Node) -> bool:
        """Return True if the value of a syntax node contains that of its child, as a list does.

        If it doesn't, the name of a variable with the value says nothing about the pin in the
        child. For example, the value of ``!pins.contains(key)`` contains no pin: it is true or
        false.

        Args:
            current: the child.
            parent: the syntax node.
        """
        if parent.type == "arguments":
            return self.code.call(parent).partition(".")[0] in _COLLECTIONS
        if parent.type in {"unary_expression", "equality_expression", "cascade_section"}:
            return False
        following = next(self.tree.after(current), None)
        if following is None or following.type != "selector":
            return True
        return self.tree.text(following).strip(" .?") in _COPIES

    def _label(self, current: Node, argument: Node) -> None:
        """Record the name of the parameter that gets the examined string: ``pins: [string]``.

        ``argument`` is the node of the named argument, and ``current`` the part of it around the
        string.
        """
        label = self.tree.child(argument, "label")
        name = self.code.name_of(label) if label is not None else ""
        if name == _RECEIVING_PARAMETER:
            self._receive("cert-sha256")
        elif name != "defaultValue":  # of String.fromEnvironment
            self.names.append(name)
            self._flavour(name)

    def _map_key(self, current: Node, pair: Node) -> None:
        """Record the key of the map entry that contains the examined string, as a host or a name.

        If the examined string is in the key itself, nothing is recorded. ``pair`` is the node of
        the entry, and ``current`` the part of it around the string.
        """
        children = self.tree.children(pair)
        colon = next((at for at, each in enumerate(children) if each.type == ":"), len(children))
        if any(each.id == current.id for each in children[:colon]):
            return
        key = self.code.value(children[:colon])
        if key is not None and (host := host_in(key)):
            self._add_hosts([host])
            return
        # The text of an expression, such as AppConfig.apiHost, is not a host, but has its form.
        name = (key or self.code.path(children[:colon]))[:MAX_NAME]
        if key is None and _HOST_WORDS & set(words(name)) and not self.host_expression:
            self.host_expression = name
        self.names.append(name)
        self._flavour(name)
        self.flavours.append(flavour_of(name))

    def _map(self, current: Node, literal: Node) -> None:
        """Record the host in the map that contains the examined string.

        For example ``{'host': 'api.bank.example', 'pins': [string]}``. ``literal`` is the node of
        the map, and ``current`` its entry around the string.
        """
        self._compared(current, literal)
        pairs = self.tree.children(literal)
        for pair in pairs if len(pairs) <= _MAX_ENTRIES else ():
            children = self.tree.children(pair) if pair.type == "pair" else []
            colon = next((at for at, each in enumerate(children) if each.type == ":"), 0)
            if pair.id != current.id and self.code.value(children[:colon]) in _HOST_PARAMETERS:
                self._add_hosts([host_in(self.code.value(children[colon + 1 :]) or "")])

    def _record(self, current: Node, literal: Node) -> None:
        """Store the host in the Dart record (a tuple with names) that contains the examined string.

        For example ``(host: 'api.bank.example', pins: [string])``. ``literal`` is the node of the
        Dart record, and ``current`` its field around the string.
        """
        fields = self.tree.children(literal)
        for each in fields if len(fields) <= _MAX_ENTRIES else ():
            label = self.tree.child(each, "label") if each.id != current.id else None
            if label is not None and self.code.name_of(label) in _HOST_PARAMETERS:
                text = self.code.value(self.tree.children(each)[1:]) or ""
                self._add_hosts([host_in(text)])

    def _call(self, current: Node, arguments: Node) -> None:
        """Record the function that gets the examined string, and the host among its arguments.

        ``arguments`` is the node of the call's arguments, and ``current`` the argument around the
        string.
        """
        call = self.code.call(arguments)
        is_option = call == "String.fromEnvironment"
        self.is_searched = self.is_searched or call.rpartition(".")[2] in _SEARCHES
        if call in _RECEIVERS:
            self._receive(_RECEIVERS[call])
        parent = self.tree.parent(arguments)
        is_named = parent is not None and parent.type == "enum_constant"
        last = call.rpartition(".")[2]
        self.flavours.append(flavour_of(last) if is_named or len(words(last)) == 1 else "")
        hosts: list[str] = []
        for name, run in self.code.arguments(arguments):
            if any(each.id == current.id for each in run) or not run:
                continue
            if name in _HOST_PARAMETERS or (not name and run[0].type == "string_literal"):
                text = self.code.value(run) or ""
                if is_option:
                    self.names.append(text[:MAX_NAME])
                else:
                    hosts.append(host_in(text))
        self._add_hosts(hosts)
        if call == _INTERCEPTOR:
            self._add_hosts(self._base_host(arguments))
        self.names.append("" if is_option else call)

    def _receive(self, kind: PinKind) -> None:
        if _KEY_LIBRARY in self.tree.data:
            kind = "sha256"
        self.receiver = self.receiver or kind

    def _base_host(self, interceptor: Node) -> list[str]:
        """Return the host of the HTTP client with a pinning interceptor, from its ``baseUrl``.

        The expression, the function, the class and the file around the interceptor are searched in
        this order, up to the first that contains a ``baseUrl``. Return an empty list if that one
        contains several hosts.
        """
        given = [
            (x, run) for x in self.tree.names.get("baseUrl", ()) if (run := self.flow.assigned(x))
        ]
        for each in self.tree.ancestors(interceptor) if given else ():
            inside = [run for x, run in given if each.start_byte <= x.start_byte < each.end_byte]
            found = {host_in(self.code.value(run) or "") for run in inside}
            if found:
                return [host for host in found if host] if len(found) == 1 else []
        return []

    def _name(self, current: Node, definition: Node) -> None:
        name = self.code.name_of(definition)
        self.names.append(name)
        self._flavour(name)

    def _assignment(self, current: Node, assignment: Node) -> None:
        left = self.tree.child(assignment, "assignable_expression")
        if left is not None and left.id != current.id:
            name = self.code.last_name(self.tree.children(left))
            self.names.append(name)
            self._flavour(name)

    def _equality(self, current: Node, equality: Node) -> None:
        """Record the names of the variables that the code compares with the examined string.

        ``equality`` is the node of the comparison; ``current`` is not used.
        """
        for run in self.code.operands(equality, "equality_operator"):
            self.names.append(self.code.last_name(run))

    def _parameter(self, current: Node, parameters: Node) -> None:
        """Record the name of the parameter that has the examined string as its default value.

        ``current`` is the node of the default value; ``parameters`` is not used.
        """
        before = (each for each in self.tree.before(current) if each.type == "formal_parameter")
        parameter = next(before, None)
        self.names.append(self.code.name_of(parameter) if parameter is not None else "")

    def _compared(self, current: Node, collection: Node) -> None:
        """Record the variable for which the code searches a list that contains the examined string.

        For example ``name`` in ``[string].contains(name)``. The name of the variable can show that
        the string is a pin. ``collection`` is the node of the list, or of a string or map that is
        searched; ``current`` is not used.
        """
        run = []
        for each in self.tree.after(collection):
            if each.type != "selector":
                break
            run.append(each)
        for selector in run[1:2]:
            arguments = self.code.arguments_in(selector)
            for _, value in self.code.arguments(arguments) if arguments is not None else ():
                self.names.append(self.code.last_name(value))

    def _host_condition(self, current: Node, parent: Node) -> None:
        """Record the host in a condition around the examined string.

        For example ``if (host == 'api.bank.example')`` or ``case 'api.bank.example'``.

        Args:
            current: the part of the ``if`` or ``case`` around the string. Nothing is recorded if
                this is the condition of the ``if``, or its ``else``.
            parent: the node of the ``if`` or ``case``.
        """
        if parent.type == "if_statement":
            run = self.flow.condition(parent) if self.flow.is_first(current, parent) else []
            is_either = len(run) == 1 and run[0].type == "logical_or_expression"
            compared = self.tree.children(run[0]) if is_either and current not in run else run
            nodes = [] if current in run else list(self._equal(compared))
        else:
            pattern = self.tree.child(parent, "constant_pattern")
            nodes = self.tree.children(pattern) if pattern is not None else []
        texts = (self.code.decode(each, {}) for each in nodes if each.type == "string_literal")
        self._add_hosts([host for text in texts if (host := host_in(text))])

    def _equal(self, comparisons: list[Node]) -> Iterator[Node]:
        """Yield the operands of each ``a == b`` in ``comparisons``, up to the first ``a != b``.

        ``comparisons`` are the syntax nodes of conditions. Each operand is a syntax node.
        """
        for each in comparisons:
            nodes = self.tree.children(each) if each.type == "equality_expression" else []
            if "!=" in "".join(self.tree.text(node) for node in nodes[1:2]):
                return
            yield from nodes

    def _flavour_condition(self, current: Node, parent: Node) -> None:
        """Record the flavour in a condition around the examined string.

        A flavour is a variant of the app, such as ``dev``. Examples of conditions:
        ``flavor == 'prod' ? … : …``, ``if (isDev)`` and ``case 'dev':``.

        Args:
            current: the part of the conditional code around the string. If this is the condition
                itself, nothing is recorded.
            parent: the node of the conditional code.
        """
        if parent.type not in BRANCHES:  # a case
            children = self.tree.children(parent)
            end = next((at for at, x in enumerate(children) if x.type in {":", "=>"}), 0)
            if current not in children[:end]:
                self.flavours += [
                    flavour_of(text) for text in self._condition_texts(children[:end])
                ]
            return
        run = self.flow.condition(parent)
        if current in run or self.flow.mode(run) is not None:
            return
        texts = list(self._condition_texts(run))
        condition = self.tree.text(run[0]) if run else ""
        is_inverted = condition.startswith("!") or "!=" in condition
        if self.flow.is_first(current, parent) != is_inverted:
            self.flavours += [flavour_of(text) for text in texts]
        elif any(is_production(text) for text in texts):
            self.flavours.append("not production")

    def _condition_texts(self, run: list[Node]) -> Iterator[str]:
        """Yield the identifiers and the strings in a condition, among which a flavour can be.

        For a string that is a host, yield an empty string, because a host names no flavour. ``run``
        has the syntax nodes of the expression.
        """
        for each in self.flow.nodes_in(run):
            if each.type == "string_literal":
                text = self.code.decode(each, {})
                yield "" if host_in(text) else text
            elif "identifier" in each.type:
                yield self.tree.text(each)


_STEPS = {
    "arguments": _Climb._call,
    "assignment_expression": _Climb._assignment,
    "equality_expression": _Climb._equality,
    "formal_parameter_list": _Climb._parameter,
    "initialized_identifier": _Climb._name,
    "initialized_variable_definition": _Climb._name,
    "list_literal": _Climb._compared,
    "named_argument": _Climb._label,
    "optional_formal_parameters": _Climb._parameter,
    "pair": _Climb._map_key,
    "record_field": _Climb._label,
    "record_literal": _Climb._record,
    "set_or_map_literal": _Climb._map,
    "static_final_declaration": _Climb._name,
}
_CASES = frozenset({"switch_expression_case", "switch_statement_case"})
_HOST_CONDITIONS = _CASES | {"if_statement"}
_FLAVOUR_CONDITIONS = _CASES | BRANCHES
