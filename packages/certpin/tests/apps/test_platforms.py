"""Pins in an app's Android and Apple configuration: their files, lines and mistakes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.apps.model import FileFindings, FoundPin, Mistake, Place
from certpin.apps.platforms import without_pins_in_dart
from certpin.apps.rules import RULES
from certpin.formats import FORMATS
from tests.apps._project import read, write
from tests.kit import NOBODY, NOBODY_ELSE, anchors, pin_set, policy

if TYPE_CHECKING:
    from certpin.lab import Authority

CONFIG = "android/app/src/main/res/xml/network_security_config.xml"
KEYS = "".join(
    f'<pin digest="SHA-256">{str(pin).removeprefix("sha256/")}</pin>'
    for pin in (NOBODY, NOBODY_ELSE)
)
SYSTEM, USER = '<certificates src="system"/>', '<certificates src="user"/>'
SHA1 = """\
<network-security-config>
<domain-config><domain>a.example</domain><pin-set>
<pin digest="SHA-1">x</pin></pin-set></domain-config></network-security-config>
"""
PLIST = "ios/Runner/Info.plist"


@pytest.fixture(autouse=True)
def _in_the_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _findings(name: str, content: str | bytes) -> FileFindings:
    write(Path(), {name: content})
    return read(".").findings


@pytest.mark.parametrize(
    ("chosen", "name"),
    [
        ("android", CONFIG),
        ("trustkit-android", CONFIG),
        ("apple", PLIST),
        ("trustkit-ios", PLIST),
        ("apple", "macos/Runner/Release.plist"),
        ("android", "android/app/src/main/res/xml/pins.xml"),
        ("android", "network_security_config.xml"),
    ],
)
def test_each_pin_has_its_file_line_and_host(chosen: str, name: str) -> None:
    match = "leaf" if chosen == "apple" else "any"
    pins = pin_set(policy("api.bank.example", NOBODY, NOBODY_ELSE, match=match))
    text = FORMATS[chosen].export(pins).files[0].text
    found = _findings(name, text)
    lines = text.splitlines()
    assert [(pin.pin, pin.hosts) for pin in found.pins] == [
        (NOBODY, ("api.bank.example",)),
        (NOBODY_ELSE, ("api.bank.example",)),
    ]
    for pin in found.pins:
        assert str(pin.pin)[7:] in lines[pin.place.line - 1]
        assert pin.place.file == name
    [mistake] = found.mistakes
    assert (mistake.rule, mistake.place) == ("platform-pins-ignored", found.pins[0].place)
    # With a carriage return at the end of each line, the lines are the same.
    assert _findings(name, text.replace("\n", "\r")).pins == found.pins


@pytest.mark.parametrize(
    ("exported", "expected"),
    [
        (["a.example", "*.b.example"], []),
        (["a.example", "**.b.example"], []),
        (["**.a.example", "*.b.example"], []),
        (["a.example"], ["platform-pins-ignored"]),
        (["a.example", "b.example"], ["platform-pins-ignored"]),
        (["a.example", "*.c.b.example", "not a host"], ["platform-pins-ignored"]),
        (["A.EXAMPLE.", "*.B.example"], []),
    ],
)
def test_pins_of_a_platform_are_not_ignored_if_dart_has_the_hosts(
    exported: list[str], expected: list[str]
) -> None:
    file = Place(CONFIG, 3)
    found = FileFindings(
        pins=[
            FoundPin(NOBODY, file, hosts=("a.example",)),
            FoundPin(NOBODY, file, hosts=("*.b.example",)),
        ],
        mistakes=[Mistake("platform-pins-ignored", file, "x"), Mistake("plain-http", file, "x")],
        exported=exported,
        pinned_clients=[Place("lib/a.dart", 1)],
    )
    assert [x.rule for x in without_pins_in_dart(found)] == [*expected, "plain-http"]
    found.pinned_clients.clear()
    assert without_pins_in_dart(found) == found.mistakes


def test_the_configuration_of_debug_builds_is_marked() -> None:
    text = FORMATS["android"].export(pin_set(policy("api.bank.example"))).files[0].text
    found = _findings(CONFIG.replace("/main/", "/debug/"), text)
    assert [pin.builds for pin in found.pins] == ["debug builds"] * 2


def test_a_property_list_may_have_both_kinds_of_pins() -> None:
    apple, trustkit = (
        FORMATS[name].export(pin_set(policy(host, match=match))).files[0].text
        for name, host, match in (
            ("apple", "a.example", "leaf"),
            ("trustkit-ios", "b.example", "any"),
        )
    )
    inside = [text.partition("<dict>")[2].rpartition("</dict>")[0] for text in (apple, trustkit)]
    found = _findings(PLIST, f'<plist version="1.0"><dict>{"".join(inside)}</dict></plist>')
    assert [pin.hosts[0] for pin in found.pins] == ["a.example"] * 2 + ["b.example"] * 2


def test_settings_that_are_not_imported_are_listed(root: Authority) -> None:
    ends = datetime(2099, 1, 1, tzinfo=UTC)
    pins = pin_set(
        policy("**.bank.example", expires=ends, on_expiry="fail-open", trust=anchors(root))
    )
    files = FORMATS["android"].export(pins).files
    write(Path(), {f"android/app/src/main/{file.path}": file.text for file in files})
    found = read(".").findings
    assert sorted(each.what.partition(" of **.bank.example:")[0] for each in found.dropped) == [
        *("the expiry", "the trust anchors"),
    ]
    assert all(each.place.file.endswith(".xml") and each.place.line > 1 for each in found.dropped)
    assert [each.certificate for each in found.certificates] == [root.certificate]


def test_anchors_outside_the_paths_are_not_read(root: Authority) -> None:
    pins = pin_set(policy("api.bank.example", trust=anchors(root)))
    files = FORMATS["android"].export(pins).files
    write(Path(), {f"android/app/src/main/{file.path}": file.text for file in files})
    found = read("android/app/src/main/res/xml").findings
    [unread] = found.unread
    assert "res/raw has no certificate" in unread.problem
    assert found.pins == []


def test_elements_that_a_pin_file_cannot_contain_are_listed_with_their_line() -> None:
    pin = str(NOBODY)[7:]
    text = f"""\
<network-security-config>
  <domain-config>
    <domain>api.bank.example</domain>
    <certificateTransparency enabled="true"/>
    <pin-set><pin digest="SHA-256">{pin}</pin></pin-set>
  </domain-config>
  <domain-config><domain>other.example</domain></domain-config>
</network-security-config>
"""
    found = _findings(CONFIG, text)
    assert [(each.place.line, each.what) for each in found.dropped] == [
        (1, "other.example, which has no pins"),
        (3, "certificateTransparency of api.bank.example: write ct_logs and require_ct"),
    ]


def test_a_property_list_of_an_app_has_other_keys() -> None:
    text = FORMATS["apple"].export(pin_set(policy("a.example", match="leaf"))).files[0].text
    other = "<key>CFBundleName</key><string>bank</string></dict>\n</plist>"
    found = _findings(PLIST, text.replace("</dict>\n</plist>", other))
    assert len(found.pins) == 2
    [dropped] = found.dropped
    assert dropped.what.startswith("the kind of certificate (leaf or authority) of a.example: ")


def test_expired_pins_are_a_mistake() -> None:
    pins = pin_set(
        policy("a.example", expires=datetime(2027, 2, 28, tzinfo=UTC), on_expiry="fail-open"),
        policy("b.example", expires=datetime(2027, 3, 2, tzinfo=UTC), on_expiry="fail-open"),
    )
    text = FORMATS["android"].export(pins).files[0].text
    found = _findings(CONFIG, text)
    [mistake] = [each for each in found.mistakes if each.rule == "platform-pins-expired"]
    assert "a.example expired on 2027-02-28" in mistake.message
    assert "2027-02-28" in text.splitlines()[mistake.place.line - 1]


def _domain(name: str, *inside: str, more: str = "") -> str:
    return f"<domain-config{more}>\n<domain>{name}</domain>\n{''.join(inside)}</domain-config>\n"


def _pinned(*inside: str, more: str = "") -> str:
    return _domain("a.example", f"<pin-set>{KEYS}</pin-set>\n", *inside, more=more)


def _base(*certificates: str, more: str = "") -> str:
    return f"<base-config{more}>\n{_trusting(*certificates)}</base-config>\n"


def _trusting(*certificates: str) -> str:
    lines = "\n".join(certificates)
    return f"<trust-anchors>\n{lines}\n</trust-anchors>\n" if certificates else ""


OVERRIDING = '<certificates src="user" overridePins="true"/>'
CLEARTEXT = ' cleartextTrafficPermitted="true"'


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        (_base(SYSTEM, OVERRIDING), [("platform-pins-overridden", 5), ("user-authorities", 5)]),
        (_pinned(_trusting(SYSTEM, OVERRIDING)), [("platform-pins-overridden", 7)]),
        (
            _pinned(_trusting('<certificates src="system" overridePins="TRUE"/>')),
            [("platform-pins-overridden", 6)],
        ),
        (
            _base(OVERRIDING),
            [("only-user-authorities", 4), ("platform-pins-overridden", 4)],
        ),
        (_base(SYSTEM, USER), [("user-authorities", 5)]),
        (_domain("a.example", _trusting(SYSTEM, USER)), [("user-authorities", 6)]),
        (_pinned(_trusting(SYSTEM, USER)), []),
        (_pinned(_domain("b.example", _trusting(SYSTEM, USER))), []),
        (
            _pinned(_domain("b.example", "<pin-set/>", _trusting(SYSTEM, USER))),
            [("user-authorities", 9)],
        ),
        (_pinned(_trusting(USER)), [("only-user-authorities", 6)]),
        (_pinned(_trusting(USER, '<certificates src="@raw/one"/>')), []),
        (_base(more=CLEARTEXT), [("cleartext-permitted", 2)]),
        (_pinned(more=CLEARTEXT), [("cleartext-permitted", 2)]),
        (_domain("10.0.2.2", more=CLEARTEXT), []),
        (_domain("b.example", _pinned(), more=CLEARTEXT), [("cleartext-permitted", 2)]),
        (
            _domain("b.example", _pinned(more=CLEARTEXT.replace("true", "false")), more=CLEARTEXT),
            [],
        ),
        (f"<debug-overrides>{_trusting(SYSTEM, OVERRIDING)}</debug-overrides>", []),
    ],
)
def test_settings_that_weaken_a_release_are_mistakes(
    inside: str, expected: list[tuple[str, int]], root: Authority
) -> None:
    anchor = {"android/app/src/main/res/raw/one.pem": root.pem}
    write(Path(), anchor)
    text = f"<network-security-config>\n{inside}</network-security-config>\n"
    found = _findings(CONFIG, text)
    mistakes = [(each.rule, each.place.line) for each in found.mistakes]
    assert sorted(x for x in mistakes if x[0] != "platform-pins-ignored") == expected
    assert found.unread == []
    assert len(found.pins) % 2 == 0
    assert bool(found.pins) == ("<pin " in inside)
    assert all(mistake.rule in RULES for mistake in found.mistakes)


@pytest.mark.parametrize(
    ("inside", "problem"),
    [
        pytest.param(
            f'<domain-config>\n<domain includeSubdomains="true">bank.example</domain>\n'
            f"<pin-set>{KEYS}</pin-set>\n</domain-config>\n" + _domain("cdn.bank.example"),
            *("'cdn.bank.example' is excluded",),
            id="exclusion",
        ),
        pytest.param(
            _pinned().replace("SHA-256", "SHA-1", 1), "does not support the digest", id="digest"
        ),
        pytest.param(_pinned() + _pinned(), "occurs twice", id="twice"),
        pytest.param(
            _pinned("<pin-set/>", _trusting(SYSTEM), _trusting(SYSTEM)), "more than one", id="more"
        ),
        pytest.param(
            _pinned(_trusting('<certificates src="@raw/missing"/>')),
            *("has no certificate missing",),
            id="anchor",
        ),
    ],
)
def test_weaknesses_are_found_if_the_pins_cannot_be_read(inside: str, problem: str) -> None:
    text = f"<network-security-config>\n{_base(OVERRIDING)}{inside}</network-security-config>\n"
    found = _findings(CONFIG, text)
    assert sorted((each.rule, each.place.line) for each in found.mistakes) == [
        *(("only-user-authorities", 4), ("platform-pins-overridden", 4)),
    ]
    [unread] = found.unread
    assert problem in unread.problem
    assert found.pins == []


EXCLUDING = {
    "android": (
        CONFIG,
        (
            "<network-security-config>"
            '<domain-config><domain includeSubdomains="true">bank.example</domain>\n'
            f'<pin-set expiration="2027-02-28">{KEYS}</pin-set></domain-config>'
            f"{_domain('cdn.bank.example')}</network-security-config>"
        ),
    ),
    "trustkit-ios": (
        PLIST,
        (
            '<plist version="1.0"><dict><key>TSKPinnedDomains</key><dict>\n'
            "<key>bank.example</key><dict><key>TSKIncludeSubdomains</key><true/>\n"
            "<key>TSKExpirationDate</key><string>2027-02-28</string><key>TSKPublicKeyHashes</key>"
            f"<array><string>{str(NOBODY)[7:]}</string><string>{str(NOBODY_ELSE)[7:]}</string></array>"
            "</dict><key>cdn.bank.example</key><dict>"
            "<key>TSKExcludeSubdomainFromParentPolicy</key><true/></dict></dict></dict></plist>"
        ),
    ),
}


@pytest.mark.parametrize(("name", "text"), EXCLUDING.values(), ids=EXCLUDING)
def test_expired_pins_are_found_if_a_host_is_excluded(name: str, text: str) -> None:
    found = _findings(name, text)
    [mistake] = found.mistakes
    assert mistake.rule == "platform-pins-expired"
    assert "2027-02-28" in text.splitlines()[mistake.place.line - 1]
    [unread] = found.unread
    assert unread.problem.startswith("'cdn.bank.example' is excluded from the pins of")
    assert found.pins == []


def test_the_settings_of_debug_builds_are_no_mistakes() -> None:
    text = f"<network-security-config>{_base(OVERRIDING)}</network-security-config>"
    assert _findings(CONFIG.replace("/main/", "/debug/"), text).mistakes == []


def test_trust_that_a_pin_file_cannot_contain_is_listed() -> None:
    text = f"<network-security-config>\n{_pinned(_trusting(USER))}</network-security-config>\n"
    [dropped] = _findings(CONFIG, text).dropped
    assert dropped.place.line == 5
    assert dropped.what.startswith("it trusts only authorities that the user installed")


@pytest.mark.parametrize(
    ("name", "content", "line", "problem"),
    [
        (CONFIG, "<network-security-config>\n<domain-config>\n</x>", 3, "not XML"),
        (CONFIG, "<network-security-config>\n<base-config><pin-set/></base-config></x>", 2, "XML"),
        (CONFIG, "<!DOCTYPE a>\n<network-security-config/>", 1, "DOCTYPE"),
        (CONFIG, b"<network-security-config>\xff", 1, "not UTF-8"),
        (
            CONFIG,
            "<network-security-config>\n\n<domain-config/></network-security-config>",
            *(3, "the domain-config has no domain"),
        ),
        (
            CONFIG,
            SHA1,
            *(3, "does not support the digest"),
        ),
        (PLIST, b"bplist00NSPinnedDomains", 1, "binary property list"),
        (PLIST, b"bplist00", 1, "binary property list"),
        (
            PLIST,
            "<plist><dict>\n<key>NSPinnedDomains</key>\n<x/>\n</dict></plist>",
            3,
            "no element",
        ),
        (PLIST, "<plist>NSPinnedDomains\n", 2, "not XML"),
    ],
)
def test_a_file_that_cannot_be_read_has_file_and_line(
    name: str, content: str | bytes, line: int, problem: str
) -> None:
    [unread] = _findings(name, content).unread
    assert (unread.place.file, unread.place.line) == (name, line)
    assert problem in unread.problem


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", [CONFIG, PLIST, "ios/Runner/TrustKit.plist"])
def test_a_file_in_utf_16_is_not_read(name: str, encoding: str) -> None:
    """Android and Apple read it."""
    text = '<?xml version="1.0"?><network-security-config/><key>TSKPinnedDomains</key>'
    [unread] = _findings(name, text.encode(encoding)).unread
    assert (unread.place.file, unread.place.line) == (name, 1)
    assert unread.problem == "it is not UTF-8, but UTF-16 or binary"
    assert unread.fix == "save it as UTF-8"


def test_other_files_of_the_platforms_are_ignored() -> None:
    found = _findings("android/app/src/main/res/xml/paths.xml", "<paths>")
    assert (found.pins, found.unread) == ([], [])
    found = _findings("ios/Runner/Info.plist", '<plist version="1.0"><dict/></plist>')
    assert (found.pins, found.unread) == ([], [])
    found = _findings("ios/Runner/Other.plist", "no property list")
    assert (found.pins, found.unread) == ([], [])
