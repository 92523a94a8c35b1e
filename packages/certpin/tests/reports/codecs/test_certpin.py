"""The codec of certpin's own reports and presences, and of the reports of its Dart client."""

from __future__ import annotations

from typing import Any

import pytest

from certpin.errors import FormatError
from certpin.reports import Presence, Report
from certpin.reports.codecs import decode
from certpin.reports.model import Client
from tests.reports.codecs._documents import (
    AT,
    ISSUER,
    JSON,
    LEAF,
    PINS,
    RECEIVED,
    certpin,
    presence,
    rfc7469,
)

_DART = {"pin-set": "bank-app", "pin-set-version": 12, "decision": "refuse", "reason": "untrusted"}


def _read(document: dict[str, Any]) -> Report | Presence:
    (said,) = decode(document, JSON, RECEIVED)
    return said


def test_every_field_of_a_report_is_read() -> None:
    report = _read(certpin())
    assert isinstance(report, Report)
    assert report == Report(
        kind="certpin",
        at=AT,
        host="api.bank.example",
        port=443,
        decision="refuse",
        reason="mismatch",
        identity="id:00112233445566778899aabbccddeeff",
        client=Client("example.bank.app", "4.2", "python", "3.13.1 linux", "wifi", "certpin 0.1.0"),
        pin_set="bank-app",
        pin_set_version=12,
        pattern="*.bank.example",
        served=(LEAF,),
        verified=(LEAF, ISSUER),
        known_pins=PINS,
        expires=report.expires,
        own_identity=True,
    )


def test_every_field_of_a_presence_is_read() -> None:
    assert _read(presence()) == Presence(
        AT, "bank-app", 12, "id:00112233445566778899aabbccddeeff", Client(app="example.bank.app")
    )


def test_a_report_of_the_dart_client_is_read() -> None:
    report = _read(rfc7469(**_DART))
    assert isinstance(report, Report)
    assert (report.kind, report.pin_set, report.pin_set_version) == ("certpin", "bank-app", 12)
    assert (report.decision, report.reason) == ("refuse", "untrusted")
    assert report.pattern == "api.bank.example"
    assert not report.own_identity


def test_without_an_id_reports_differ_by_their_content() -> None:
    documents = [rfc7469(**_DART, **{name: value}) for name, value in _OTHERS.items()]
    identities = {_read(each).identity for each in [rfc7469(**_DART), *documents]}
    assert len(identities) == len(_OTHERS) + 1
    assert _read(rfc7469(**_DART)).identity in identities


_OTHERS = {
    "app": "x",
    "app-version": "x",
    "platform": "x",
    "platform-version": "x",
    "network": "x",
    "library": "x",
    "policy": "*.bank.example",
}


def test_an_id_of_a_client_never_equals_a_digest() -> None:
    digest = _read(rfc7469()).identity
    taken = digest.partition(":")[2]
    assert _read(certpin(id=taken)).identity != digest


def test_an_unknown_field_is_ignored() -> None:
    assert _read(certpin(colour="red")) == _read(certpin())


def test_unprintable_characters_are_escaped() -> None:
    report = _read(certpin(network="wifi\x00\u202e\ud800", app="a\nb"))
    assert report.client.network == "wifi\\x00\\u202e\\ud800"
    assert report.client.app == "a\\nb"


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (certpin(schema="certpin-report/2"), "schema: this is none of certpin-report/1, certpin-p"),
        (certpin(schema=None), "schema: this is none of"),
        (certpin(id="7"), "id: this is not 16 to 64 of"),
        (certpin(id="x" * 65), "id: this is not 16 to 64 of"),
        (certpin(decision="maybe"), "decision: this is none of refuse, report, accept"),
        (certpin(policy="*.192.0.2.7"), "policy: this is not a host name"),
        (certpin(**{"pin-set-version": 2**63}), "pin-set-version: this is not from 0 to"),
        (certpin(**{"pin-set-version": 1.5}), "pin-set-version: this is not a whole number"),
        (presence(id=None), "id: this is missing"),
        (presence(**{"pin-set": ""}), "pin-set: the name of the set is missing"),
        (presence(**{"pin-set-version": 0}), "pin-set-version: this is not from 1 to"),
    ],
)
def test_an_invalid_field_is_named(document: dict[str, Any], problem: str) -> None:
    with pytest.raises(FormatError, match=f"^{problem}"):
        _read(document)
