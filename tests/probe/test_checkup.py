"""What a host serves against what is pinned: pure, at any moment one likes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from certpin.errors import CertificateParseError, DialError
from certpin.lab import Authority
from certpin.probe import Endpoint, Observation
from certpin.probe.checkup import Checkup, check_up, in_days
from certpin.x509 import Certificate, Chain
from tests import kit

if TYPE_CHECKING:
    from certpin.pins import HostPolicy

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
ROOT = Authority("Root", now=NOW)
BANK = ROOT.issue("a.example", days=30)
PATH = Chain((BANK.certificate, ROOT.certificate))
SEEN = Observation(Endpoint("a.example", 8443), "192.0.2.7", "TLSv1.3", PATH, PATH)


def checkup(policy: HostPolicy, *, days: int = 0, after: timedelta = timedelta()) -> Checkup:
    return check_up(policy, SEEN, NOW + after, least_days=days)


def test_a_host_that_holds_has_no_findings() -> None:
    found = checkup(kit.policy("a.example", BANK.pin))
    assert (found.status, found.findings) == ("holds", ())
    assert (found.host, found.port) == ("a.example", 8443)
    assert found.verdict is not None
    assert found.verdict.matched is not None


@pytest.mark.parametrize(
    ("after", "days", "findings"),
    [
        (timedelta(), 30, ()),
        (timedelta(), 31, ("a certificate of the chain ends in 30 days",)),
        (timedelta(days=28, hours=1), 2, ("a certificate of the chain ends in 1 day",)),
        (timedelta(days=29, hours=1), 1, ("a certificate of the chain ends in 0 days",)),
    ],
)
def test_days_are_counted_to_the_end_of_the_first_certificate(
    after: timedelta, days: int, findings: tuple[str, ...]
) -> None:
    found = checkup(kit.policy("a.example", BANK.pin), days=days, after=after)
    assert found.findings == findings


@pytest.mark.parametrize(
    ("left", "days", "findings"),
    [
        (timedelta(days=5), 5, ()),
        (timedelta(days=5), 6, ("the pins end in 5 days",)),
        (timedelta(hours=1), 1, ("the pins end in 0 days",)),
        (timedelta(), 9, ("the pins have expired",)),
        (timedelta(days=-5), 9, ("the pins have expired",)),
    ],
)
def test_days_are_counted_to_the_end_of_the_pins(
    left: timedelta, days: int, findings: tuple[str, ...]
) -> None:
    found = checkup(kit.policy("a.example", BANK.pin, expires=NOW + left), days=days)
    assert found.findings == findings


def test_each_thing_that_is_wrong_is_a_finding_of_its_own() -> None:
    expired = NOW - timedelta(days=1)
    found = checkup(kit.policy("a.example", expires=expired, on_expiry="report"), days=31)
    assert [finding.split()[0:2] for finding in found.findings] == [
        ["no", "pin"],
        ["the", "pins"],
        ["a", "certificate"],
    ]


def test_every_pin_in_the_chain_is_no_backup() -> None:
    assert checkup(kit.policy("a.example", BANK.pin, ROOT.pin)).findings == (
        "every pin is in the chain that is served now: there is no backup outside it",
    )


def test_a_chain_that_did_not_verify_is_one_finding_and_has_no_days() -> None:
    seen = replace(SEEN, verified=None, problem="self-signed certificate", code=18)
    found = check_up(kit.policy("a.example", BANK.pin), seen, NOW, least_days=99)
    assert found.findings == ("the chain did not verify: self-signed certificate",)
    assert (found.verdict, found.certificate_days(NOW)) == (None, None)


def test_a_host_that_could_not_be_asked_is_inconclusive() -> None:
    error = DialError("refused", host="a.example", port=443)
    found = Checkup(kit.policy("a.example"), "a.example", 443, error=error)
    assert (found.status, found.certificate_days(NOW), found.pin_days(NOW)) == (
        "inconclusive",
        None,
        None,
    )


def test_a_date_that_cannot_be_read_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(certificate: Certificate) -> datetime:
        if certificate == BANK.certificate:
            raise CertificateParseError("no date")
        return NOW + timedelta(days=100, hours=1)

    monkeypatch.setattr(Certificate, "not_after", property(unreadable))
    assert checkup(kit.policy("a.example", BANK.pin)).certificate_days(NOW) == 100


@pytest.mark.parametrize(("days", "words"), [(0, "0 days"), (1, "1 day"), (2, "2 days")])
def test_days_have_words(days: int, words: str) -> None:
    assert in_days(days) == words
