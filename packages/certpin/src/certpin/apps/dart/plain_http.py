"""Find addresses without TLS in Dart code: their connections have no certificate to compare."""

from __future__ import annotations

import re
from ipaddress import ip_address
from itertools import islice
from typing import TYPE_CHECKING

from certpin.apps.literals import host_in
from certpin.support.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

    from certpin.apps.dart.flow import DartFlow
    from certpin.apps.rules import FileReporter

# A URL without TLS and without spaces. Its host is group 1.
_HTTP = re.compile(r"(?:http|ws)://(?:[^/@\s]*@)?(\[[^\]\s]*\]|[^/:\s?#]+)\S*", re.IGNORECASE)
# Hosts of the device itself. The last two are the machine that runs Android's emulators.
_LOOPBACK = re.compile(
    r"localhost|.*\.localhost|127\.\d+\.\d+\.\d+|\[::1\]|0\.0\.0\.0|10\.0\.[23]\.2", re.IGNORECASE
)
# Names of XML namespaces and document types begin with http://; nothing connects to them.
_NAMESPACE = re.compile(
    r"https?://(?:schemas?\.|www\.w3\.org/|(?:www\.)?xmlns\.com/|purl\.org/|ns\.adobe\.com/|"
    r"(?:www\.)?tempuri\.org/|json-schema\.org/|www\.opengis\.net/|www\.topografix\.com/|"
    r"docbook\.org/|www\.sitemaps\.org/|relaxng\.org/|ogp\.me/|search\.yahoo\.com/mrss|"
    r"\S*/(?:dtds?|ns|schemas?|xml|xmlns)/|\S*\.(?:dtd|xsd)$)",
    re.IGNORECASE,
)
# Revocation lists and certificates are signed, and fetched without TLS (RFC 5280 section 8).
_SIGNED = re.compile(r"http://(?:crl|ocsp)\d*\.\S*|http://\S*\.(?:cer|crl|crt|p7c)", re.IGNORECASE)
_VARIES = "…"  # a part of a text that isn't constant
_MAX_SHOWN = 80


def check_plain_http(flow: DartFlow, reporter: FileReporter) -> None:
    """Report addresses without TLS, such as ``http://…``, in the code.

    Not reported: loopback and private addresses, names of XML namespaces, addresses of CRLs,
    regular expressions, and addresses that only debug builds use. ``flow`` is the parsed Dart file,
    and ``reporter`` collects the mistakes.
    """
    for literal in flow.tree.strings:
        start = flow.tree.data[literal.start_byte : literal.start_byte + 16].lower()
        url = _text(flow, literal) if b"http://" in start or b"ws://" in start else ""
        match = _HTTP.fullmatch(url)
        if match is None or _is_local(match[1]) or _NAMESPACE.match(url) or _SIGNED.fullmatch(url):
            continue
        if match[1] != _VARIES and not _is_pattern(flow, literal):
            _report(flow, reporter, literal, _shown(url))
    for node in (*flow.tree.names.get("http", ()), *flow.tree.names.get("Uri", ())):
        arguments = flow.code.arguments_of(node)
        if arguments is None:
            continue
        for run in _hosts(flow, arguments):
            host = host_in(flow.code.value(run) or "")
            if host and not _is_local(host):
                _report(flow, reporter, node, f"{flow.code.call(arguments)}('{_shown(host)}')")


def _hosts(flow: DartFlow, arguments: Node) -> Iterator[list[Node]]:
    """Yield the host to which a ``Uri.http(host)`` or ``Uri(scheme: 'http', host: host)`` leads.

    ``arguments`` is the node of the call's arguments. Each host is a list of syntax nodes. ``flow``
    is the parsed Dart file.
    """
    call = flow.code.call(arguments)
    if call == "Uri.http":
        yield flow.code.first_argument(arguments)
    elif call == "Uri":
        named = dict(flow.code.arguments(arguments))
        if flow.code.value(named.get("scheme", [])) in {"http", "ws"}:
            yield named.get("host", [])


def _report(flow: DartFlow, reporter: FileReporter, node: Node, shown: str) -> None:
    if flow.gate(node) not in {"debug", "debug-and-more"}:
        reporter.report("plain-http", flow.tree.line(node), f"{shown} has no TLS")


def _text(flow: DartFlow, literal: Node) -> str:
    """Return the text of a string literal, with ``…`` in place of each interpolation.

    ``flow`` is the parsed Dart file, and ``literal`` the syntax node of the literal.
    """
    children = flow.tree.children(literal)
    inner = {each.id: _VARIES for each in children if each.type == "template_substitution"}
    return flow.code.decode(literal, inner).strip()


def _is_pattern(flow: DartFlow, literal: Node) -> bool:
    """Return True if a string literal is the pattern of a regular expression: ``RegExp('…')``.

    It is no address to connect to, so it isn't reported. ``flow`` is the parsed Dart file, and
    ``literal`` the syntax node of the literal.
    """
    above = list(islice(flow.tree.ancestors(literal), 2))
    return above[-1].type == "arguments" and flow.code.call(above[-1]) == "RegExp"


def _is_local(host: str) -> bool:
    """Return True if a host is loopback or an IP address of a private network.

    Addresses without TLS on such hosts are not reported.
    """
    if _LOOPBACK.fullmatch(host):
        return True
    try:
        return ip_address(host.strip("[]")).is_private
    except ValueError:
        return False


def _shown(text: str) -> str:
    text = printable(text)
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"
