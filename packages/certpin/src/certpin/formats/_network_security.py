"""Android's network security configuration, which TrustKit for Android uses too.

The format: https://developer.android.com/privacy-and-security/security-config#FileFormat
"""

from __future__ import annotations

import base64
import hashlib
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from certpin.errors import FormatError
from certpin.formats import _domains, _xml
from certpin.formats.format import File
from certpin.formats.header import header, read_header
from certpin.formats.parsed import (
    Found,
    ParsedFile,
    WeakSetting,
    at_line,
    pass_over,
    read_anchors,
)
from certpin.pins import TrustAnchors
from certpin.x509.log_list import PLATFORM_LOGS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from certpin.formats._xml import Element
    from certpin.formats.parsed import Source
    from certpin.pins import HostPolicy, Pin, PinSet
    from certpin.x509.log_list import LogList

    Lines = list[str]
    # Adds the settings of TrustKit's own element to those that Android reads.
    Addition = Callable[[Found, Element | None], Found]

FILE = "res/xml/network_security_config.xml"  # the path in Android's documentation

PLACE = "Write it to `src/main/` of your app. "
DATE_NEEDS = ("The expiry date depends on the clock and the time zone of the device.",)

# A resource with an optional package: @raw/name, @com.example.app:raw/name.
_RAW = re.compile(r"@(?:[a-zA-Z0-9_.]{1,200}:)?raw/([a-z0-9_]{1,100})")
# Android 16 (API level 36) reads it; older versions ignore it. Its rules are those of Chrome:
# https://developer.android.com/privacy-and-security/certificate-transparency-policy
_TRANSPARENCY = '<certificateTransparency enabled="true"/>'
_ENDINGS = (".pem", ".crt", ".cer", ".der", "")
_CLEARTEXT = "cleartextTrafficPermitted"
# Elements of base-config that have no effect on hosts with their own. An import reads those in
# force.
_OVERRIDDEN = frozenset({"trust-anchors", "certificateTransparency"})
# Android 17 encrypts the name of the host with it, and verifies chains as without it.
_HARMLESS = frozenset({"domainEncryption"})


def write(
    pins: PinSet, name: str, add: Callable[[HostPolicy], Lines] = lambda _policy: []
) -> tuple[File, ...]:
    """Return the XML file of a network security configuration, and the files of its trust anchors.

    ``name`` is the name of the format. ``add`` is a function that returns additional lines for the
    ``<domain-config>`` of a policy. ``pins`` is a pin set that ``project`` has reduced to the
    settings that this platform can express.
    """
    lines = [line for policy in pins.policies for line in _domain_config(policy, add(policy))]
    if pins.debug:
        lines += _element("debug-overrides", "", _trust_anchors(pins.debug, ' overridePins="true"'))
    comment = _element("network-security-config", "", lines)
    words = "".join(f"  {line}\n" for line in header(pins, name))
    text = f'<?xml version="1.0" encoding="utf-8"?>\n<!--\n{words}-->\n' + "\n".join(comment) + "\n"
    anchors = [policy.trust for policy in pins.policies]
    return (File(FILE, text), *_anchor_files([*anchors, pins.debug]))


def use_at(path: Path, reference: str) -> str:
    """Return sentences that say how to use a configuration that was written to ``path``.

    ``reference`` is the sentence that names the file in the manifest. ``PLACE`` precedes it if the
    file is not in a source set of an app, such as ``src/main/res/xml``.
    """
    reference = reference.replace(Path(FILE).stem, path.stem)
    folders = path.absolute().parts[-5:-1]
    is_placed = folders[:1] == ("src",) and folders[2:] == Path(FILE).parts[:-1]
    return reference if is_placed else PLACE + reference


def _domain_config(policy: HostPolicy, more: Lines) -> Lines:
    below = str(bool(policy.pattern.wildcard)).lower()
    domain = f'<domain includeSubdomains="{below}">{policy.pattern.name}</domain>'
    anchors = _trust_anchors(policy.trust) if policy.trust else []
    transparency = [_TRANSPARENCY] if policy.ct_logs else []
    inside = [domain, *_pin_set(policy), *anchors, *transparency, *more]
    # A cleartext connection has no chain to pin.
    return _element("domain-config", ' cleartextTrafficPermitted="false"', inside)


def _pin_set(policy: HostPolicy) -> Lines:
    ends = f' expiration="{policy.expires.date().isoformat()}"' if policy.expires else ""
    digests = [base64.b64encode(entry.pin.digest).decode() for entry in policy.pins]
    return _element("pin-set", ends, [f'<pin digest="SHA-256">{each}</pin>' for each in digests])


def _trust_anchors(anchors: TrustAnchors, more: str = "") -> Lines:
    names = map(_resource, dict.fromkeys(anchors.der))
    return _element("trust-anchors", "", [f'<certificates src="@raw/{n}"{more}/>' for n in names])


def _element(name: str, attributes: str, inside: Lines) -> Lines:
    return [f"<{name}{attributes}>", *(f"    {line}" for line in inside), f"</{name}>"]


@dataclass(frozen=True)
class _Scope:
    """The settings that apply to the hosts of a ``<domain-config>``: its own, or inherited ones.

    Each attribute except ``configs`` is one element of the file; None if no such element applies.

    Attributes:
        pin_set: the ``<pin-set>``.
        anchors: the ``<trust-anchors>``.
        trustkit: the ``<trustkit-config>``.
        transparency: the ``<certificateTransparency>``.
        cleartext: the element that has the attribute ``cleartextTrafficPermitted`` for the hosts.
        configs: the ``<base-config>``, and each ``<domain-config>`` that contains the hosts, the
            outermost first.
    """

    pin_set: Element | None = None
    anchors: Element | None = None
    trustkit: Element | None = None
    transparency: Element | None = None
    cleartext: Element | None = None
    configs: tuple[Element, ...] = ()

    def inside(self, config: Element) -> _Scope:
        """Return the scope of a ``<domain-config>`` nested in this one.

        The nested element's children replace those of this scope. Its ``<trustkit-config>`` also
        inherits the attributes that it lacks.
        """
        trustkit = config.find("trustkit-config")
        if trustkit and self.trustkit:
            trustkit.inherit(self.trustkit)
        return _Scope(
            config.find("pin-set") or self.pin_set,
            config.find("trust-anchors") or self.anchors,
            trustkit or self.trustkit,
            config.find("certificateTransparency") or self.transparency,
            config if _CLEARTEXT in config.attributes else self.cleartext,
            (*self.configs, config),
        )


def read(source: Source, add: Addition = lambda found, _element: found) -> ParsedFile:
    """Parse a network security configuration. Raises ``FormatError``.

    Issues a ``FormatWarning`` about every element and attribute that a pin file cannot express.

    Args:
        source: the XML file.
        add: a function that completes a host's settings by those of a ``<trustkit-config>``. It
            gets the settings and this element (None if the host has none), and returns the
            completed settings.
    """
    root = _root(source)
    entries = list(_entries(root))
    found = tuple(
        add(_found(source, pattern, line, scope), scope.trustkit)
        for pattern, line, scope in entries
        if _pins(scope)
    )
    unpinned = [pattern for pattern, _, scope in entries if not _pins(scope)]
    for name in unpinned:
        pass_over(f"{name[:80]}, which has no pins", unrelated=True)
    debug = _read_debug(source, root.one("debug-overrides"))
    _report_unread(root, [scope for _, _, scope in entries if _pins(scope)])
    refusal = _domains.exclusion(found, unpinned)
    return ParsedFile(found, *read_header(source.text), debug, refusal)


def _report_unread(root: Element, pinned: list[_Scope]) -> None:
    """Issue a ``FormatWarning`` about the settings of a file that the import did not read.

    The warning about a setting is marked as unrelated to pins if the setting can't weaken how a
    release build verifies hosts with pins.

    Args:
        root: the root element.
        pinned: the scopes of the hosts with pins.
    """
    configs = {id(config): config for scope in pinned for config in scope.configs}
    permitting = {id(scope.cleartext) for scope in pinned if not _denies_cleartext(scope.cleartext)}
    for key, config in configs.items():
        if _CLEARTEXT in config.attributes and key not in permitting:
            if _CLEARTEXT not in config.used:
                pass_over(f"line {config.line}: {_CLEARTEXT} of {config.name}", unrelated=True)
            config.used.add(_CLEARTEXT)
    beside = {id(each) for each in _beside_pins(root, configs)}
    for element, part in root.unread():
        pass_over(part, unrelated=id(element) in beside)


def _beside_pins(config: Element, configs: Collection[int]) -> Iterator[Element]:
    """Yield the elements inside ``config`` that can't weaken the verification of hosts with pins.

    The caller marks warnings about settings in these elements as unrelated to pins.

    Args:
        config: the root element; in a recursive call, an element that contains hosts with pins.
        configs: the IDs (``id()``) of all elements that apply to hosts with pins.
    """
    for child in config.children:
        if id(child) in configs:
            yield from _beside_pins(child, configs)
        elif (
            child.name in {"domain-config", "debug-overrides", *_HARMLESS}
            or (config.name == "base-config" and child.name in _OVERRIDDEN and not child.taken)
            or (child.name == "base-config" and not configs)
        ):
            yield from child.with_descendants()


def read_weaknesses(source: Source) -> tuple[WeakSetting, ...]:
    """Return the settings of a release build that weaken the checks of connections.

    ``source`` is the XML file. Raises ``FormatError``.
    """
    return tuple(dict.fromkeys(_weaknesses(_root(source))))


def read_raw_anchors(source: Source) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names of the files in ``res/raw`` that a configuration trusts, as two sets.

    ``source`` is the XML file. Raises ``FormatError``.

    Returns:
        The files in ``<debug-overrides>``, which only debug builds trust; then those in all other
        elements, whether their hosts have pins or not.
    """
    debug: set[str] = set()
    released: set[str] = set()
    for config in _root(source).children:
        (debug if config.name == "debug-overrides" else released).update(_raw_anchors(config))
    return frozenset(debug), frozenset(released)


def _raw_anchors(config: Element) -> Iterator[str]:
    for anchors in _children(config, "trust-anchors"):
        for each in _children(anchors, "certificates"):
            if match := _RAW.fullmatch(each.attributes.get("src", "").strip()):
                yield match[1]
    for nested in _children(config, "domain-config"):
        yield from _raw_anchors(nested)


def _root(source: Source) -> Element:
    root = _xml.parse(source)
    if root.name != "network-security-config":
        raise FormatError(f"the root element is {root.name[:80]!r}, not network-security-config")
    return root


def _entries(root: Element) -> Iterator[tuple[str, int, _Scope]]:
    """Yield the host pattern and line of every ``<domain>``, with the elements that apply to it.

    ``root`` is the root element of the configuration. Raises ``FormatError`` if Android refuses or
    ignores an entry: a domain that occurs twice, a ``<domain-config>`` without a domain, or pins in
    the ``<base-config>``.
    """
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
            with at_line(domain.line):
                pattern = _domains.pattern(name, below=below)
            yield pattern, domain.line, inner


def _inside(config: Element, outer: _Scope) -> Iterator[tuple[Element, _Scope]]:
    """Yield each ``<domain>`` in a ``<domain-config>``, at any depth, with its scope.

    A scope consists of the elements that apply to a domain. ``outer`` is the scope around the
    ``<domain-config>``.
    """
    scope = outer.inside(config)
    config.agree(_CLEARTEXT, "false")  # strict clients refuse http:// too
    domains = list(config.all("domain"))
    if not domains:
        raise FormatError(f"line {config.line}: the domain-config has no domain")
    for domain in domains:
        yield domain, scope
    for nested in config.all("domain-config"):
        yield from _inside(nested, scope)


def _weaknesses(root: Element) -> Iterator[WeakSetting]:
    """Yield the settings of a release build that weaken the checks of connections.

    ``root`` is the root element of the configuration. The settings in ``<debug-overrides>`` have no
    effect in a release build.
    """
    for config in root.children:
        if config.name == "base-config":
            if _permits_cleartext(config):
                yield WeakSetting("cleartext", config.line)
            yield from _weak_anchors(config, pinned=False)
        elif config.name == "domain-config":
            yield from _weak_domains(config, pinned=False, cleartext=0)


def _weak_domains(config: Element, *, pinned: bool, cleartext: int) -> Iterator[WeakSetting]:
    """Yield the weaknesses in a ``<domain-config>`` and in those nested in it.

    Args:
        config: the element.
        pinned: True if it inherits pins.
        cleartext: the line of the inherited setting that permits cleartext; 0 if there is none.
    """
    pin_sets = _children(config, "pin-set")
    pinned = any(each.children for each in pin_sets) if pin_sets else pinned
    if _CLEARTEXT in config.attributes:
        cleartext = config.line if _permits_cleartext(config) else 0
    if pinned and cleartext:
        yield WeakSetting("cleartext", cleartext)
    yield from _weak_anchors(config, pinned=pinned)
    for nested in _children(config, "domain-config"):
        yield from _weak_domains(nested, pinned=pinned, cleartext=cleartext)


def _children(element: Element, name: str) -> list[Element]:
    """Return all child elements with this name, without marking them as read.

    The import of pins still warns about those that it doesn't read. Android refuses a file that
    repeats some elements. All of them are returned, so that certpin still finds the weaknesses of
    such a file.
    """
    return [each for each in element.children if each.name == name]


def _permits_cleartext(config: Element) -> bool:
    return config.attributes.get(_CLEARTEXT, "").strip().lower() == "true"


def _denies_cleartext(config: Element | None) -> bool:
    """Return True if an element refuses ``http://`` for its hosts.

    Also return True if there is no element: the platform's default applies then. If an element
    permits ``http://`` for hosts with pins, a warning about it is not marked as unrelated to pins.
    ``config`` is the element with the attribute ``cleartextTrafficPermitted``.
    """
    return config is None or config.attributes[_CLEARTEXT].strip().lower() == "false"


def _weak_anchors(config: Element, *, pinned: bool) -> Iterator[WeakSetting]:
    """Yield the weaknesses in the ``<trust-anchors>`` of an element (``config``).

    ``pinned`` is True if pins apply to the element's hosts. If so, it is no weakness to trust the
    user's authorities beside others, because their chains must match the pins too.
    """
    anchors = _children(config, "trust-anchors")
    certificates = [each for inside in anchors for each in _children(inside, "certificates")]
    of_user = [each for each in certificates if each.attributes.get("src", "").strip() == "user"]
    for each in certificates:
        if each.attributes.get("overridePins", "").lower() == "true":
            yield WeakSetting("pins-overridden", each.line)
    if of_user and len(of_user) == len(certificates):
        yield WeakSetting("only-user-authorities", of_user[0].line)
    elif of_user and not pinned:
        yield WeakSetting("user-authorities", of_user[0].line)


def _found(source: Source, pattern: str, line: int, scope: _Scope) -> Found:
    ends = scope.pin_set.get("expiration") if scope.pin_set else ""
    refusal = _refusal(scope.anchors)
    return Found(
        pattern,
        tuple(_pins(scope)),
        expires=_domains.read_day(ends.strip()) if ends else None,
        on_expiry="fail-open" if ends else "fail-closed",
        trust=None if refusal else _read_trust(source, scope.anchors),
        ct_logs=_read_transparency(scope.transparency),
        refusal=refusal,
        line=line,
    )


def _read_transparency(element: Element | None) -> LogList | None:
    """Return the platform's Certificate Transparency logs if ``element`` enables the check of SCTs.

    Return None if the element is missing, or doesn't enable the check.
    """
    if element is None or not element.take().flag("enabled", default=False):
        return None
    return PLATFORM_LOGS


def _pins(scope: _Scope) -> list[Pin]:
    return [_pin(each) for each in scope.pin_set.take().all("pin")] if scope.pin_set else []


def _pin(element: Element) -> Pin:
    digest = element.get("digest")
    if digest.upper() != "SHA-256":
        raise FormatError(
            f"line {element.line}: Android does not support the digest {digest[:40]!r}",
            fix='replace the pin by one with digest="SHA-256"',
        )
    return _domains.read_digest(element.text, f"line {element.line}")


def _resource(der: bytes) -> str:
    """Return the name of the resource file for a certificate, by its SHA-256.

    ``der`` is the certificate in DER. Each certificate has its own file, because TrustKit reads
    only one certificate per file.
    """
    return f"certpin_{hashlib.sha256(der).hexdigest()[:16]}"


def _anchor_files(anchors: Iterable[TrustAnchors | None]) -> tuple[File, ...]:
    """Return the PEM files for ``res/raw``, one per distinct certificate.

    ``anchors`` are the trust anchors of the policies; None for a policy without any.
    """
    ders = dict.fromkeys(der for each in anchors if each for der in each.der)
    return tuple(
        File(f"res/raw/{_resource(der)}.pem", ssl.DER_cert_to_PEM_cert(der)) for der in ders
    )


def _refusal(element: Element | None) -> FormatError | None:
    """Return an error if a pin file can't express the ``<trust-anchors>`` of a host; else None.

    A pin file trusts either the system's authorities or those in files. So the result is an error
    if ``element`` trusts both or neither, and also if it disables the pins (``overridePins``). The
    result is None if there is no ``element``.
    """
    if element is None:
        return None
    certificates = list(element.take().all("certificates"))
    sources = {_source(each) for each in certificates}
    overriding = [each for each in certificates if each.flag("overridePins", default=False)]
    if overriding:
        return FormatError(
            f"line {overriding[0].line}: overridePins disables the pins",
            fix="use it only in debug-overrides",
        )
    files = sources - {"system", "user"}
    if files and "system" in sources:
        return FormatError(
            f"line {element.line}: it must trust either the system's authorities or those of files",
            fix="keep one of the two: certpin never trusts both",
        )
    if files or "system" in sources:
        return None
    trusted = "only authorities that the user installed" if sources else "no authority"
    return FormatError(
        f"line {element.line}: it trusts {trusted}, and must trust the system's or those of files",
        fix='add <certificates src="system"/>, or the file of your authority (@raw/…)',
    )


def _read_trust(source: Source, element: Element | None) -> TrustAnchors | None:
    """Return the trust anchors that a ``<trust-anchors>`` element takes from files.

    Return None if it names no files, or if there is no element: the system's authorities are then
    trusted. Issues a ``FormatWarning`` if authorities that the user installed are trusted too,
    because a pin file can't express that. Raises ``FormatError`` if the file of an anchor can't be
    read.
    """
    names = [_source(each) for each in element.all("certificates")] if element else []
    if element and "user" in names:
        pass_over(f"line {element.line}: authorities installed by the user are trusted too")
    raw = [name for name in names if name not in {"system", "user"}]
    return _anchors(source, raw) if raw else None


def _read_debug(source: Source, element: Element | None) -> TrustAnchors | None:
    """Return the trust anchors that debug builds accept without a pin; None if there are none.

    Issues a ``FormatWarning`` about anchors of debug builds that a pin file can't contain: those of
    the system and the user, and those to which pins apply. Raises ``FormatError``.

    Args:
        source: the XML file.
        element: the element ``<debug-overrides>``; None if the file has none.
    """
    anchors = element.one("trust-anchors") if element else None
    overriding = []
    for each in anchors.all("certificates") if anchors else ():
        if each.flag("overridePins", default=True):
            overriding.append(_source(each))
        else:
            pass_over(
                f"line {each.line}: debug builds trust {_source(each)} for pinned keys",
                unrelated=True,
            )
    raw = [name for name in overriding if name not in {"system", "user"}]
    if anchors and len(raw) < len(overriding):
        pass_over(
            f"line {anchors.line}: debug builds trust every authority of the device", unrelated=True
        )
    return _anchors(source, raw) if raw else None


def _source(certificates: Element) -> str:
    """Return the source that a ``<certificates>`` element names: ``system``, ``user``, or a file.

    For a file, return its name in ``res/raw`` without the extension. Raises ``FormatError``.
    """
    text = certificates.get("src").strip()
    match = _RAW.fullmatch(text)
    if text not in {"system", "user"} and not match:
        raise FormatError(f"line {certificates.line}: {text[:80]!r} is not system, user or @raw/…")
    return match[1] if match else text


def _anchors(source: Source, names: list[str]) -> TrustAnchors:
    ders = [der for name in names for der in read_anchors(_raw(source, name)).der]
    return TrustAnchors(tuple(dict.fromkeys(ders)), source=", ".join(names))


def _raw(source: Source, name: str) -> bytes:
    """Return the content of the file in ``res/raw`` that the XML names without its extension.

    ``source`` is the XML file, and ``name`` the name in it. Raises ``FormatError`` if the file is
    missing.
    """
    for ending in _ENDINGS:
        try:
            return source.beside(f"../raw/{name}{ending}")
        except FormatError:
            continue
    raise FormatError(f"res/raw has no certificate {name}", fix="add the file")
