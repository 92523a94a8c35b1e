"""The codec of the report format of RFC 7469, section 3: each field is read or refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from certpin.errors import FormatError
from certpin.reports import Report
from certpin.reports.codecs import decode
from tests.reports.codecs._documents import AT, ISSUER, JSON, LEAF, PINS, RECEIVED, rfc7469


def _read(**other: Any) -> Report:
    (report,) = decode(rfc7469(**other), JSON, RECEIVED)
    assert isinstance(report, Report)
    return report


def test_every_field_of_it_is_read() -> None:
    report = _read()
    assert report == Report(
        kind="rfc7469",
        at=AT,
        host="api.bank.example",
        port=443,
        decision="refuse",
        reason="mismatch",
        identity=report.identity,
        pattern="api.bank.example",
        served=(LEAF,),
        verified=(LEAF, ISSUER),
        known_pins=PINS,
        expires=datetime(2027, 5, 1, 12, 40, 50, tzinfo=UTC),
    )


def test_a_host_is_normalised_and_subdomains_make_a_pattern() -> None:
    report = _read(hostname="API.Bank.Example.", **{"include-subdomains": True})
    assert (report.host, report.pattern) == ("api.bank.example", "**.api.bank.example")


def test_optional_fields_may_be_missing() -> None:
    (report,) = decode({"date-time": "2026-11-25T11:59:30Z", "hostname": "a.example"}, "", RECEIVED)
    assert isinstance(report, Report)
    assert (report.port, report.served, report.pattern, report.expires) == (0, (), "", None)


def test_only_equal_reports_have_the_same_identity() -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"date-time": "2026-11-25T11:59:31Z"},
        {"hostname": "www.bank.example"},
        {"port": 8443},
        {"noted-hostname": "bank.example"},
        {"known-pins": []},
        {"served-certificate-chain": []},
        {"validated-certificate-chain": rfc7469()["served-certificate-chain"]},
    ]
    identities = [_read(**change).identity for change in changes]
    assert len(set(identities)) == len(changes)
    assert identities == [_read(**change).identity for change in changes]
    # Moving a certificate from one chain to the other changes the digested bytes.
    chains = rfc7469()["validated-certificate-chain"]
    ways = [_chains(chains[:at], chains[at:]).identity for at in range(3)]
    assert len(set(ways)) == 3


def _chains(served: list[str], verified: list[str]) -> Report:
    return _read(
        **{"served-certificate-chain": served, "validated-certificate-chain": verified},
    )


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-25t11:59:30z", datetime(2026, 11, 25, 11, 59, 30, tzinfo=UTC)),
        ("2026-11-25T13:59:30.5+0200", datetime(2026, 11, 25, 11, 59, 30, 500_000, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("2017-01-01T05:29:60.25+05:30", datetime(2016, 12, 31, 23, 59, 59, 250_000, tzinfo=UTC)),
    ],
)
def test_every_form_of_rfc_3339_is_read(text: str, time: datetime) -> None:
    """Sections 5.6 and 5.7: lower case, and leap seconds, of clients that do not smear them."""
    assert _read(**{"date-time": text}).at == time


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        ({"date-time": "2026-11-25T11:59:30"}, "date-time: this is not a time with a time zone"),
        ({"date-time": 1764072000}, "date-time: this is not a time"),
        ({"date-time": "2016-12-31T22:59:60Z"}, "date-time: this is not a time"),
        ({"date-time": "2016-12-31T23:59:61Z"}, "date-time: this is not a time"),
        ({"date-time": "0001-01-01T00:00:00+14:00"}, "date-time: this is not a time"),
        ({"hostname": None}, "hostname: this is missing"),
        ({"hostname": "a..b"}, "hostname: this is not a host name"),
        ({"hostname": "x" * 300}, "hostname: this is not a host name"),
        ({"port": "443"}, "port: this is not a whole number"),
        ({"port": True}, "port: this is not a whole number"),
        ({"port": 65536}, "port: this is not from 0 to 65535"),
        ({"include-subdomains": "yes"}, "include-subdomains: this is neither true nor false"),
        ({"noted-hostname": 7}, "noted-hostname: this is not a host name"),
        ({"served-certificate-chain": "PEM"}, "served-certificate-chain: this is not a list"),
        ({"served-certificate-chain": ["x"] * 21}, "served-certificate-chain: this has more than"),
        (
            {"validated-certificate-chain": [7]},
            r"validated-certificate-chain\[0\]: this is not",
        ),
        ({"known-pins": ["sha1/abc"]}, "known-pins: an entry is not a pin"),
        ({"known-pins": [None]}, "known-pins: an entry is not a pin"),
        ({"known-pins": [PINS[0]] * 65}, "known-pins: this has more than 64 entries"),
        ({"effective-expiration-date": "soon"}, "effective-expiration-date: this is not a time"),
    ],
)
def test_an_invalid_field_is_named(other: dict[str, Any], problem: str) -> None:
    with pytest.raises(FormatError, match=f"^{problem}"):
        _read(**other)
