"""Export and import nginx's settings for connections to its upstream servers.

They are the directives ``proxy_ssl_*`` of ngx_http_proxy_module.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from certpin.errors import FormatError
from certpin.formats import _proxy
from certpin.formats._lines import bundle
from certpin.formats.format import File, Format
from certpin.formats.parsed import pass_over
from certpin.pins.hosts import is_address

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from certpin.formats.parsed import ParsedFile, Source
    from certpin.pins import PinSet

_BUNDLE = "nginx-anchors.pem"
# A word ends at a space, a semicolon or a block, but not in a variable such as ${name}.
_TOKEN = re.compile(
    r"""
      (?P<space>  [ \t\r\n]++ | \#[^\n]*+ )
    | (?P<mark>   [;{}] )
    | (?P<quoted> "[^"\\]*+(?:\\.[^"\\]*+)*+" | '[^'\\]*+(?:\\.[^'\\]*+)*+' )
    | (?P<open>   ["'] )
    | (?P<word>   [^ \t\r\n;{]++(?:(?<=\$)\{[^ \t\r\n;{]*+)*+ )
    """,
    re.VERBOSE | re.DOTALL,
)
# Files of nginx's packages, which connect to no server over TLS.
_INCLUDES = {"mime.types", "fastcgi_params", "fastcgi.conf", "uwsgi_params", "scgi_params"}
# A file with one of these blocks is no file to include in a location.
_WHOLE = {"http", "server", "stream"}
_MAX_DEPTH = 50  # blocks in blocks; a real configuration has at most six
# The modules that connect to upstream servers, and their addresses with TLS.
_MODULES = {"proxy": "https://", "grpc": "grpcs://", "uwsgi": "suwsgi://"}
# The name that nginx verifies by default: the host of an address, if it has no variables. Some
# variables begin with a slash.
_HOST = re.compile(
    r"[a-z]+://([A-Za-z0-9._-]+)(?::[0-9]+)?(?:(?:/|\$\{?(?:request_uri|uri|document_uri)\b).*)?",
    re.DOTALL,
)
# The directives of TLS that change no decision about a chain, or that an import reads.
_READ = {
    *("verify", "verify_depth", "trusted_certificate", "name", "server_name", "protocols"),
    *("ciphers", "session_reuse", "certificate", "certificate_key", "password_file"),
}
_VERIFICATION = ("trusted_certificate", "name")  # which chains nginx accepts
_STREAM = "proxy_ssl"  # of ngx_stream_proxy_module, which connects without TLS by default
_OWN = {"certificate", "certificate_key", "password_file"}  # how nginx identifies itself

# The default depth, 1, refuses a chain with two intermediates. nginx resumes sessions that other
# locations, with other anchors, opened to the same server, and then checks no chain.
_DIRECTIVES = """\
proxy_ssl_verify on;
proxy_ssl_verify_depth 5;
proxy_ssl_trusted_certificate {bundle};
proxy_ssl_name {name};
proxy_ssl_server_name on;
proxy_ssl_protocols TLSv1.2 TLSv1.3;
proxy_ssl_session_reuse off;
"""


def write(pins: PinSet) -> tuple[File, ...]:
    """Return nginx's directives for connections to the host, and the file of its trust anchors.

    ``pins`` is a pin set that ``project`` has reduced to the settings that this platform can
    express.
    """
    [policy] = pins.policies
    # For wildcards, the name of proxy_pass (the default). A client must not choose the name.
    name = "$proxy_host" if policy.pattern.wildcard else policy.pattern.name
    directives = _DIRECTIVES.format(bundle=_BUNDLE, name=name)
    text = _proxy.comments(pins, NGINX.name) + directives
    return (File(NGINX.file, text), *bundle(policy, _BUNDLE))


def read(source: Source) -> ParsedFile:
    """Parse ``proxy_ssl_trusted_certificate``, ``proxy_ssl_name`` and certpin's comments.

    ``source`` is the configuration; the result has the settings of its hosts. Files that the
    configuration includes are not read. Issues a ``FormatWarning`` about an ``upstream`` from which
    nginx can take a connection that it did not verify in this way, and about blocks that connect
    without TLS although they have trust anchors. Raises ``FormatError``.
    """
    outermost = _parse(source.text)
    _report_includes(outermost)
    _report_shared(outermost)
    _report_plain(outermost)
    upstreams = frozenset(outermost.upstreams())
    found = [each for module in _MODULES for each in outermost.connections(module, {}, upstreams)]
    return _proxy.read(source, found)


def settings(text: str) -> list[set[str]]:
    """Return the directives that apply to each verified connection in a configuration, as sets.

    ``certpin lint --exported`` compares them with those of a new export. ``text`` is the content of
    the configuration. In a file to include, as exported, these are all directives, also the
    beginnings of blocks: nginx applies no directive in a block to the connections of the location
    around it. In a whole configuration, they are the directives of TLS that are in force in each
    block that connects.

    Raises ``FormatError``.
    """
    outermost = _parse(text)
    if _WHOLE.isdisjoint(block.head[0] for block in outermost.blocks if block.head):
        return [set(outermost.texts())]
    return list(outermost.verified(set()))


@dataclass
class _Block:
    """A block of the configuration, such as a location; or the whole file.

    Attributes:
        line: the line in which the block begins.
        head: the words before the block, such as ``location /``; empty for the whole file.
        statements: the names and arguments of all directives.
        includes: the other files that the block includes, each with the line of the ``include``.
        blocks: the blocks inside this block.
    """

    line: int = 1
    head: tuple[str, ...] = ()
    statements: list[tuple[str, ...]] = field(default_factory=list)
    includes: list[tuple[int, str]] = field(default_factory=list)
    blocks: list[_Block] = field(default_factory=list)

    def add(self, words: list[str], line: int) -> None:
        """Record one directive of the block: ``words`` are its name and its arguments.

        ``line`` is the number of its line.
        """
        self.statements.append(tuple(words))
        file = words[1] if words[0] == "include" and len(words) > 1 else ""
        if file and file.rpartition("/")[2] not in _INCLUDES:
            self.includes.append((line, file))

    @cached_property
    def directives(self) -> dict[str, str]:
        """The first argument of each directive, by its name; of a repeated one, the last counts."""
        return {words[0]: words[1] for words in self.statements if len(words) > 1}

    def walk(self, outer: Mapping[str, str]) -> Iterator[tuple[_Block, Mapping[str, str]]]:
        """Yield this block and each block inside it, with the directives of TLS in force there.

        Each pair is a block, and the first argument of each directive by the directive's name.
        ``outer`` has the directives that this block inherits, in the same form.
        """
        own = {
            name: word
            for name, word in self.directives.items()
            if "_ssl_" in name or name == _STREAM
        }
        valid = {**outer, **own} if own else outer
        yield self, valid
        for block in self.blocks:
            yield from block.walk(valid)

    def upstreams(self, *, kept: bool = False) -> Iterator[str]:
        """Yield the names of the groups of servers in this block, in lower case.

        With ``kept``, yield only the groups to which nginx keeps connections.
        """
        for block, _ in self.walk({}):
            if block.head[:1] == ("upstream",) and (not kept or "keepalive" in block.directives):
                yield block.head[1].lower() if len(block.head) > 1 else ""

    def uses(self) -> Iterator[tuple[str, int, frozenset[str]]]:
        """Yield the server or upstream of each block that connects, and how it verifies the chain.

        Each item is the name in lower case, the line of the block, and the settings with which the
        block verifies the chain; these are empty if it doesn't.
        """
        for block, valid in self.walk({}):
            for module, scheme in _MODULES.items():
                address = block.directives.get(f"{module}_pass", "")
                if found := _HOST.fullmatch(address):
                    is_tls = address.startswith(scheme)
                    verifies = is_tls and valid.get(f"{module}_ssl_verify") == "on"
                    texts = (
                        f"{each} {valid.get(f'{module}_ssl_{each}')}" for each in _VERIFICATION
                    )
                    yield found[1].lower(), block.line, frozenset(texts if verifies else ())

    def texts(self) -> Iterator[str]:
        """Yield the text of each directive in this block, with its semicolon.

        Then yield the first line of each inner block, such as ``server {``, and its directives.
        """
        for words in self.statements:
            yield f"{' '.join(words)};"
        for block in self.blocks:
            yield f"{' '.join(block.head)} {{"
            yield from block.texts()

    def verified(self, outer: set[tuple[str, ...]]) -> Iterator[set[str]]:
        """Yield one set for each block that connects with trust anchors: its directives of TLS.

        This block and the blocks inside it are examined. A directive in a set is its text, with its
        semicolon. ``outer`` has the directives that this block inherits, as tuples of words.
        """
        names = {words[0] for words in self.statements}
        valid = {words for words in outer if words[0] not in names}
        valid |= {words for words in self.statements if "_ssl_" in words[0] or words[0] == _STREAM}
        for module in self.connecting(stream=(_STREAM, "on") in valid):
            prefix = f"{module}_ssl_"
            own = {words for words in valid if words[0].startswith(prefix)}
            if any(words[0] == f"{prefix}trusted_certificate" for words in own):
                yield {
                    f"{' '.join(words)};"
                    for words in own
                    if words[0].removeprefix(prefix) not in _OWN
                }
        for block in self.blocks:
            yield from block.verified(valid)

    def connecting(self, *, stream: bool) -> set[str]:
        """Return the modules that connect to servers over TLS in this block, such as ``proxy``.

        ``stream`` is True if ``proxy_ssl`` is on in this block: ngx_stream_proxy_module then
        connects with TLS, and its addresses have no scheme.
        """
        found = {
            module
            for module, scheme in _MODULES.items()
            if self.directives.get(f"{module}_pass", "").startswith(scheme)
        }
        return found | ({"proxy"} if stream and "proxy_pass" in self.directives else set())

    def plain(
        self, module: str, outer: Mapping[str, str], *, required: bool = False
    ) -> Iterator[tuple[int, str]]:
        """Yield the line and the address of each block that has to connect over TLS, and does not.

        This block and the blocks inside it are checked. A block with trust anchors has to connect
        over TLS in two situations: it is inside a block that does, such as an ``if`` in a location;
        or a name to verify is in force, as with the exported directives. Anchors without a name can
        be for only some of the inner blocks, unless none of these connects over TLS. An address
        that is a variable is not known, so its block is left out.

        Args:
            module: the name of the nginx module.
            outer: the directives that the block inherits.
            required: True if a block around this one requires TLS of the blocks inside it.
        """
        own = self._own(module)
        valid = {**outer, **own} if own else outer
        is_secured = module in self.connecting(stream=valid.get(_STREAM) == "on")
        required = (
            required
            or is_secured
            or f"{module}_ssl_name" in own
            or (bool(own) and not self._has_secured(module, outer))
        )
        address = self.directives.get(f"{module}_pass", "")
        known = address and ("://" in address or not address.startswith("$"))
        anchored = f"{module}_ssl_trusted_certificate" in valid
        if required and anchored and known and not is_secured:
            yield self.line, address
        for block in self.blocks:
            yield from block.plain(module, valid, required=required)

    def _has_secured(self, module: str, outer: Mapping[str, str]) -> bool:
        """Return True if this block, or a block inside it, connects over TLS.

        If none does, trust anchors in the block are meant for its connections, and a connection
        without TLS is reported. Only connections of the nginx module ``module``, such as ``proxy``,
        count. ``outer`` has the directives that this block inherits.
        """
        return any(
            module in block.connecting(stream=valid.get(_STREAM) == "on")
            for block, valid in self.walk(outer)
        )

    def _own(self, module: str) -> dict[str, str]:
        """Return the TLS directives in this block that are for connections of an nginx module.

        Each name of a directive has its first argument as value. ``module`` is the name of the
        module, such as ``proxy``.
        """
        return {
            name: word
            for name, word in self.directives.items()
            if name.startswith(f"{module}_ssl_") or name == _STREAM
        }

    def connections(
        self, module: str, outer: Mapping[str, str], upstreams: frozenset[str]
    ) -> list[_proxy.Connection]:
        """Return how this block, and each block inside it, verifies its connections to servers.

        A block is left out if it has no trust anchors, or doesn't connect. A block connects if it
        has a directive such as ``proxy_pass``. A block that has only directives of TLS, as in an
        exported file, counts too, unless a block inside it is returned.

        Args:
            module: the name of the nginx module, such as ``proxy``: the start of its directives.
            outer: the directives that the block inherits.
            upstreams: the names of the file's server groups (``upstream``). They are not host
                names.
        """
        prefix = f"{module}_ssl_"
        own = self._own(module)
        valid = {**outer, **own}
        inner = [
            each for block in self.blocks for each in block.connections(module, valid, upstreams)
        ]
        connecting = self.connecting(stream=valid.get(_STREAM) == "on")
        anchors = valid.get(f"{prefix}trusted_certificate")
        used = module in connecting or (own and not inner and not connecting)
        if anchors is None or not used:
            return inner
        verifies = valid.get(f"{prefix}verify") == "on"  # the default is off
        problem = "" if verifies else f"{prefix}verify is not on, so nginx verifies no chain"
        read = {_STREAM, *(f"{prefix}{name}" for name in _READ)}
        ignored = tuple(name for name in valid if name not in read)
        host, others = self._verified_name(module, valid.get(f"{prefix}name", ""), upstreams)
        return [*inner, _proxy.Connection(host, anchors, self.line, problem, others, ignored)]

    def _verified_name(self, module: str, name: str, upstreams: frozenset[str]) -> tuple[str, str]:
        """Return the host name that nginx verifies, and a warning if it could verify another one.

        The host name is empty if it is unknown or an IP address. The warning is empty if there is
        no such problem.

        Args:
            module: the name of the nginx module, such as ``proxy``.
            name: the value of the directive for the name, such as ``proxy_ssl_name``; empty if
                there is none.
            upstreams: the names of the file's server groups (``upstream``). They are not host
                names.
        """
        if name in {"", f"${module}_host"}:
            found = _HOST.fullmatch(self.directives.get(f"{module}_pass", ""))
            host = found[1] if found else ""
            if host.lower() in upstreams and "." not in host:
                return "", f"no {module}_ssl_name, so nginx verifies {host[:80]}, an upstream"
            # nginx finds no address in a certificate.
            return ("" if is_address(host) else host, "")
        if "$" in name:
            return "", f"{module}_ssl_name {name[:80]}, so a request can choose the name"
        return name, ""


def _report_includes(outermost: _Block) -> None:
    """Warn about the other files that a configuration includes, because they are not read.

    ``outermost`` is the whole configuration. Each warning is a ``FormatWarning``. It is marked as
    unrelated to pins, unless the block with the ``include`` has directives of TLS: then the
    included file can change these.
    """
    for block, _ in outermost.walk({}):
        concerns_tls = any("_ssl_" in name for name in block.directives)
        for line, file in block.includes:
            pass_over(f"line {line}: include {file[:80]}, another file", unrelated=not concerns_tls)


def _report_shared(outermost: _Block) -> None:
    """Warn about each upstream with ``keepalive`` that locations with other verification share.

    nginx verifies a connection when it opens it. It then keeps it for every location with this
    upstream. ``outermost`` is the whole configuration. Each warning is a ``FormatWarning``.
    """
    kept = set(outermost.upstreams(kept=True))
    users: dict[str, dict[frozenset[str], int]] = {}
    for name, line, verification in outermost.uses():
        users.setdefault(name, {}).setdefault(verification, line)
    for name in sorted(kept & users.keys()):
        lines = sorted(users[name].values())
        if len(lines) > 1:
            pass_over(
                f"line {lines[0]}: the upstream {name[:80]} has keepalive, so nginx reuses its "
                f"connections for line {lines[1]}, with other settings of TLS, and verifies nothing"
            )


def _report_plain(outermost: _Block) -> None:
    """Warn about each block that connects without TLS, so that its trust anchors have no effect.

    ``outermost`` is the whole configuration. In a location, an ``if``, a ``limit_except`` or a
    location inside it can connect to another address. Each warning is a ``FormatWarning``.
    """
    for module in _MODULES:
        for line, address in outermost.plain(module, {}):
            pass_over(f"line {line}: {module}_pass {address[:80]}, so nginx connects without TLS")


def _parse(text: str) -> _Block:
    """Parse a configuration, or a part of one. Raises ``FormatError`` if it is damaged."""
    blocks = [_Block()]
    words: list[str] = []
    for line, piece, is_word in _tokens(text):
        if is_word:
            words.append(piece)
            continue
        if piece == "{":
            blocks.append(_Block(line, tuple(words)))
            blocks[-2].blocks.append(blocks[-1])
        elif piece == "}":
            blocks.pop()
        elif words:
            blocks[-1].add(words, line)
        words = []
        if not 0 < len(blocks) <= _MAX_DEPTH:
            raise _damaged(line, f"unexpected {piece}")
    if len(blocks) > 1:
        raise _damaged(blocks[-1].line, "the block is not closed")
    return blocks[0]


def _tokens(text: str) -> Iterator[tuple[int, str, bool]]:
    """Yield the words and marks of a configuration: line, text, and True for a word.

    Raises ``FormatError`` if a quote is not closed.
    """
    line = 1
    for match in _TOKEN.finditer(text):
        kind, piece = match.lastgroup, match[0]
        if kind == "open":
            raise _damaged(line, f"the quote {piece} is not closed")
        if kind != "space":
            yield line, piece[1:-1] if kind == "quoted" else piece, kind != "mark"
        line += piece.count("\n")


def _damaged(line: int, problem: str) -> FormatError:
    return FormatError(
        f"line {line}: {problem}", fix="import a file with complete directives and blocks of nginx"
    )


NGINX = Format(
    name="nginx",
    title="nginx (upstream)",
    use="Copy both files beside nginx.conf, and `include nginx-pins.conf;` in the location.",
    file="nginx-pins.conf",
    limits=_proxy.limits("nginx"),
    write=write,
    read=read,
    needs=(
        "`proxy_pass https://…` in that location and the blocks inside it: `http://` has no TLS.",
        "With `keepalive`, its own `upstream`: nginx reuses connections that other locations open.",
        "For `*.name` and `**.name`: requests must not be able to choose the name in `proxy_pass`.",
    ),
    settings=settings,
    refuses_bom=True,
    folder=True,
)
