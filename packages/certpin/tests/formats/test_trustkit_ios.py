"""The format TrustKit for iOS: its keys, its defaults, and settings that certpin cannot express."""

from __future__ import annotations

import plistlib
from typing import Any

import pytest

from certpin.errors import ConfigError, FormatError
from tests.formats._files import DAY, PINS, A, B, digests, load, refusal, text_of, two

# For skipped settings, see tests/formats/test_passed_over.py.
pytestmark = pytest.mark.filterwarnings("ignore:not imported")

NAME = "trustkit-ios"
REPORTS = ("https://pins.bank.example/r?a=1&b=<2",)


def settings(text: str) -> dict[str, Any]:
    found = plistlib.loads(text.encode())["TSKConfiguration"]
    assert isinstance(found, dict)
    return found


def plist(domains: Any) -> bytes:
    return plistlib.dumps({"TSKPinnedDomains": domains})


def test_keys_and_types_of_the_export() -> None:
    open_end = two("**.bank.example", expires=DAY, on_expiry="fail-open", report_to=REPORTS)
    found = settings(text_of(NAME, open_end, two("pay.example", mode="report")))
    assert found["TSKSwizzleNetworkDelegates"] is False
    assert found["TSKPinnedDomains"] == {
        "bank.example": {
            "TSKIncludeSubdomains": True,
            "TSKEnforcePinning": True,
            "TSKPublicKeyHashes": [A, B],
            "TSKDisableDefaultReportUri": True,
            "TSKReportUris": list(REPORTS),
            "TSKExpirationDate": "2027-06-01",
        },
        "pay.example": {
            "TSKIncludeSubdomains": False,
            "TSKEnforcePinning": False,
            "TSKPublicKeyHashes": [A, B],
            "TSKDisableDefaultReportUri": True,
            "TSKReportUris": [],
        },
    }


def test_an_address_is_refused_because_trustkit_would_stop_the_app() -> None:
    with pytest.raises(ConfigError, match="TrustKit stops the app"):
        text_of(NAME, two("192.0.2.7"))


def test_import_uses_the_defaults_of_trustkit() -> None:
    pins = load(NAME, plist({"bank.example": {"TSKPublicKeyHashes": [A, B]}}))
    [found] = pins.policies
    assert digests(pins) == {"bank.example": set(PINS[:2])}
    assert (found.mode, found.match, found.expires, found.on_expiry, found.report_to) == (
        "enforce",
        "any",
        None,
        "fail-closed",
        (),
    )


def test_the_example_of_the_documentation_is_read() -> None:
    entry = {
        "TSKEnforcePinning": False,
        "TSKIncludeSubdomains": True,
        "TSKPublicKeyAlgorithms": ["TSKAlgorithmRsa2048"],
        "TSKPublicKeyHashes": [A, B],
        "TSKReportUris": list(REPORTS * 2),
        "TSKExpirationDate": "2027-06-01",
    }
    inside = {"TSKSwizzleNetworkDelegates": True, "TSKPinnedDomains": {"bank.example": entry}}
    pins = load(NAME, plistlib.dumps({"CFBundleName": "Bank", "TSKConfiguration": inside}))
    [found] = pins.policies
    assert str(found.pattern) == "**.bank.example"
    assert (found.mode, found.report_to) == ("report", REPORTS)
    assert (found.expires, found.on_expiry) == (DAY, "fail-open")


def test_a_subdomain_excluded_from_pins_is_refused() -> None:
    domains = {
        "bank.example": {"TSKPublicKeyHashes": [A, B], "TSKIncludeSubdomains": True},
        "free.bank.example": {"TSKExcludeSubdomainFromParentPolicy": True},
    }
    error = refusal(NAME, plist(domains))
    assert isinstance(error, FormatError)
    assert "'free.bank.example' is excluded from the pins of **.bank.example" in str(error)


def test_an_exclusion_without_effect_is_skipped() -> None:
    domains = {
        "bank.example": {"TSKPublicKeyHashes": [A, B]},
        "free.bank.example": {"TSKExcludeSubdomainFromParentPolicy": True},
        "pay.example": {
            "TSKPublicKeyHashes": [A, B],
            "TSKExcludeSubdomainFromParentPolicy": False,
        },
    }
    assert digests(load(NAME, plist(domains))).keys() == {"bank.example", "pay.example"}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({}, "TSKPublicKeyHashes is missing"),
        ({"TSKPublicKeyHashes": [A]}, "only one pin"),
        (
            {"TSKPublicKeyHashes": [A, f"sha256/{B}"]},
            f"TSKPinnedDomains.bank.example.TSKPublicKeyHashes[1]: 'sha256/{B}' has a prefix",
        ),
        ({"TSKPublicKeyHashes": [A, B], "TSKEnforcePinning": 1}, "must be true or false"),
        ({"TSKPublicKeyHashes": [A, B], "TSKExpirationDate": "1/6/27"}, "is not a date"),
        ({"TSKPublicKeyHashes": [A, B], "TSKExpirationDate": DAY.replace(tzinfo=None)}, "a date"),
        ({"TSKPublicKeyHashes": [A, B], "TSKReportUris": ["http://r.example"]}, "https://"),
    ],
)
def test_values_that_trustkit_refuses_are_refused(entry: dict[str, Any], words: str) -> None:
    assert words in str(refusal(NAME, plist({"bank.example": entry})))
