"""Printed certificates with unreadable fields, and the fixes for chains that don't verify."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import click
import pytest

from certpin.cli.options import chain_fix
from certpin.cli.pin import certificate_lines, days_left
from certpin.errors import CertificateParseError
from certpin.lab import Authority
from certpin.probe import Endpoint, Observation
from certpin.x509 import Certificate, Chain

NOW = datetime(2026, 5, 4, tzinfo=UTC)
BANK = Authority("Root", now=NOW).issue("a.example", "192.0.2.7", days=10).certificate


def unreadable(monkeypatch: pytest.MonkeyPatch, *fields: str) -> None:
    def refuse(_: Certificate) -> str:
        raise CertificateParseError("it makes no sense")

    for name in fields:
        monkeypatch.setattr(Certificate, name, property(refuse))


def lines(now: datetime = NOW) -> str:
    return "\n".join(certificate_lines(BANK, "leaf", now))


def test_unreadable_fields_are_marked_and_the_pins_are_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unreadable(monkeypatch, "subject", "issuer", "names", "not_before", "not_after")
    text = lines()
    assert "(subject cannot be read)" in text
    assert "(dates cannot be read)" in text
    assert "  pin          sha256/" in text
    assert "issuer" not in text


@pytest.mark.parametrize(("names", "title"), [(["a.example"], "a.example"), ([], "(no subject)")])
def test_an_empty_subject_is_replaced_by_the_names(
    monkeypatch: pytest.MonkeyPatch, names: list[str], title: str
) -> None:
    monkeypatch.setattr(Certificate, "subject", "")
    monkeypatch.setattr(Certificate, "names", names)
    assert f"leaf: {title}" in click.unstyle(lines())


@pytest.mark.parametrize(
    ("days", "words"), [(10, "0 days left"), (9, "1 day left"), (8, "2 days left"), (11, "expired")]
)
def test_the_remaining_days_are_printed(days: int, words: str) -> None:
    assert words in lines(NOW + timedelta(days=days))


def test_days_are_whole_and_negative_after_expiry() -> None:
    moments = (timedelta(hours=47), timedelta(0), timedelta(seconds=-1))
    assert [days_left(NOW + moment, NOW) for moment in moments] == [1, 0, -1]


def unverified(code: int) -> Observation:
    chain = Chain((BANK,))
    return Observation(Endpoint("b.example"), "192.0.2.7", "TLSv1.3", chain, None, "why", code)


def test_every_error_code_has_its_fix() -> None:
    advice = [chain_fix(unverified(code)) for code in (0, 9, 10, 18, 19, 20, 62)]
    assert len(set(advice)) == len(advice)
    assert chain_fix(unverified(62)) == chain_fix(unverified(64))


def test_an_expired_certificate_is_named_with_its_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("certpin.pins.utc_now", lambda: NOW)
    root = Authority("Root", now=NOW)
    intermediate = root.intermediate("Intermediate")
    leaf = intermediate.issue("b.example", days=90).certificate
    middle = intermediate.certificate

    def fix(code: int = 10) -> str:
        served = Chain((leaf, Authority("Unrelated").certificate, middle))
        return chain_fix(replace(unverified(code), served=served))

    ends = {leaf: NOW + timedelta(days=9), middle: NOW - timedelta(days=2)}
    monkeypatch.setattr(Certificate, "not_after", property(lambda each: ends.get(each, NOW)))
    assert fix().startswith("CN=Intermediate expired on 2026-05-02, and the server's own")
    assert "renew" not in fix()
    clock = "; or, if the clock of this machine (2026-05-04) is ahead, set it"
    assert fix().endswith(clock)
    ends[leaf] = NOW - timedelta(days=1)
    assert fix() == f"the server's certificate expired on 2026-05-03: renew it{clock}"
    ends |= {leaf: NOW, middle: NOW}
    assert fix().startswith("no certificate that the server sent has expired")
    assert fix().endswith(clock)
    monkeypatch.setattr(Certificate, "not_before", property(lambda _: NOW + timedelta(days=1)))
    behind = "wait; or, if the clock of this machine (2026-05-04) is behind, set it"
    assert f"CN=Intermediate is valid from 2026-05-05 on: {behind}" in fix(9)
    unreadable(monkeypatch, "not_after")
    assert fix() == f"a certificate of the chain has expired: renew it, then try again{clock}"


def test_a_pinned_host_needs_a_certificate_and_no_other_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fix = chain_fix(unverified(62), pinned=True)
    assert "Install a certificate for b.example at b.example:443, or correct the address" in fix
    assert "Pin one of them" in chain_fix(unverified(62))
    monkeypatch.setattr(Certificate, "names", property(lambda _: ()))
    for pinned in (True, False):
        fix = chain_fix(unverified(62), pinned=pinned)
        assert "Get a certificate with b.example in its subjectAltName" in fix
        assert "Pin one of them" not in fix


def test_a_missing_intermediate_is_named_whatever_else_was_sent() -> None:
    root = Authority("Root", now=NOW)
    leaf = root.intermediate("Intermediate").issue("b.example").certificate
    seen = unverified(20)
    for sent in (root, root.intermediate("Intermediate"), Authority("Another Root")):
        fix = chain_fix(replace(seen, served=Chain((leaf, sent.certificate))))
        assert "did not send the certificate of CN=Intermediate that issued CN=b.example" in fix
    intermediate = root.intermediate("Intermediate")
    whole = intermediate.issue("b.example").certificate, intermediate.certificate
    fix = chain_fix(replace(seen, served=Chain(whole)))
    assert fix == (
        "the chain ends at CN=Root, which is not trusted. If it is a private root, name it: "
        "--ca-file ROOT.pem. If it is an intermediate, configure the server to send its "
        "certificate too (the full chain)"
    )
    complete = root.issue("b.example").certificate, root.certificate
    fix = chain_fix(replace(seen, served=Chain(complete)))
    assert fix.startswith("no authority that this machine trusts has issued the chain")


def test_unreadable_and_missing_names_are_marked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "not for b.example; its names: a.example, 192.0.2.7." in chain_fix(unverified(62))
    monkeypatch.setattr(Certificate, "names", property(lambda _: ()))
    assert "its names: none. " in chain_fix(unverified(62))
    unreadable(monkeypatch, "names")
    assert "its names: unreadable. " in chain_fix(unverified(62))
