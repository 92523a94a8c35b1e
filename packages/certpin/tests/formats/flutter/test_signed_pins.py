"""``pins.json``, the signed pins for Flutter apps: how certpin publishes and Dart reads it."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings

from certpin.errors import ConfigError
from certpin.formats.flutter import FLUTTER
from certpin.formats.flutter.published import published
from certpin.pins import HostPattern, HostPin, HostPolicy, PinSet
from tests.formats._sets import KEYS, anchors, pin_sets
from tests.formats.flutter._bridge import PinUpdateException, call, in_dart
from tests.kit import NOBODY, NOBODY_ELSE, pin_set, policy

pytestmark = pytest.mark.peer("dart")

LEAF = policy("api.bank.example", NOBODY, NOBODY_ELSE, match="leaf")


@pytest.mark.slow
@settings(max_examples=40, suppress_health_check=[HealthCheck.filter_too_much])
@given(pins=pin_sets())
def test_published_and_exported_pins_are_equal(pins: PinSet) -> None:
    """Dart reads from ``pins.json`` the policies that an export writes to ``pins.dart``.

    Missing fields have the defaults of Dart.
    """
    pins = replace(pins, debug=None)
    try:
        projected = FLUTTER.export(pins).pins
    except ConfigError:
        assume(False)
        raise
    found = call("readPins", published(pins)[0])
    assert (found["name"], found["version"]) == (projected.name, projected.version)
    assert found["policies"] == [in_dart(each) for each in projected.policies]


def test_published_pins_are_deterministic_and_without_notes() -> None:
    noted = (HostPin(KEYS[0], note="KMS key 7"), HostPin(KEYS[1], "backup", note="the safe"))
    pins = pin_set(HostPolicy(HostPattern.parse("a.example"), noted, match="leaf"))
    data, omissions = published(pins)
    assert omissions == ()
    assert b"note" not in data
    assert published(pins)[0] == data


def test_publishing_a_debug_section_is_refused() -> None:
    with pytest.raises(ConfigError, match="debug section"):
        published(replace(pin_set(LEAF), debug=anchors()[0]))


def test_publishing_inexpressible_pins_is_refused() -> None:
    with pytest.raises(ConfigError, match="none of its pins can match a leaf"):
        published(pin_set(policy("a.example", NOBODY, NOBODY_ELSE, match="ca")))


GOOD: dict[str, Any] = json.loads(published(pin_set(LEAF))[0])
PIN, OTHER = GOOD["hosts"][0]["pins"]
KEYS_PIN = str(KEYS[2])
DEAD = {"pins": [PIN, OTHER, OTHER | {"pin": KEYS_PIN, "state": "compromised"}]}


def _host(**fields: Any) -> dict[str, Any]:
    return GOOD | {"hosts": [GOOD["hosts"][0] | fields]}


REMOVED = OTHER | {"pin": KEYS_PIN, "state": "removed"}
CURLS = OTHER["pin"].replace("/", "//", 1)
BEGIN, END = "-----BEGIN CERTIFICATE-----\n", "\n-----END CERTIFICATE-----\n"
ANCHOR = base64.b64encode(anchors()[0].der[0]).decode()
BROKEN: dict[str, dict[str, Any]] = {
    "another schema": GOOD | {"schema": "certpin-pins/2"},
    "an unknown field": GOOD | {"unless": "monday"},
    "a debug section": GOOD | {"debug": {"trust": ""}},
    "no hosts": GOOD | {"hosts": []},
    "a host twice": GOOD | {"hosts": GOOD["hosts"] * 2},
    "a host that is none": GOOD | {"hosts": ["api.bank.example"]},
    "an unknown field of a host": _host(unless="monday"),
    "a pattern that is none": _host(pattern="a..b"),
    "a pattern for all": _host(pattern="**."),
    "upper case": _host(pattern="API.bank.example"),
    "a mode that is none": _host(mode="off"),
    "pins of authorities": _host(match="any"),
    "an ending that is none": _host(onExpiry="ignore", expires="2030-01-01T00:00:00Z"),
    "a date that is none": _host(expires="soon"),
    "a date of somewhere": _host(expires="2030-01-01T00:00:00"),
    "no pins": _host(pins=[]),
    "only one pin": _host(pins=[PIN]),
    "a pin twice": _host(pins=[PIN, PIN]),
    "a pin that is none": _host(pins=[PIN, OTHER | {"pin": "sha256/AAAA"}]),
    "a pin in another spelling": _host(
        pins=[PIN, OTHER | {"pin": OTHER["pin"].replace("/", "//", 1)}]
    ),
    "a fingerprint that is none": _host(pins=[PIN, OTHER | {"pin": "cert-sha256/AA:BB"}]),
    "a pin that accepts nothing": _host(pins=[PIN, OTHER, REMOVED]),
    "one pin beside a compromised one": _host(pins=[PIN, OTHER | {"state": "compromised"}]),
    "a pin that is compromised and not": _host(pins=[PIN, OTHER, PIN | {"state": "compromised"}]),
    "a pin with a condition": _host(pins=[PIN, OTHER | {"unless": "monday"}]),
    "a pin that is a text": _host(pins=[PIN, OTHER["pin"]]),
    "no anchor": _host(trust="", match="ca"),
    "an anchor that is none": _host(
        trust="-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----"
    ),
    "an unpinned anchor": _host(trust=f"{BEGIN}{ANCHOR}{END}", match="ca"),
    "reports in clear text": _host(reportTo=["http://pins.example/"]),
    "reports to a host that only begins like this device": _host(
        reportTo=["http://localhost.evil.example/"]
    ),
    "reports to a host behind user information": _host(reportTo=["http://localhost@evil.example/"]),
    "reports with user information": _host(reportTo=["https://user@pins.example/"]),
    "reports without a host": _host(reportTo=["https:///reports"]),
    "a number for a name": GOOD | {"name": 7},
    "a version that is none": GOOD | {"version": 0},
}


@pytest.mark.parametrize("what", BROKEN)
def test_unsafe_pins_are_refused(what: str) -> None:
    call("readPins", json.dumps(GOOD).encode())
    with pytest.raises(PinUpdateException):
        call("readPins", json.dumps(BROKEN[what]).encode())


def test_compromised_keys_of_a_signed_set_are_refused() -> None:
    dead = OTHER | {"pin": KEYS_PIN, "state": "compromised"}
    [found] = call("readPins", json.dumps(_host(pins=[PIN, OTHER, dead])).encode())["policies"]
    assert found["pins"] == [PIN["pin"], OTHER["pin"]]
    assert found["compromised"] == [KEYS_PIN]


def test_lost_keys_of_a_signed_set_are_accepted() -> None:
    lost = OTHER | {"pin": KEYS_PIN, "state": "lost"}
    [found] = call("readPins", json.dumps(_host(pins=[PIN, OTHER, lost])).encode())["policies"]
    assert found["pins"] == [PIN["pin"], OTHER["pin"], KEYS_PIN]


@pytest.mark.parametrize(
    "change",
    [{"mode": "report"}, {"pins": [OTHER, PIN]}, {"reportTo": ["https://pins.example/"]}, DEAD],
)
def test_any_changed_policy_is_detected(change: dict[str, Any]) -> None:
    def data(pins: dict[str, Any]) -> bytes:
        return json.dumps(pins).encode()

    assert call("samePolicies", data(GOOD), data(_host(mode="enforce")))
    assert not call("samePolicies", data(GOOD), data(_host(**change)))
