"""The export to Apple's App Transport Security: its keys and types, and its two lists of pins."""

from __future__ import annotations

import plistlib
from typing import Any

import pytest

from certpin.errors import ConfigError, FormatError
from certpin.formats import FORMATS, FormatWarning
from certpin.pins import HostPin
from tests.formats._files import PINS, A, B, C, digests, load, refusal, text_of, two
from tests.formats.test_xml import LAUGHS
from tests.kit import pin_set

HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" '
    '"http://www.apple.com/DTDs/PropertyList-1.0.dtd">'
)
DIGEST = "SPKI-SHA256-BASE64"


def identities(*pins: str) -> list[dict[str, str]]:
    return [{DIGEST: pin} for pin in pins]


def info(domains: Any) -> bytes:
    return plistlib.dumps({"NSAppTransportSecurity": {"NSPinnedDomains": domains}})


def domains(text: str) -> dict[str, Any]:
    found = plistlib.loads(text.encode())["NSAppTransportSecurity"]["NSPinnedDomains"]
    assert isinstance(found, dict)
    return found


def check_keys(found: dict[str, Any]) -> None:
    """Check that exported domains have the keys and types that Apple documents.

    ``plutil -lint`` does not check them.
    """
    for name, entry in found.items():
        assert name == name.lower()
        lists = entry.keys() & {"NSPinnedLeafIdentities", "NSPinnedCAIdentities"}
        assert entry.keys() == {"NSIncludesSubdomains"} | lists
        assert len(lists) == 1
        assert type(entry["NSIncludesSubdomains"]) is bool
        assert all(each.keys() == {DIGEST} for key in lists for each in entry[key])


def test_keys_and_types_match_the_documentation() -> None:
    text = text_of("apple", two("**.bank.example", match="leaf"), two("pay.example", match="ca"))
    found = domains(text)
    check_keys(found)
    assert found["bank.example"]["NSPinnedLeafIdentities"] == identities(A, B)
    assert found["bank.example"]["NSIncludesSubdomains"] is True
    assert found["pay.example"]["NSPinnedCAIdentities"] == identities(A, B)
    assert found["pay.example"]["NSIncludesSubdomains"] is False


def test_match_any_is_resolved_by_roles() -> None:
    policy = two("pay.example")
    policy = policy.__class__(
        policy.pattern, (HostPin(PINS[0], "intermediate"), HostPin(PINS[1], "backup"))
    )
    export = FORMATS["apple"].export(pin_set(policy))
    assert "NSPinnedCAIdentities" in domains(export.files[0].text)["pay.example"]
    assert 'match = "any" becomes "ca"' in str(export.omissions[0])


def test_deeper_subdomains_are_reported_as_not_covered() -> None:
    export = FORMATS["apple"].export(pin_set(two("**.bank.example", match="leaf")))
    assert [str(each.pattern) for each in export.pins.policies] == [
        "bank.example",
        "*.bank.example",
    ]
    assert "does not cover names with two more labels" in str(export.omissions[0])


def test_an_address_is_refused() -> None:
    with pytest.raises(ConfigError, match="it is an IP address; NSPinnedDomains"):
        text_of("apple", two("192.0.2.7", match="leaf"))


@pytest.mark.filterwarnings("ignore:not imported")
def test_the_example_of_the_documentation_is_read() -> None:
    text = f"""{HEAD}<plist version="1.0"><dict>
      <key>CFBundleName</key><string>Bank</string>
      <key>NSAppTransportSecurity</key><dict>
        <key>NSAllowsArbitraryLoads</key><false/>
        <key>NSPinnedDomains</key><dict>
          <key>bank.example</key><dict>
            <key>NSPinnedCAIdentities</key><array>
              <dict><key>{DIGEST}</key><string>{A}</string></dict> <!-- the root -->
              <dict><key>{DIGEST}</key><string>{B}</string></dict>
            </array>
            <key>NSIncludesSubdomains</key><true/>
          </dict>
          <key>pay.example</key><dict>
            <key>NSPinnedLeafIdentities</key><array>
              <dict><key>{DIGEST}</key><string> {B} </string></dict>
              <dict><key>{DIGEST}</key><string>{C}</string></dict>
            </array>
          </dict>
        </dict>
      </dict></dict></plist>"""
    pins = load("apple", text)
    assert digests(pins) == {
        "bank.example": set(PINS[:2]),
        "*.bank.example": set(PINS[:2]),
        "pay.example": set(PINS[1:3]),
    }
    assert [each.match for each in pins.policies] == ["ca", "ca", "leaf"]


@pytest.mark.parametrize("host", ["10.0.0.1", "[2001:db8::1]"])
@pytest.mark.parametrize("below", [True, False])
def test_an_address_is_not_imported(host: str, below: bool) -> None:
    entry = {"NSPinnedLeafIdentities": identities(A, B)}
    address = {host: entry | {"NSIncludesSubdomains": below}}
    with pytest.warns(FormatWarning) as caught:
        pins = load("apple", info({**address, "pay.example": entry}))
    assert digests(pins) == {"pay.example": set(PINS[:2])}
    assert [str(each.message) for each in caught] == [
        f"not imported: {host}: NSPinnedDomains supports only domain names, and ignores addresses"
    ]


def test_a_prefix_of_a_digest_is_named_with_its_place() -> None:
    entry = {"NSPinnedLeafIdentities": identities(A, f"sha256/{B}")}
    error = refusal("apple", info({"a.example": entry}))
    place = f"NSAppTransportSecurity.NSPinnedDomains.a.example.NSPinnedLeafIdentities[1].{DIGEST}"
    assert str(error).startswith(f"{place}: 'sha256/{B}' has a prefix")
    assert error.fix == f"remove sha256/: write {B}"


def test_a_url_as_a_key_is_refused_with_its_host() -> None:
    entry = {"NSPinnedLeafIdentities": identities(A, B)}
    error = refusal("apple", info({"https://api.bank.example/": entry}))
    assert isinstance(error, FormatError)
    assert error.fix == "write api.bank.example"


def test_both_lists_together_are_refused() -> None:
    both = {
        "NSPinnedLeafIdentities": identities(A, B),
        "NSPinnedCAIdentities": identities(C),
    }
    error = refusal("apple", info({"bank.example": both}))
    assert isinstance(error, FormatError)
    assert "Apple requires both to match" in str(error)
    assert "NSPinnedCAIdentities" in error.fix


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"a.example": {"NSIncludesSubdomains": True}}, "neither NSPinnedLeafIdentities"),
        ({"a.example": {"NSPinnedLeafIdentities": []}}, "no pin that could match"),
        ({"a.example": {"NSPinnedLeafIdentities": "x"}}, "must be a list"),
        ({"a.example": {"NSPinnedLeafIdentities": [{}]}}, f"{DIGEST} is missing"),
        ({"a.example": {"NSPinnedLeafIdentities": [{DIGEST: b"x"}]}}, "must be a text"),
        ({"a.example": {"NSPinnedLeafIdentities": identities(A[:-2])}}, "not base64"),
        ({"*.a.example": {"NSPinnedLeafIdentities": identities(A, B)}}, "which no host has"),
        (
            {"a.example": {"NSPinnedLeafIdentities": identities(A), "NSIncludesSubdomains": 1}},
            "must be true or false",
        ),
        ({}, "contains no pins"),
        ([], "must be a mapping"),
    ],
)
def test_values_that_differ_from_the_documentation_are_refused(found: Any, words: str) -> None:
    assert words in str(refusal("apple", info(found)))


@pytest.mark.filterwarnings("ignore:not imported")
def test_an_info_plist_without_pins_is_reported() -> None:
    assert "contains no pins" in str(refusal("apple", plistlib.dumps({"CFBundleName": "Bank"})))


def test_a_duplicate_host_is_refused() -> None:
    entry = f"<dict><key>NSPinnedLeafIdentities</key><array><dict><key>{DIGEST}</key>"
    entry = f"<key>a.example</key>{entry}<string>{A}</string></dict></array></dict>"
    text = f"""<plist><dict><key>NSAppTransportSecurity</key><dict><key>NSPinnedDomains</key>
        <dict>{entry}{entry}</dict></dict></dict></plist>"""
    assert "'a.example' occurs twice" in str(refusal("apple", text))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["apple", "trustkit-ios"])
@pytest.mark.parametrize(
    ("inside", "words"),
    [
        ("<array>" * 2_000_000, "too deep"),
        ("<array>" + "<true/>" * 200_000 + "</array>", "too many"),
        (f"<integer>{'9' * 100_000}</integer>", "not a property list"),
        (f"<integer>0x{'9' * 100_000}</integer>", "must be a mapping"),
        ("<real>ten</real>", "not a property list"),
        ("<date>soon</date>", "not a property list"),
        ("<date>9999-99-99T00:00:00Z</date>", "not a property list"),
        ("<data>?</data>", "must be a mapping"),
        ("<key>a</key>", "not a property list"),
        ("<dict><string>a</string></dict>", "not a property list"),
        ("<dict><key>a</key></dict>", "not a property list"),
        ("<true/><false/>", "must contain one value"),
        ("", "must contain one value"),
        ("<string>&x;</string>", "not XML"),
    ],
)
def test_hostile_property_lists_raise_the_typed_error(name: str, inside: str, words: str) -> None:
    assert words in str(refusal(name, f"<plist>{inside}</plist>"))


@pytest.mark.parametrize("name", ["apple", "trustkit-ios"])
def test_entities_and_other_property_lists_are_refused(name: str) -> None:
    laughs = f'<!DOCTYPE plist [<!ENTITY l0 "ha">{LAUGHS}]><plist><string>&l29;</string></plist>'
    assert "entity" in str(refusal(name, laughs))
    binary = plistlib.dumps({}, fmt=plistlib.FMT_BINARY)
    assert "plutil -convert xml1" in str(refusal(name, binary))
    assert "not a property list" in str(refusal(name, "<html/>"))
    assert "not UTF-8" in str(refusal(name, plistlib.dumps({}).decode().encode("utf-16")))
