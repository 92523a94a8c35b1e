"""The codec of TrustKit's reports, as its versions for iOS and Android send them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from certpin.errors import FormatError
from certpin.reports import Report
from certpin.reports.codecs import decode
from certpin.reports.codecs.trustkit import REASONS
from certpin.reports.model import Client
from tests.reports.codecs._documents import (
    AT,
    ISSUER,
    JSON,
    LEAF,
    PINS,
    RECEIVED,
    trustkit_android,
    trustkit_ios,
)


def _read(document: dict[str, Any]) -> Report:
    (report,) = decode(document, JSON, RECEIVED)
    assert isinstance(report, Report)
    return report


def test_a_report_from_ios_is_read() -> None:
    report = _read(trustkit_ios())
    assert report == Report(
        kind="trustkit",
        at=AT,
        host="api.bank.example",
        port=443,
        decision="refuse",
        reason="mismatch",
        identity=report.identity,
        client=Client(
            app="example.bank.app",
            app_version="4.2",
            platform="ios",
            platform_version="Version 19.1 (Build 23B85)",
            library="trustkit 3.0.4",
        ),
        pattern="**.bank.example",
        verified=(LEAF, ISSUER),
        known_pins=PINS,
        expires=datetime(2027, 5, 1, tzinfo=UTC),
    )


def test_a_report_from_android_with_port_0_and_a_numeric_offset_is_read() -> None:
    report = _read(trustkit_android())
    assert report == Report(
        kind="trustkit",
        at=AT,
        host="api.bank.example",
        port=0,
        decision="report",
        reason="mismatch",
        identity=report.identity,
        client=Client(
            app="example.bank.app", app_version="42", platform="android", library="trustkit 1.1.5"
        ),
        pattern="bank.example",
        served=(LEAF, ISSUER),
        verified=(LEAF,),
        known_pins=PINS,
    )


@pytest.mark.parametrize(("result", "reason"), list(enumerate(REASONS)))
def test_each_validation_result_has_its_reason(result: int, reason: str) -> None:
    report = _read(trustkit_ios(**{"validation-result": result}))
    assert (report.reason, report.decision) == (reason, "refuse" if result else "accept")


def test_the_device_id_distinguishes_reports_and_is_not_stored() -> None:
    mine, yours = (_read(trustkit_ios(**{"app-vendor-id": each})) for each in ("mine", "yours"))
    assert mine.identity != yours.identity
    assert not mine.own_identity
    assert "mine" not in repr(mine)


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        ({"validation-result": 6}, "validation-result: this is not from 0 to 5"),
        ({"validation-result": "1"}, "validation-result: this is not a whole number"),
        ({"enforce-pinning": "YES"}, "enforce-pinning: this is neither true nor false"),
        ({"app-bundle-id": "x" * 256}, "app-bundle-id: this has more than 255 characters"),
        ({"app-version": 42}, "app-version: this is not a text"),
        ({"known-pins-expiration-date": "01.05.2027"}, "known-pins-expiration-date: this is not"),
    ],
)
def test_an_invalid_field_is_named(other: dict[str, Any], problem: str) -> None:
    with pytest.raises(FormatError, match=f"^{problem}"):
        _read(trustkit_ios(**other))
