"""Export and import HAProxy's settings for connections to its backend servers.

See the HAProxy Configuration Manual, section 5.2 (server options).
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from certpin.formats import _proxy
from certpin.formats._lines import bundle
from certpin.formats.format import File, Format
from certpin.formats.limits import NoWildcard
from certpin.formats.parsed import pass_over

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.formats.parsed import ParsedFile, Source
    from certpin.pins import PinSet

_BUNDLE = "haproxy-anchors.pem"
# A word may contain quoted parts, such as in sni str("api.bank.example").
_WORD = re.compile(r"""#.*|((?:"[^"]*"|'[^']*'|[^\s#"'])+)""")
_NO_VERIFY = ["ssl-server-verify", "none"]  # the words of a line of the section global
_BACKENDS = {"defaults", "backend", "listen"}  # the sections that can have servers
_SECTIONS = {*_BACKENDS, "global", "frontend"}
_CONDITIONS = {".if": 1, ".endif": -1}
# The words before the parameters.
_SERVERS = {"default-server": 1, "server": 3, "server-template": 4}
_PARAMETERS = {"ca-file", "crl-file", "sni", "verify", "verifyhost"}
_FLAGS = {"ssl", "no-ssl"}
# Parameters of TLS with which a server can verify less than the exported line requires.
_WEAKER = re.compile(r"ssl-m(?:in|ax)-ver|force-\S+|no-tlsv\S+|ciphers(?:uites)?|curves|sigalgs")
_Line = tuple[int, list[str]]  # the number and the words of a line
_LITERAL_NAME = re.compile(r"str\(([A-Za-z0-9._-]+)\)")


def write(pins: PinSet) -> tuple[File, ...]:
    """Return HAProxy's ``server`` line for the host, and the file of its trust anchors.

    ``pins`` is a pin set that ``project`` has reduced to the settings that this platform can
    express.
    """
    [policy] = pins.policies
    name = policy.pattern.name
    # sni sets the requested and verified name; verifyhost sets the verified name without SNI.
    line = (
        f"default-server ssl verify required ca-file {_BUNDLE} sni str({name}) verifyhost {name} "
        "ssl-min-ver TLSv1.2\n"
    )
    text = _proxy.comments(pins, HAPROXY.name) + line
    return (File(HAPROXY.file, text), *bundle(policy, _BUNDLE))


def read(source: Source) -> ParsedFile:
    """Parse ``ca-file``, ``sni`` and ``verifyhost`` in ``server`` lines, and certpin's comments.

    ``source`` is the configuration; the result has the settings of its hosts. Issues a
    ``FormatWarning`` about servers in a block of ``.if``. Raises ``FormatError``.
    """
    lines = _lines(source.text)
    _report_conditions(lines)
    return _proxy.read(source, _connections(lines))


def _report_conditions(lines: list[_Line]) -> None:
    """Warn about servers in a block of ``.if``, because HAProxy possibly skips their lines.

    Each warning is a ``FormatWarning``. ``lines`` are those of the configuration.
    """
    depth = 0
    for number, (word, *_) in lines:
        depth += _CONDITIONS.get(word, 0)
        if depth > 0 and (word in _SERVERS or word in _BACKENDS):
            pass_over(f"line {number}: {word} in a block of .if, which HAProxy possibly skips")


def settings(text: str) -> list[set[str]]:
    """Return the lines that apply to the servers of each section with a ``ca-file``, one set each.

    ``certpin lint --exported`` compares them with those of a new export. ``text`` is the content of
    the configuration. In a file without sections, as exported, these are all lines. In a whole
    configuration, they are the lines with the ``ca-file``, and each weaker parameter of the other
    lines about servers. Lines in a section without servers have no effect.
    """
    lines = _lines(text)
    if not any(words[0] in _SECTIONS for _, words in lines):
        return [{" ".join(words) for _, words in lines}]
    found = []
    for inherited, own in _backends(lines):
        valid = [words for _, words in (*inherited, *own)]
        anchored = {" ".join(words) for words in valid if "ca-file" in words}
        if anchored and any(words[0] != "default-server" for _, words in own):
            found.append(anchored | {each for words in valid for each in _weaker(words)})
    return found


def _weaker(words: list[str]) -> Iterator[str]:
    """Yield the parameters of a server line that let HAProxy verify less, such as ``force-tlsv10``.

    ``words`` are the words of the line. Nothing is yielded for a line with a ``ca-file``, because
    ``settings`` returns that line as a whole.
    """
    if "ca-file" not in words:
        for name, value in pairwise([*words[_SERVERS[words[0]] :], ""]):
            if _WEAKER.fullmatch(name):
                yield f"{words[0]} … {name} {value}"


def _connections(lines: list[_Line]) -> Iterator[_proxy.Connection]:
    """Yield how HAProxy verifies the connections to each server that has a ``ca-file``.

    ``lines`` are those of the configuration. Issues a ``FormatWarning`` about the other servers of
    a section that has such a server.

    A server also has the parameters of the ``default-server`` lines before it in its section, and
    of the ``defaults`` section that applies. A section that has only ``default-server`` lines, as
    in an exported file, counts as one server. Equal servers of a section are yielded once.
    """
    unverified = any(words[:2] == _NO_VERIFY for _, words in lines)
    required = "none" if unverified else "required"
    for inherited, own in _backends(lines):
        common: dict[str, str] = {}
        servers = []
        for line, words in (*inherited, *own):
            parameters = common | _parameters(words[_SERVERS[words[0]] :])
            if words[0] == "default-server":
                common = parameters
            else:
                servers.append((line, parameters))
        if own and not servers:
            servers.append((own[-1][0], common))
        made = [_connection(line, found, required) for line, found in servers if "ca-file" in found]
        for line, found in servers:
            if made and "ca-file" not in found:
                problem = (
                    _problem(found, required) or "no ca-file, so HAProxy trusts other authorities"
                )
                pass_over(f"line {line}: {problem}")
        # The servers of a section have the same host.
        distinct: dict[_proxy.Connection, _proxy.Connection] = {}
        for each in made:
            distinct.setdefault(replace(each, line=0), each)
        yield from distinct.values()


def _connection(line: int, found: dict[str, str], required: str) -> _proxy.Connection:
    """Return how HAProxy verifies connections to a server.

    If HAProxy verifies no chain, or more than one name can match, the result has the reason.

    Args:
        line: the number of the server's line, for errors.
        found: the parameters of the server.
        required: the value of ``verify`` that HAProxy uses if the server has no such parameter.
    """
    # HAProxy verifies the name that it sends, and verifyhost only if it sends none.
    host, sni, others = found.get("verifyhost", ""), found.get("sni"), ""
    if sni is not None:
        sent = _LITERAL_NAME.fullmatch(sni)
        if not sent:
            others = f"sni {sni[:80]}, so a request can choose the name"
        elif host and _proxy.name_key(host) != _proxy.name_key(sent[1]):
            others = f"verifyhost {host[:260]}, which is not the name in sni"
        host = sent[1] if sent else ""
    elif not host:
        others = "neither sni nor verifyhost, so HAProxy verifies no name"
    ignored = tuple(name for name in ("crl-file",) if name in found)
    problem = _problem(found, required)
    return _proxy.Connection(host, found["ca-file"], line, problem, others, ignored)


def _problem(found: dict[str, str], required: str) -> str:
    """Return why HAProxy verifies no chain of a server with these parameters; empty if it does.

    ``found`` are the parameters of the server, by name. ``required`` is the value of ``verify`` of
    a server without this parameter.
    """
    if found.get("verify", required) != "required":
        return "verify none, so HAProxy verifies no chain"
    return "" if found.get("ssl") == "ssl" else "no ssl, so HAProxy connects without TLS"


def _backends(lines: list[_Line]) -> Iterator[tuple[list[_Line], list[_Line]]]:
    """Yield the lines about servers of each section: those that it inherits, and its own.

    A section inherits the lines of a ``defaults`` section.
    """
    defaults: dict[str, list[_Line]] = {}  # by the name of the section; "" for the last one
    for head, servers in _sections(lines):
        origin = head[head.index("from") + 1 :] if "from" in head else []
        inherited = defaults.get("".join(origin[:1]), [])
        if head[0] == "defaults":
            defaults[""] = defaults["".join(head[1:2])] = [*inherited, *servers]
        else:
            yield inherited, servers


def _sections(lines: list[_Line]) -> Iterator[tuple[list[str], list[_Line]]]:
    """Yield each section: its first line, and its lines about servers with their line numbers.

    Lines before the first section are yielded as a section with the first line ``listen``.
    """
    head = ["listen"]
    servers: list[_Line] = []
    for number, words in lines:
        if words[0] in _SECTIONS:
            yield head, servers
            head, servers = words, []
        elif words[0] in _SERVERS:
            servers.append((number, words))
    yield head, servers


def _lines(text: str) -> list[_Line]:
    """Return the number and the words of each line of HAProxy's configuration that has words."""
    found = ((number, _words(line)) for number, line in enumerate(text.splitlines(), 1))
    return [(number, words) for number, words in found if words]


def _words(line: str) -> list[str]:
    """Return the words of a line, without quotes and without its comment."""
    found = (match[1] for match in _WORD.finditer(line))
    return [re.sub("[\"']", "", word) for word in found if word]


def _parameters(words: list[str]) -> dict[str, str]:
    """Return the parameters of a server that the import uses, by name.

    ``words`` are the words of the server's line. ``ssl`` and ``no-ssl`` have one entry, ``ssl``:
    its value is the last of the two words, because HAProxy uses the last one.
    """
    values = {name: value for name, value in pairwise(words) if name in _PARAMETERS}
    flags = [word for word in words if word in _FLAGS]
    return values | ({"ssl": flags[-1]} if flags else {})


HAPROXY = Format(
    name="haproxy",
    title="HAProxy (servers)",
    use="Add its line to the backend of the host, before the servers, and copy the anchors to the "
    "folder of `ca-base`.",
    file="haproxy-pins.cfg",
    limits=(
        *_proxy.limits("HAProxy"),
        NoWildcard("HAProxy verifies only the name in its line"),
    ),
    write=write,
    read=read,
    needs=("No server of that backend may have `verify none` or `no-ssl`.",),
    settings=settings,
    refuses_bom=True,
    folder=True,
)
