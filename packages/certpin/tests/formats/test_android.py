"""Android's network security configuration: valid exports, and imports of other files."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import xmlschema

from certpin.errors import ConfigError, FormatError
from certpin.formats import FORMATS, parsed
from certpin.pins import TrustAnchors
from certpin.x509.log_list import PLATFORM_LOGS
from tests.formats._files import DAY, PINS, A, B, C, D, digests, load, refusal, text_of, two
from tests.formats._sets import anchors, authorities, logs
from tests.kit import pin_set

if TYPE_CHECKING:
    from certpin.errors import CertpinError

# For skipped settings, see tests/formats/test_passed_over.py.
pytestmark = pytest.mark.filterwarnings("ignore:not imported")

SCHEMA = Path(__file__).with_name("network_security_config.xsd")
BOTH = ("android", "trustkit-android")


@cache
def schema() -> xmlschema.XMLSchema11:
    return xmlschema.XMLSchema11(SCHEMA)


def config(*inside: str) -> str:
    return f"<network-security-config>{''.join(inside)}</network-security-config>"


def pinned(*pins: str, more: str = "") -> str:
    inside = "".join(f'<pin digest="SHA-256">{pin}</pin>' for pin in pins)
    return f"<pin-set{more}>{inside}</pin-set>"


def domain(name: str = "api.bank.example", *inside: str, below: str = "false") -> str:
    head = f'<domain includeSubdomains="{below}">{name}</domain>'
    return f"<domain-config>{head}{''.join(inside)}</domain-config>"


def trusting(*sources: str, more: str = "") -> str:
    inside = "".join(f'<certificates src="{source}"{more}/>' for source in sources)
    return f"<trust-anchors>{inside}</trust-anchors>"


def refused(*inside: str) -> CertpinError:
    return refusal("android", config(*inside))


# -- exports -------------------------------------------------------------------------------------


def everything() -> str:
    return text_of(
        "android",
        two("**.bank.example", expires=DAY, on_expiry="fail-open", trust=anchors()[1]),
        two("192.0.2.7"),
        debug=anchors()[0],
    )


@pytest.mark.medium
@pytest.mark.parametrize("name", BOTH)
def test_exports_match_the_schema(name: str) -> None:
    reports = ("https://a.example/?a=1&b='<\"",) if name == "trustkit-android" else ()
    whole = two(
        "**.bank.example",
        expires=DAY,
        on_expiry="fail-open",
        trust=anchors()[1],
        report_to=reports,
    )
    text = text_of(name, whole, two("api.pay.example"), debug=anchors()[0])
    schema().validate(text)


@pytest.mark.medium
def test_the_schema_refuses_invalid_files() -> None:
    for text in (
        config(domain("a.example", pinned(A), pinned(B))),
        config(domain("a.example", '<pin-set><pin digest="SHA-1">AA==</pin></pin-set>')),
        config(domain("a.example", pinned(A, more=' expiration="soon"'))),
        config(domain("a.example"), domain("a.example")),
        config("<base-config><domain>a.example</domain></base-config>"),
        config("<domain-config/>"),
    ):
        assert not schema().is_valid(text)


@pytest.mark.peer("xmllint")
@pytest.mark.parametrize("name", [*BOTH, "apple", "trustkit-ios"])
def test_another_parser_reads_the_export(name: str, tmp_path: Path) -> None:
    path = tmp_path / "file.xml"
    path.write_text(text_of(name, two("**.bank.example", match="leaf", on_expiry="fail-open")))
    subprocess.run(["xmllint", "--noout", "--nonet", str(path)], check=True, timeout=60)


def test_clear_text_is_forbidden_for_pinned_hosts() -> None:
    assert everything().count('<domain-config cleartextTrafficPermitted="false">') == 2


def test_each_distinct_anchor_is_one_resource() -> None:
    pins = pin_set(
        two("a.example", trust=anchors()[1]),
        two("b.example", trust=anchors()[0]),
        debug=anchors()[0],
    )
    files = FORMATS["android"].export(pins).files
    names = [file.path.removeprefix("res/raw/").removesuffix(".pem") for file in files[1:]]
    assert len(names) == 2
    assert all(files[0].text.count(f"@raw/{name}") >= 1 for name in names)
    assert files[0].text.count(f"@raw/{names[0]}") == 3
    assert all(file.text.count("BEGIN CERTIFICATE") == 1 for file in files[1:])


def test_the_debug_override_applies_only_to_debug_builds() -> None:
    before, _, debug = everything().partition("<debug-overrides>")
    assert "overridePins" not in before
    assert debug.count('overridePins="true"') == 1


def test_a_fail_closed_date_is_omitted() -> None:
    export = FORMATS["android"].export(pin_set(two("a.example", expires=DAY)))
    assert "expiration" not in export.files[0].text
    assert [omission.aspect for omission in export.omissions] == ["expires"]


def test_certificate_transparency_is_that_of_the_platform() -> None:
    pins = pin_set(two("a.example", ct_logs=logs()), two("b.example"))
    export = FORMATS["android"].export(pins)
    [file] = export.files
    assert file.text.count('<certificateTransparency enabled="true"/>') == 1
    assert [(each.aspect, each.host) for each in export.omissions] == [("require_ct", "a.example")]
    again = load("android", file.text)
    assert [each.ct_logs for each in again.policies] == [PLATFORM_LOGS, None]


def test_a_private_authority_has_none_of_it() -> None:
    pins = pin_set(two("a.example", ct_logs=logs(), trust=anchors()[0]))
    export = FORMATS["android"].export(pins)
    assert "certificateTransparency" not in export.files[0].text
    assert "because of trust" in export.omissions[0].problem


def test_certificate_transparency_is_inherited_and_overridden() -> None:
    required = '<certificateTransparency enabled="true"/>'
    off = domain("a.bank.example", required.replace("true", "false"))
    inner = domain("b.bank.example")
    pins = load("android", config(domain("bank.example", pinned(A, B), required, off, inner)))
    found = {str(each.pattern): each.ct_logs is not None for each in pins.policies}
    assert found == {"bank.example": True, "a.bank.example": False, "b.bank.example": True}


# -- imports --------------------------------------------------------------------------------------


def test_the_example_of_the_documentation_is_read() -> None:
    text = f"""<?xml version="1.0" encoding="utf-8"?>
    <!-- pins of the bank -->
    <network-security-config xmlns:tools="http://schemas.android.com/tools">
        <base-config cleartextTrafficPermitted="true">
            <trust-anchors>
                <certificates src="system" />
                <certificates src="user" tools:ignore="AcceptsUserCertificates" />
            </trust-anchors>
        </base-config>
        <domain-config cleartextTrafficPermitted="true">
            <domain includeSubdomains="true">insecure.example</domain>
        </domain-config>
        <domain-config>
            <pin-set expiration="2027-06-01">
                <pin digest="SHA-256">{A}</pin>
                <!-- backup pin -->
                <pin digest="sha-256">
                    {B}
                </pin>
            </pin-set>
            <domain includeSubdomains="true"> Bank.Example </domain>
            <domain>api.pay.example</domain>
        </domain-config>
        <debug-overrides>
            <trust-anchors><certificates src="user" /></trust-anchors>
        </debug-overrides>
    </network-security-config>"""
    pins = load("android", text)
    assert digests(pins) == {"**.bank.example": set(PINS[:2]), "api.pay.example": set(PINS[:2])}
    assert {(each.expires, each.on_expiry) for each in pins.policies} == {(DAY, "fail-open")}
    assert pins.debug is None
    assert pins.policies[0].trust is None


def test_a_nested_domain_config_inherits_and_overrides() -> None:
    inner = domain("a.bank.example", domain("deep.bank.example", pinned(C, D)))
    own = pinned(A, B, more=' expiration="2027-06-01"')
    pins = load("android", config(domain("bank.example", own, inner)))
    assert digests(pins) == {
        "bank.example": set(PINS[:2]),
        "a.bank.example": set(PINS[:2]),
        "deep.bank.example": set(PINS[2:4]),
    }
    # The date belongs to the pin-set, and the new one has none.
    assert [each.expires for each in pins.policies] == [DAY, DAY, None]


def test_trust_anchors_are_inherited_from_the_base() -> None:
    pem = parsed.pem(anchors()[1]).encode()
    text = config(
        f"<base-config>{trusting('@raw/my_ca')}</base-config>",
        domain("a.example", pinned(A, B)),
        domain("b.example", pinned(A, B), trusting("system")),
    )
    pins = load("android", text, {"../raw/my_ca.crt": pem})
    assert [each.trust and set(each.trust.der) for each in pins.policies] == [
        set(anchors()[1].der),
        None,
    ]


def test_a_debug_override_with_a_certificate_is_read() -> None:
    der = authorities()[0].certificate.der
    kept = config(
        domain("a.example", pinned(A, B)),
        f"<debug-overrides>{trusting('@raw/charles', 'user')}</debug-overrides>",
    )
    assert load("android", kept, {"../raw/charles.der": der}).debug == TrustAnchors((der,))
    passed = kept.replace("@raw/charles", "system").replace(
        '"user"', '"@raw/x" overridePins="false"'
    )
    assert load("android", passed).debug is None


def test_pins_in_base_config_are_refused() -> None:
    assert "base-config has pins" in str(refused(f"<base-config>{pinned(A, B)}</base-config>"))


def test_a_duplicate_domain_is_refused() -> None:
    nested = domain("a.example", pinned(A, B), domain("A.example"))
    assert "twice" in str(refused(nested))
    assert "twice" in str(refused(domain("a.example", pinned(A, B)), domain("a.example")))


@pytest.mark.parametrize("digest", ["SHA-1", "SHA-512", "", "sha256"])
def test_a_pin_with_another_digest_is_refused(digest: str) -> None:
    pin_set = f'<pin-set><pin digest="{digest}">{A}</pin></pin-set>'
    assert "does not support the digest" in str(refused(domain("a.example", pin_set)))


@pytest.mark.parametrize("prefix", ["sha256/", "sha256//", "pin-sha256/", "sha256="])
def test_a_prefix_of_a_digest_is_named_with_its_line(prefix: str) -> None:
    error = refused(domain("a.example", "\n" + pinned(A, prefix + B)))
    assert str(error).startswith(f"line 2: '{prefix}{B}' has a prefix")
    assert error.fix == f"remove {prefix}: write {B}"


def test_a_digest_that_is_not_base64_is_named_with_its_line() -> None:
    error = refused(domain("a.example", "\n" + pinned(A, "?")))
    assert str(error).startswith("line 2: '?' is not base64")
    assert "without sha256/" in error.fix


@pytest.mark.parametrize(
    ("host", "fix"),
    [
        ("https://api.bank.example/", "write api.bank.example"),
        ("api.bank.example:8443", "write api.bank.example"),
        ("api..example", "write it as api.bank.example, without scheme, port or path"),
    ],
)
@pytest.mark.parametrize("below", ["true", "false"])
def test_a_domain_that_is_no_host_is_named_with_its_line(host: str, fix: str, below: str) -> None:
    error = refused("\n" + domain(host, pinned(A, B), below=below))
    assert isinstance(error, FormatError)
    assert str(error).startswith(f"line 2: '{host}' is not a host name")
    assert error.fix == fix


@pytest.mark.parametrize("name", ["", "*.a.example", "\u00fc.example", "192.0.2.1."])
def test_a_domain_that_finds_no_host_is_named_with_its_line(name: str) -> None:
    assert str(refused("\n" + domain(name, pinned(A, B)))).startswith("line 2: ")


@pytest.mark.parametrize("inner", ["<pin-set/>", "<pin-set></pin-set>"])
def test_a_subdomain_excluded_from_pins_is_refused(inner: str) -> None:
    nested = domain("free.bank.example", inner)
    error = refused(domain("bank.example", pinned(A, B), nested, below="true"))
    assert "'free.bank.example' is excluded from the pins of **.bank.example" in str(error)
    beside = refused(domain("bank.example", pinned(A, B), below="true"), domain("x.bank.example"))
    assert "'x.bank.example' is excluded" in str(beside)


def test_an_unrelated_host_without_pins_is_skipped() -> None:
    text = config(domain("bank.example", pinned(A, B), below="true"), domain("other.example"))
    assert digests(load("android", text)) == {"**.bank.example": set(PINS[:2])}


def test_a_star_is_no_wildcard_on_android() -> None:
    assert "which no host has" in str(refused(domain("*.bank.example", pinned(A, B))))


@pytest.mark.parametrize(
    ("anchors", "words"),
    [
        (
            trusting("@raw/one", "system"),
            "must trust either the system's authorities or those of files",
        ),
        (trusting("user"), "it trusts only authorities that the user installed, and must trust"),
        ("<trust-anchors/>", "it trusts no authority, and must trust"),
        pytest.param(
            trusting("system", more=' overridePins="true"'),
            "disables the pins",
            id="disables the pins",
        ),
        (trusting("@raw/../../secret"), "is not system, user or @raw"),
        (trusting("@xml/one"), "is not system, user or @raw"),
        (trusting("@raw/gone"), "res/raw has no certificate gone"),
    ],
)
def test_trust_settings_without_an_equivalent_are_refused(anchors: str, words: str) -> None:
    assert words in str(refused(domain("a.example", pinned(A, B), anchors)))


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        (domain("a.example", pinned(A, B), pinned(C, D)), "more than one pin-set"),
        ("<domain-config/>", "has no domain"),
        (domain("a.example", pinned(A, B), below="yes"), "must be true or false"),
        (domain("a.example", pinned(A, B, more=' expiration="1.6.2027"')), "is not a date"),
        (domain("a.example", pinned(A, B, more=' expiration="2027-13-01"')), "is not a date"),
        (domain("a.example", pinned(A, "AAAA")), "32 bytes"),
        (domain("a.example", pinned(A, "?")), "not base64"),
        (domain("a..example", pinned(A, B)), "not a host name"),
        (domain("", pinned(A, B)), "a host has no name"),
        (domain("a.example"), "contains no pins"),
        ("<debug-overrides/><debug-overrides/>" + domain("a.example", pinned(A, B)), "more than"),
    ],
)
def test_values_that_android_refuses_are_refused(inside: str, words: str) -> None:
    assert words in str(refused(inside))


def test_another_root_element_is_refused() -> None:
    assert "the root element is 'manifest'" in str(refusal("android", "<manifest/>"))


def test_a_single_pin_is_refused_unless_report_only() -> None:
    text = config(domain("a.example", pinned(A)))
    assert isinstance(refusal("android", text), ConfigError)
    assert load("android", text, mode="report").policies[0].mode == "report"
