"""Read a Dart file of an app: pins, certificates, hosts, and mistakes in the checks of pins."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from certpin.apps.certificates import check_dates
from certpin.apps.dart.code import BRANCHES, DEFINITIONS, GRAMMAR, DartCode, Definition
from certpin.apps.dart.flow import DartFlow
from certpin.apps.dart.mistakes import check_dart, may_have_mistakes
from certpin.apps.dart.usages import usage_of
from certpin.apps.literals import (
    Literal,
    LiteralReader,
    host_in,
    host_of_url,
    may_have_pins,
)
from certpin.apps.model import FileFindings, Place, Unknown, Unread
from certpin.apps.syntax import ReadTimeoutError, parse

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from tree_sitter import Node

    from certpin.apps.model import SourceFile
    from certpin.apps.syntax import SyntaxTree
    from certpin.apps.usage import Usage

_MAX_USAGES = 30  # places of one name; each is searched upwards
_MAX_HOPS = 3  # a constant in a list, the list in a map, the map in a call
_SHORTEST = 8  # characters of a literal; shorter ones are only looked at as parts of others

# A literal is looked at if it has one of these: digits, base64, a prefix, PEM, or a placeholder.
_CANDIDATE = re.compile(
    r"[0-9A-Fa-f]{2}[0-9A-Fa-f: -]{28}|[A-Za-z0-9+/]{27}=|sha-?\d|-----BEGIN|[A-Z_]{6}|"
    r"(?i:your|fingerprint|placeholder|example|todo)"
)

_COLLECTIONS = frozenset({"list_literal", "set_or_map_literal"})
_CONSTANTS = _COLLECTIONS | {"null_literal", "decimal_integer_literal", "true", "false"}  # no pins
_MAX_PARTS = 20  # conditions and brackets around an expression in a list
_ELSE = frozenset({")", "else"})  # before the elements of `if (x) a else b`
_ELEMENTS = frozenset({"parenthesized_expression", "if_null_expression"})
_SPREAD = frozenset({"...", "...?", "?"})  # before an element that can be null, too

# In certpin's Dart package: classes that refuse a connection without a matching pin.
_PINNED_CLIENTS = ("PinnedHttpClient", "PinnedHttpOverrides")


def read_dart(file: SourceFile, now: datetime) -> FileFindings:
    """Read one Dart file of an app. Syntax errors are allowed.

    The file is parsed only if it contains a word that code with pins, certificates or addresses
    needs.

    Args:
        file: the file; its path appears in the results.
        now: the current time, with a time zone.

    Returns:
        The results. In texts that quote the file, control characters are escaped. ``unread`` lists
        the parts that can't be read, with their lines.

    Raises:
        MissingExtraError: tree-sitter or its Dart grammar isn't installed.
    """
    findings = FileFindings()
    if file.is_utf16:
        findings.unread.append(Unread.as_utf16(file))
        return findings
    lower = file.data.lower()
    if not (may_have_pins(lower) or may_have_mistakes(lower)):
        return findings
    try:
        _read_tree(parse(GRAMMAR, file.data), file.path, findings)
        for found in findings.certificates:
            findings.mistakes += check_dates(found, now)
    except ReadTimeoutError as exc:
        fix = "split the file, or name the other files of the app"
        findings.unread.append(Unread(Place(file.path, 1), str(exc), fix))
    return findings


def _read_tree(tree: SyntaxTree, path: str, findings: FileFindings) -> None:
    if tree.broken_line is not None:
        problem = "not understood: a syntax error, or newer syntax; what follows may be missing"
        findings.unread.append(Unread(Place(path, tree.broken_line), problem))
    if not tree.is_complete:
        problem = "the file is too large: only its first part was read"
        findings.unread.append(Unread(Place(path, 1), problem))
    code = DartCode(tree)
    flow = DartFlow(code)
    _read_hosts(code, path, findings)
    _read_pinned_clients(code, path, findings)
    _PinReader(flow, path, findings).read()
    check_dart(flow, path, findings)


def _read_hosts(code: DartCode, path: str, findings: FileFindings) -> None:
    """Add the hosts of URLs in the code, and those in calls of ``Uri.https`` and ``Uri``.

    ``code`` is the parsed Dart file, ``path`` its path in the results, and ``findings`` the
    results.
    """
    for literal in code.tree.strings:
        start = code.tree.data[literal.start_byte : literal.start_byte + 16]
        if b"s://" in start:
            host = host_of_url(code.value([code.unit(literal)]) or code.decode(literal, {}))
        elif b"." in code.tree.data[literal.start_byte : literal.end_byte][:256]:
            host = _uri_host(code, literal)
        else:
            continue
        if host:
            findings.hosts.append((host, Place(path, code.tree.line(literal))))


def _read_pinned_clients(code: DartCode, path: str, findings: FileFindings) -> None:
    """Add the places of clients from certpin's Dart package to the results.

    These clients enforce a pin set that ``certpin export`` wrote. ``code`` is the parsed Dart file,
    ``path`` its path in the results, and ``findings`` the results.
    """
    for name in _PINNED_CLIENTS:
        used = (each for each in code.tree.names.get(name, ()) if code.is_used(each))
        findings.pinned_clients += [Place(path, code.tree.line(each)) for each in used]


def _uri_host(code: DartCode, literal: Node) -> str:
    """Return the host in ``Uri.https('…')`` or ``Uri(host: '…')``; empty for another literal.

    ``code`` is the parsed Dart file, and ``literal`` the syntax node of the string with the host.
    """
    argument = code.tree.parent(literal)
    arguments = code.tree.parent(argument) if argument is not None else None
    if arguments is None or arguments.type != "arguments":
        return ""
    host: list[Node] = []
    call = code.call(arguments)
    if call == "Uri.https":
        host = code.first_argument(arguments)
    elif call == "Uri":
        named = dict(code.arguments(arguments))
        if code.value(named.get("scheme", [])) not in {"http", "ws"}:
            host = named.get("host", [])
    return host_in(code.decode(literal, {})) if host and host[0].id == literal.id else ""


class _PinReader:
    """Finds the pins and certificates among the constant strings of one Dart file.

    The code around a string, and around the constants that contain it, decides if the string is a
    pin, and of which host.
    """

    def __init__(self, flow: DartFlow, path: str, findings: FileFindings) -> None:
        self.flow = flow
        self.code = flow.code
        self.tree = flow.tree
        self.path = path
        self.findings = findings
        self._usage_at: dict[int, Usage] = {}
        self._debug_at: dict[int, bool] = {}
        self._used: dict[str, list[Node]] = {}  # the nodes that use a name

    def read(self) -> None:
        """Add the pins and certificates in the file's constant strings to the results."""
        line = self._own_export()
        if line is not None:
            question = "this is certpin's own export: read it with certpin import flutter"
            self.findings.unknown.append(Unknown(question, Place(self.path, line)))
            self.findings.exported += self._exported_hosts()
            return
        reader = LiteralReader(self.path, self.findings, self._hashing_line())
        lists: dict[int, Node] = {}  # those that contain pins
        for unit, text in self._candidates():
            usages = tuple(self._usages(unit, 0, set()))
            is_debug = self._is_debug(unit, 0)
            known = len(self.findings.pins)
            reader.read(Literal(text, self.tree.line(unit), usages, is_debug=is_debug))
            if len(self.findings.pins) > known:
                lists |= {each.id: each for each in self._lists_with(unit)}
        for each in lists.values():
            for run in self._open_elements(each):
                reader.ask_element(self._source(run), self.tree.line(run[0]))
        reader.finish()

    def _candidates(self) -> Iterator[tuple[Node, str]]:
        """Yield the constant strings that can be pins or certificates, each with its text."""
        seen: set[int] = set()
        for literal in self.tree.strings:
            unit = self.code.unit(literal)
            is_short = unit.end_byte - unit.start_byte < _SHORTEST
            if unit.id in seen or is_short or self._is_environment_key(literal):
                continue
            seen.add(unit.id)
            text = self.code.value([unit])
            if text is None and unit.id != literal.id:  # a part varies: each part by itself
                seen.add(literal.id)
                text, unit = self.code.value([literal]), literal
            if text is not None and _CANDIDATE.search(text):
                yield unit, text

    def _lists_with(self, unit: Node) -> Iterator[Node]:
        """Yield the lists and sets with a string as an element, directly or through a constant.

        ``unit`` is the syntax node of the string. The other elements of such a list are probably
        pins too, so the user is asked about those with unknown values.
        """
        definition = self.code.definition_of(unit)
        names: list[Node] = []
        if definition is not None and [each.id for each in definition.value] == [unit.id]:
            names = self._places_of(definition)
        for node in (unit, *names):
            for each in self.tree.ancestors(node):
                if each.type in _COLLECTIONS:
                    if self.tree.child(each, "pair") is None:
                        yield each
                    break
                if each.type not in BRANCHES and each.type not in _ELEMENTS:
                    break

    def _open_elements(self, collection: Node) -> Iterator[list[Node]]:
        """Yield the elements of a list or set of pins with values that the reader can't determine.

        The user is asked for these values, because they can be pins. ``collection`` is the node of
        the list or set. Each yielded expression is a list of nodes.
        """
        children = self.tree.children(collection)
        start = next((at for at, each in enumerate(children) if each.type in {"[", "{"}), 0)
        for run in _split(children[start + 1 : -1], {","}):
            yield from self._without_value(run)

    def _without_value(self, run: list[Node], depth: int = 0) -> Iterator[list[Node]]:
        """Yield an element of a list, or the parts of it, if the reader doesn't know its value.

        Args:
            run: the nodes of the element, or of an expression in it.
            depth: the number of expressions around it, up to the element.
        """
        run = [each for each in run if each.type not in _SPREAD]
        parts = self._parts_of(run[0]) if len(run) == 1 and depth < _MAX_PARTS else []
        for part in parts:
            yield from self._without_value(part, depth + 1)
        if run and not parts and not self._is_read(run):
            yield run

    def _is_read(self, run: list[Node]) -> bool:
        """Return True if an element of a list of pins holds no pin that the reader would miss.

        That is so if the element is a constant such as a number, or contains a string that may be
        a pin, because ``read`` checks each string of the file. The value of a constant that the
        file defines counts, too. Otherwise the element is reported as unknown. ``run`` has the
        syntax nodes of the element.
        """
        values = self.code.definitions.get(self.code.last_name(run), ())
        if any(self._is_constant(each) for each in (run, *(list(each.value) for each in values))):
            return True
        return any(self._is_candidate(each) for node in run for each in self.tree.inside(node))

    def _is_constant(self, run: list[Node]) -> bool:
        is_value = self.code.value(run) is not None
        return is_value or any(each.type in _CONSTANTS for each in run[-1:])

    def _is_candidate(self, node: Node) -> bool:
        text = self.code.value([node]) if node.type in GRAMMAR.strings else None
        return text is not None and _CANDIDATE.search(text) is not None

    def _parts_of(self, node: Node) -> list[list[Node]]:
        """Return the expressions that can give an element of a list literal its values.

        They are the operand of a spread (``...a``), the branches of an ``if`` in the list, the two
        results of ``c ? a : b``, and the content of parentheses; each is a list of syntax nodes.
        For any other element, return an empty list: the element is the only value. ``node`` is the
        syntax node of the element.
        """
        if node.type == "spread_element":
            return [self.tree.children(node)]
        if node.type == "parenthesized_expression":
            return [self.tree.children(node)[1:-1]]
        if node.type != "if_element":
            return self.code.alternatives(node)
        return _split(self.tree.children(node), _ELSE)[1:]

    def _source(self, run: list[Node]) -> str:
        data = self.tree.data[run[0].start_byte : run[-1].end_byte]
        return data.decode("utf-8", "replace")

    def _own_export(self) -> int | None:
        """Return the line of a pin set that ``certpin export`` wrote into the file.

        Such a pin set is a ``PinSet`` with a ``HostPolicy`` in it. Return None if there is none.
        The pins of an exported set are not read here: ``certpin import flutter`` reads them.
        """
        policies = self.tree.names.get("HostPolicy", ())
        for node in self.tree.names.get("PinSet", ()) if policies else ():
            arguments = self.code.arguments_of(node)
            if arguments is not None and any(
                arguments.start_byte < each.start_byte < arguments.end_byte for each in policies
            ):
                return self.tree.line(node)
        return None

    def _exported_hosts(self) -> Iterator[str]:
        """Yield the host patterns in the pin set that ``certpin export`` wrote into the file."""
        for node in self.tree.names.get("HostPolicy", ()):
            arguments = self.code.arguments_of(node)
            named = dict(self.code.arguments(arguments)) if arguments is not None else {}
            if pattern := self.code.value(named.get("pattern", [])):
                yield pattern

    def _hashing_line(self) -> int:
        """Return the line in which the code hashes a whole certificate; 0 if there is no such line.

        Such a line contains ``sha256.convert(cert.der)``. Base64 without a prefix in the file is
        then read as the digest of a certificate, not of a key.
        """
        for node in self.tree.names.get("der", ()):
            for each in self.tree.ancestors(node):
                if each.type == "arguments":
                    path = self.code.path(self.code.first_argument(each))
                    if self.code.call(each) == "sha256.convert" and path.endswith(".der"):
                        return self.tree.line(node)
                    break
        return 0

    def _is_environment_key(self, literal: Node) -> bool:
        """Return True if a string names a build option: the key in ``….fromEnvironment(key)``.

        Such a string contains no pin, even if it looks like one. ``literal`` is the syntax node of
        the string.
        """
        argument = self.tree.parent(literal)
        if argument is None or argument.type != "argument":
            return False
        arguments = self.tree.parent(argument)
        return arguments is not None and self.code.call(arguments).endswith(".fromEnvironment")

    def _usages(self, node: Node, hops: int, visited: set[int]) -> Iterator[Usage]:
        """Yield the usages of a string, and those of the constants that contain it.

        A usage has the names and hosts in the code around one place: first the place of the string,
        then each place at which the code uses the name of such a constant.

        Args:
            node: the string; in a recursive call, the name of a constant that contains the string.
            hops: the number of constants that were followed from the string so far.
            visited: the node IDs of the definitions of these constants.
        """
        if node.id not in self._usage_at:
            self._usage_at[node.id] = usage_of(self.flow, node)
        yield self._usage_at[node.id]
        definition = self.code.definition_of(node)
        if definition is None or definition.node.id in visited or hops >= _MAX_HOPS:
            return
        visited.add(definition.node.id)
        for place in self._places_of(definition):
            yield from self._usages(place, hops + 1, visited)

    def _places_of(self, definition: Definition) -> list[Node]:
        """Return the nodes at which the code uses the name of a constant or variable.

        ``definition`` is the definition of the constant or variable; uses inside it are left out.
        """
        name = definition.name
        if name not in self._used:
            every = self.tree.names.get(name, ())
            self._used[name] = [each for each in every if not self._is_definition(each)]
        used = (each for each in self._used[name] if not definition.contains(each))
        return list(islice(used, _MAX_USAGES))

    def _is_definition(self, name: Node) -> bool:
        """Return True if a node is the name of a constant or variable in its definition.

        Such a node is no use of the constant, so its surroundings are not examined as those of a
        use.
        """
        parent, following = self.tree.parent(name), next(self.tree.after(name), None)
        is_assigned = following is not None and following.type == "="
        return is_assigned and parent is not None and parent.type in DEFINITIONS

    def _is_debug(self, node: Node, hops: int) -> bool:
        """Return True if only debug builds use a string, directly or through a constant.

        Its pins then don't belong in the pin set of a release.

        Args:
            node: the string; in a recursive call, the name of a constant that contains it.
            hops: the number of constants that were followed from the string so far.
        """
        if node.id not in self._debug_at:
            self._debug_at[node.id] = False  # a name that is used in its own definition
            self._debug_at[node.id] = self._is_used_in_debug(node, hops)
        return self._debug_at[node.id]

    def _is_used_in_debug(self, node: Node, hops: int) -> bool:
        if self.flow.gate(node) in {"debug", "debug-and-more"}:
            return True
        definition = self.code.definition_of(node)
        places = self._places_of(definition) if definition is not None else []
        if not places or hops >= _MAX_HOPS:
            return False
        return all(self._is_debug(place, hops + 1) for place in places)


def _split(nodes: list[Node], kinds: Collection[str]) -> list[list[Node]]:
    """Split a list of syntax nodes at the tokens of some kinds, such as commas.

    ``kinds`` has the node kinds of these tokens. The tokens are left out; parts can be empty.
    """
    runs: list[list[Node]] = [[]]
    for node in nodes:
        if node.type in kinds:
            runs.append([])
        else:
            runs[-1].append(node)
    return runs
