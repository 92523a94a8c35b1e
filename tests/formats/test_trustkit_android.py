"""TrustKit for Android: what it adds to the platform's file."""

from __future__ import annotations

import pytest

from certpin.errors import ConfigError
from certpin.pins import HostPattern, HostPin, HostPolicy
from tests.formats._files import PINS, A, B, load, refusal, text_of, two

# What is passed over is the subject of tests/formats/test_passed_over.py.
pytestmark = pytest.mark.filterwarnings("ignore:not imported")

NAME = "trustkit-android"


def config(trustkit: str, nested: str = "") -> str:
    pins = "".join(f'<pin digest="SHA-256">{pin}</pin>' for pin in (A, B))
    return (
        "<network-security-config><domain-config><domain>bank.example</domain>"
        f"<pin-set>{pins}</pin-set>{trustkit}{nested}</domain-config></network-security-config>"
    )


def test_the_vendor_gets_no_reports() -> None:
    text = text_of(NAME, two("a.example"), two("b.example", mode="report"))
    assert text.count('disableDefaultReportUri="true"') == 2


def test_the_mode_and_the_report_addresses_are_written() -> None:
    text = text_of(NAME, two("a.example", mode="report", report_to=("https://r.example/?a&b",)))
    assert 'enforcePinning="false"' in text
    assert "<report-uri>https://r.example/?a&amp;b</report-uri>" in text


def test_a_file_as_the_documentation_shows_it_is_read() -> None:
    element = """<trustkit-config disableDefaultReportUri="true" enforcePinning="true">
        <report-uri>https://report.bank.example/log</report-uri>
        <report-uri>https://report.bank.example/log</report-uri></trustkit-config>"""
    [found] = load(NAME, config(element)).policies
    assert (found.mode, found.report_to) == ("enforce", ("https://report.bank.example/log",))


@pytest.mark.parametrize("element", ["", "<trustkit-config/>"], ids=["nothing", "empty"])
def test_without_a_word_trustkit_only_reports(element: str) -> None:
    [found] = load(NAME, config(element)).policies
    assert found.mode == "report"


def test_a_nested_config_inherits_what_its_own_element_does_not_say() -> None:
    outer = """<trustkit-config enforcePinning="true"><report-uri>https://r.example/</report-uri>
        </trustkit-config>"""
    inner = """<domain-config><domain>a.bank.example</domain></domain-config>
        <domain-config><domain>b.bank.example</domain><trustkit-config
        disableDefaultReportUri="true"/></domain-config>"""
    found = load(NAME, config(outer, inner)).policies
    assert [each.mode for each in found] == ["enforce"] * 3
    assert [each.report_to for each in found] == [("https://r.example/",)] * 2 + [()]


def test_one_pin_alone_is_refused_where_it_is_only_watched_too() -> None:
    lone = HostPolicy(HostPattern("", "a.example"), (HostPin(PINS[0]),), mode="report")
    with pytest.raises(ConfigError, match="stops the app at less than two pins"):
        text_of(NAME, lone)


def test_an_address_is_refused() -> None:
    with pytest.raises(ConfigError, match="it is an IP address; TrustKit stops the app"):
        text_of(NAME, two("192.0.2.7"))


def test_a_report_address_without_tls_is_refused() -> None:
    element = "<trustkit-config><report-uri>http://r.example/</report-uri></trustkit-config>"
    assert "https" in str(refusal(NAME, config(element)))
