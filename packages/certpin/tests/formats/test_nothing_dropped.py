"""An import drops nothing silently: removing any part of a file changes the result or a warning.

A test generates a file, and imports it again without each of its elements, attributes or entries in
turn. The outcome (the meaning of the pin set, the warnings, or the error) must then differ.
"""

from __future__ import annotations

import copy
import plistlib
import re
import warnings
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certpin.errors import CertpinError
from certpin.pins.policy import meaning
from tests.formats._files import PINS, A, B, C, D, E, F, load
from tests.formats._sets import authorities

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Node = tuple[str, dict[str, str], list[Any]]  # name, attributes, children or a text

_LINE = re.compile(r"\bline [0-9]+")
_DIGESTS = (A, B, C, D, E, F)
_VENDOR = {"disableDefaultReportUri": "true"}


def outcome(name: str, text: str) -> tuple[Any, list[str]]:
    """Import a text. Return the meaning of its pins or the error, and the sorted warnings.

    Line numbers are removed from all messages.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result: Any = meaning(load(name, text, _beside()))
        except CertpinError as exc:
            result = _LINE.sub("", str(exc))
    return result, sorted(_LINE.sub("", str(each.message)) for each in caught)


def _beside() -> dict[str, bytes]:
    return {f"../raw/{name}.pem": each.pem for name, each in zip("ab", authorities(), strict=True)}


def assert_nothing_is_dropped(name: str, whole: str, parts: Iterator[tuple[str, str]]) -> None:
    """Check that a file without any one of its parts has another outcome than the whole file.

    Args:
        name: the format.
        whole: the text of the file.
        parts: the name of each part, and the text of the file without it.
    """
    expected = outcome(name, whole)
    for what, without in parts:
        assert outcome(name, without) != expected, f"{what} is dropped in silence from {whole}"


# -- XML of Android ----------------------------------------

_STRANGE = st.sampled_from(
    [
        ("domainEncryption", {"mode": "enabled"}, []),
        ("pins", {}, ["text"]),
        ("future", {}, [("deeper", {"a": "b"}, [])]),
    ]
)
_ATTRIBUTE = st.sampled_from([("cleartextTrafficPermitted", "true"), ("future", "1"), ("b", "")])


@st.composite
def _some(draw: st.DrawFn, node: Node) -> Node:
    """Add random children and attributes to an element; a pin file cannot express them."""
    name, attributes, children = node
    more = draw(st.lists(_STRANGE, max_size=2, unique_by=lambda each: each[0]))
    extra = dict(draw(st.lists(_ATTRIBUTE, max_size=1)))
    return name, {**attributes, **extra}, [*children, *map(copy.deepcopy, more)]


@st.composite
def _android(draw: st.DrawFn, *, trustkit: bool = False) -> Node:  # noqa: C901  # a file has many parts
    def strange(name: str, attributes: dict[str, str], children: list[Any]) -> Node:
        return draw(_some((name, attributes, children)))

    def pin_set(digests: tuple[str, ...]) -> Node:
        pins = [("pin", {"digest": "SHA-256"}, [each]) for each in digests]
        ends = draw(st.sampled_from([{}, {"expiration": "2030-01-01"}]))
        return strange("pin-set", ends, pins)

    def anchors(source: str) -> Node:
        return strange("trust-anchors", {}, [strange("certificates", {"src": source}, [])])

    def config(host: str, *inside: Node) -> Node:
        domain = strange("domain", {"includeSubdomains": "true"}, [host])
        return strange("domain-config", {}, [domain, *inside])

    def reports(name: str) -> list[Node]:
        if not trustkit:
            return []
        uri: Node = ("report-uri", {}, [f"https://{name}/reports"])
        flags = {"enforcePinning": "true", **_VENDOR}
        return [strange("trustkit-config", flags, [uri])]

    nested = draw(st.sampled_from([[], [config("api.bank.example", pin_set(_DIGESTS[2:4]))]]))
    first = [pin_set(_DIGESTS[:2])]
    first += draw(st.sampled_from([[], [anchors("@raw/a")]]))
    # Not below it: the nested domain-config inherits it, so that a repetition changes nothing.
    first += draw(st.sampled_from([[], [("certificateTransparency", {"enabled": "true"}, [])]]))
    pinned = config("bank.example", *first, *reports("a.example"), *nested)
    parts = [pinned]
    if draw(st.booleans()):
        parts.append(config("pay.example", pin_set(_DIGESTS[4:]), *reports("b.example")))
    if draw(st.booleans()):
        parts.append(config("open.example"))
    if draw(st.booleans()):
        parts.insert(0, strange("base-config", {}, [anchors("@raw/b")]))
    if draw(st.booleans()):
        parts.append(strange("debug-overrides", {}, [anchors(draw(_DEBUG_SOURCE))]))
    return strange("network-security-config", {}, parts)


_DEBUG_SOURCE = st.sampled_from(["@raw/b", "user", "system"])


def _xml(node: Node) -> str:
    return ET.tostring(_element(node), encoding="unicode")


def _element(node: Node) -> ET.Element:
    name, attributes, children = node
    element = ET.Element(name, attributes)
    for child in children:
        if isinstance(child, str):
            element.text = child
        else:
            element.append(_element(child))
    return element


def _without(name: str, node: Node) -> Iterator[tuple[str, str]]:
    """Yield the name of each element and attribute, and the file without it.

    Those inside of elements that an import reports as a whole are left out.
    """
    root = _element(node)
    reported = " ".join(outcome(name, _xml(node))[1])
    for parent in _read(root, reported):
        for at, child in enumerate(list(parent)):
            parent.remove(child)
            yield f"<{child.tag}> in <{parent.tag}>", ET.tostring(root, encoding="unicode")
            parent.insert(at, child)
        for key, value in list(parent.attrib.items()):
            del parent.attrib[key]
            yield f"{key} of <{parent.tag}>", ET.tostring(root, encoding="unicode")
            parent.attrib[key] = value


def _read(element: ET.Element, reported: str) -> Iterator[ET.Element]:
    """Yield the element and its descendants, except those inside an element that is reported whole.

    Args:
        element: the XML element.
        reported: the warnings of an import of the whole file.
    """
    yield element
    for child in element:
        if f"{child.tag} of {element.tag}" not in reported:
            yield from _read(child, reported)


@pytest.mark.slow
@given(_android())
@settings(max_examples=25, deadline=None)
def test_import_drops_no_part_of_an_android_file(node: Node) -> None:
    assert_nothing_is_dropped("android", _xml(node), _without("android", node))


@pytest.mark.slow
@given(_android(trustkit=True))
@settings(max_examples=25, deadline=None)
def test_import_drops_no_part_of_a_trustkit_android_file(node: Node) -> None:
    name = "trustkit-android"
    assert_nothing_is_dropped(name, _xml(node), _without(name, node))


# -- property lists of Apple's platforms ----------------------------------------

_VALUE = st.sampled_from([True, "text", 7, {}, [], {"a": 1}, ["a", {"b": 2}]])
_OTHERS = st.dictionaries(st.sampled_from(["CFBundleName", "NSFuture", "TSKFuture"]), _VALUE)


@st.composite
def _apple(draw: st.DrawFn) -> dict[str, Any]:
    domains = {}
    for number, host in enumerate(
        draw(st.sampled_from([["a.example"], ["a.example", "b.example"]]))
    ):
        kind = draw(st.sampled_from(["NSPinnedLeafIdentities", "NSPinnedCAIdentities"]))
        identities = [
            {"SPKI-SHA256-BASE64": each, **draw(_OTHERS)}
            for each in _DIGESTS[2 * number : 2 * number + 2]
        ]
        flag = draw(st.sampled_from([{}, {"NSIncludesSubdomains": True}]))
        domains[host] = {kind: identities, **flag, **draw(_OTHERS)}
    security = {"NSPinnedDomains": domains, "NSAllowsArbitraryLoads": False, **draw(_OTHERS)}
    return {"NSAppTransportSecurity": security, **draw(_OTHERS)}


@st.composite
def _trustkit(draw: st.DrawFn) -> dict[str, Any]:
    domains: dict[str, Any] = {}
    for number, host in enumerate(
        draw(st.sampled_from([["a.example"], ["a.example", "b.example"]]))
    ):
        flags = draw(
            st.sets(
                st.sampled_from(
                    [
                        ("TSKIncludeSubdomains", True),
                        ("TSKEnforcePinning", False),
                        ("TSKDisableDefaultReportUri", True),
                        ("TSKExpirationDate", "2030-01-01"),
                    ]
                )
            )
        )
        hashes = list(_DIGESTS[2 * number : 2 * number + 2])
        reports = {"TSKReportUris": ["https://a.example/", "https://b.example/"]}
        chosen = draw(st.sampled_from([{}, reports]))
        domains[host] = {"TSKPublicKeyHashes": hashes, **dict(flags), **chosen, **draw(_OTHERS)}
    if draw(st.booleans()):
        domains["open.test"] = {"TSKExcludeSubdomainFromParentPolicy": True, **draw(_OTHERS)}
    settings_ = {"TSKPinnedDomains": domains, "TSKSwizzleNetworkDelegates": True, **draw(_OTHERS)}
    return draw(st.sampled_from([settings_, {"TSKConfiguration": settings_, **draw(_OTHERS)}]))


def _plist(value: Any) -> str:
    return plistlib.dumps(value).decode()


def _plist_without(value: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the path of each key and item of a property list, and the file without it."""
    for path in list(_paths(value)):
        changed = copy.deepcopy(value)
        holder: Any = changed
        for step in path[:-1]:
            holder = holder[step]
        del holder[path[-1]]
        yield str(path), _plist(changed)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    steps: Any = value if isinstance(value, dict) else range(len(value))
    for step in steps:
        yield (*path, step)
        if isinstance(value[step], (dict, list)):
            yield from _paths(value[step], (*path, step))


@pytest.mark.slow
@given(_apple())
@settings(max_examples=25, deadline=None)
def test_import_drops_no_part_of_an_apple_file(value: dict[str, Any]) -> None:
    assert_nothing_is_dropped("apple", _plist(value), _unhidden(value))


@pytest.mark.slow
@given(_trustkit())
@settings(max_examples=25, deadline=None)
def test_import_drops_no_part_of_a_trustkit_ios_file(value: dict[str, Any]) -> None:
    assert_nothing_is_dropped("trustkit-ios", _plist(value), _unhidden(value))


def _unhidden(value: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the path of each key and item, and the file without it, as ``_plist_without``.

    The content of unknown keys is left out, because an import reports these keys as a whole.
    """
    for what, without in _plist_without(value):
        if not re.search(r"'(CFBundleName|NSFuture|TSKFuture)', ", what):
            yield what, without


@pytest.mark.parametrize(
    "inside",
    [
        "<dict/><dict/>",
        "<dict><key>a</key><future/><string>x</string></dict>",
        "<dict>text</dict>",
        "<dict><key>a<b/></key><true/></dict>",
    ],
)
def test_invalid_property_list_content_is_refused(inside: str) -> None:
    result, _ = outcome("apple", f'<plist version="1.0">{inside}</plist>')
    assert "property list" in str(result) or "has invalid content" in str(result)


# -- source code for OkHttp ----------------------------------------

_Call = st.sampled_from(
    [
        lambda pin, host: f'.add("{host}", "{pin}", "{PINS[5]}")',
        lambda pin, host: f'.add("{host}", BACKUP, "{pin}")',
        lambda pin, host: f'.add(HOST, "{pin}")',
        lambda pin, host: f'.add(CertificatePinner.Pin("{host}", "{pin}"))',
        lambda pin, host: f'.add("{host}", *pins)',
        lambda pin, host: f'; val other = listOf("{pin}")',
    ]
)


@pytest.mark.parametrize("name", ["okhttp-kotlin", "okhttp-java"])
@given(calls=st.lists(_Call, min_size=1, max_size=4))
@settings(max_examples=25, deadline=None)
def test_import_drops_no_part_of_a_certificate_pinner(
    name: str, calls: list[Callable[[str, str], str]]
) -> None:
    lines = [f'.add("first.example", "{PINS[5]}", "{PINS[4]}")']
    lines += [
        call(str(pin), f"h{at}.example")
        for at, (call, pin) in enumerate(zip(calls, PINS[:4], strict=False))
    ]
    without = (
        (line, "CertificatePinner.Builder()" + "\n".join(lines[:at] + lines[at + 1 :]))
        for at, line in enumerate(lines)
    )
    assert_nothing_is_dropped(name, "CertificatePinner.Builder()" + "\n".join(lines), without)
