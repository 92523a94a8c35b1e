"""The format TrustKit for Android: its elements in Android's network security configuration."""

from __future__ import annotations

import pytest

from certpin.errors import ConfigError
from certpin.pins import HostPattern, HostPin, HostPolicy
from tests.formats._files import PINS, A, B, load, refusal, text_of, two

# For skipped settings, see tests/formats/test_passed_over.py.
pytestmark = pytest.mark.filterwarnings("ignore:not imported")

NAME = "trustkit-android"


def config(trustkit: str, nested: str = "") -> str:
    pins = "".join(f'<pin digest="SHA-256">{pin}</pin>' for pin in (A, B))
    return (
        "<network-security-config><domain-config><domain>bank.example</domain>"
        f"<pin-set>{pins}</pin-set>{trustkit}{nested}</domain-config></network-security-config>"
    )


def test_reports_to_the_vendor_are_disabled() -> None:
    text = text_of(NAME, two("a.example"), two("b.example", mode="report"))
    assert text.count('disableDefaultReportUri="true"') == 2


def test_the_mode_and_the_report_addresses_are_written() -> None:
    text = text_of(NAME, two("a.example", mode="report", report_to=("https://r.example/?a&b",)))
    assert 'enforcePinning="false"' in text
    assert "<report-uri>https://r.example/?a&amp;b</report-uri>" in text


def test_the_example_of_the_documentation_is_read() -> None:
    element = """<trustkit-config disableDefaultReportUri="true" enforcePinning="true">
        <report-uri>https://report.bank.example/log</report-uri>
        <report-uri>https://report.bank.example/log</report-uri></trustkit-config>"""
    [found] = load(NAME, config(element)).policies
    assert (found.mode, found.report_to) == ("enforce", ("https://report.bank.example/log",))


@pytest.mark.parametrize("element", ["", "<trustkit-config/>"], ids=["nothing", "empty"])
def test_report_only_is_the_default(element: str) -> None:
    [found] = load(NAME, config(element)).policies
    assert found.mode == "report"


def test_a_nested_config_inherits_missing_settings() -> None:
    outer = """<trustkit-config enforcePinning="true"><report-uri>https://r.example/</report-uri>
        </trustkit-config>"""
    inner = """<domain-config><domain>a.bank.example</domain></domain-config>
        <domain-config><domain>b.bank.example</domain><trustkit-config
        disableDefaultReportUri="true"/></domain-config>"""
    found = load(NAME, config(outer, inner)).policies
    assert [each.mode for each in found] == ["enforce"] * 3
    assert [each.report_to for each in found] == [("https://r.example/",)] * 2 + [()]


def test_a_single_pin_is_refused_even_if_report_only() -> None:
    lone = HostPolicy(HostPattern("", "a.example"), (HostPin(PINS[0]),), mode="report")
    with pytest.raises(ConfigError, match="stops the app if a host has fewer than two pins"):
        text_of(NAME, lone)


def test_an_address_is_refused() -> None:
    with pytest.raises(ConfigError, match="it is an IP address; TrustKit stops the app"):
        text_of(NAME, two("192.0.2.7"))


def test_a_report_address_without_tls_is_refused() -> None:
    element = "<trustkit-config><report-uri>http://r.example/</report-uri></trustkit-config>"
    assert "https" in str(refusal(NAME, config(element)))
