"""Read Android's network security configuration, which TrustKit for Android uses too.

https://developer.android.com/privacy-and-security/security-config#FileFormat
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from certpin.errors import FormatError
from certpin.formats import _domains, _raw_anchors, _xml
from certpin.formats.format import Found, ParsedFile, pass_over
from certpin.formats.header import read_header
from certpin.formats.table import pins_from

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from certpin.formats._xml import Element
    from certpin.formats.format import Source

    # Adds the settings of TrustKit's own element to those that Android reads.
    Addition = Callable[[Found, Element | None], Found]


@dataclass(frozen=True)
class _Scope:
    """The elements of a domain-config, its own or inherited."""

    pin_set: Element | None = None
    anchors: Element | None = None
    trustkit: Element | None = None

    def inside(self, config: Element) -> _Scope:
        """Return the scope of a nested element: its own elements override the inherited ones."""
        trustkit = config.find("trustkit-config")
        if trustkit and self.trustkit:
            trustkit.inherit(self.trustkit)
        return _Scope(
            config.find("pin-set") or self.pin_set,
            config.find("trust-anchors") or self.anchors,
            trustkit or self.trustkit,
        )


def read(source: Source, add: Addition = lambda found, _element: found) -> ParsedFile:
    """Read a file; ``add`` reads its ``trustkit-config``. Raises ``FormatError``.

    Warns about every element and attribute that a pin file cannot express, such as
    ``certificateTransparency`` (Android 16) and ``domainEncryption`` (Android 17).
    """
    root = _xml.parse(source)
    if root.name != "network-security-config":
        raise FormatError(f"the root element is {root.name[:80]!r}, not network-security-config")
    entries = list(_entries(root))
    found = tuple(
        add(_found(source, pattern, scope), scope.trustkit)
        for pattern, scope in entries
        if _pins(scope)
    )
    _domains.refuse_exclusions(found, [name for name, scope in entries if not _pins(scope)])
    for name, scope in entries:
        if not _pins(scope):
            pass_over(f"{name[:80]}, which has no pins")
    debug = _raw_anchors.read_debug(source, root.one("debug-overrides"))
    for each in root.unread():
        pass_over(each)
    return ParsedFile(found, *read_header(source.text), debug)


def _entries(root: Element) -> Iterator[tuple[str, _Scope]]:
    """Iterate over the pattern and the scope of every domain."""
    base = root.one("base-config")
    scope = _Scope().inside(base) if base else _Scope()
    if scope.pin_set:
        raise FormatError(
            f"line {scope.pin_set.line}: base-config has pins, which Android ignores",
            fix="move them to a domain-config with their hosts",
        )
    seen: set[str] = set()
    for config in root.all("domain-config"):
        for domain, inner in _inside(config, scope):
            name = domain.text.lower()
            if name in seen:
                raise FormatError(f"{name[:80]!r} occurs twice, which Android refuses")
            seen.add(name)
            below = domain.flag("includeSubdomains", default=False)
            yield _domains.pattern(name, below=below), inner


def _inside(config: Element, outer: _Scope) -> Iterator[tuple[Element, _Scope]]:
    """Iterate over the domains of a domain-config and of nested ones."""
    scope = outer.inside(config)
    config.agree("cleartextTrafficPermitted", "false")  # strict clients refuse http:// too
    domains = list(config.all("domain"))
    if not domains:
        raise FormatError(f"line {config.line}: the domain-config has no domain")
    for domain in domains:
        yield domain, scope
    for nested in config.all("domain-config"):
        yield from _inside(nested, scope)


def _found(source: Source, pattern: str, scope: _Scope) -> Found:
    ends = scope.pin_set.get("expiration") if scope.pin_set else ""
    return Found(
        pattern,
        pins_from(_pins(scope)),
        expires=_domains.read_day(ends.strip()) if ends else None,
        on_expiry="fail-open" if ends else "fail-closed",
        trust=_raw_anchors.read_trust(source, scope.anchors),
    )


def _pins(scope: _Scope) -> list[str]:
    return [_pin(each) for each in scope.pin_set.take().all("pin")] if scope.pin_set else []


def _pin(element: Element) -> str:
    digest = element.get("digest")
    if digest.upper() != "SHA-256":
        raise FormatError(
            f"line {element.line}: Android does not support the digest {digest[:40]!r}",
            fix='replace the pin by one with digest="SHA-256"',
        )
    return f"sha256/{element.text}"
