"""A forged leaf has a new key, so no attack chain matches a pin by accident."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certpin.lab.case import Expect, Family
from certpin.lab.pki import Authorities, Style, TestPKI
from certpin.lab.scenario import Role
from certpin.pins import Pin
from certpin.x509 import Certificate
from tests.lab._clients import MADE_CASES, listing
from tests.lab.attacks._memory import verified

if TYPE_CHECKING:
    from certpin.lab.case import Case
    from certpin.lab.scenario import ServerStep

HOST, SECOND = "api.bank.example", "cdn.bank.example"

AUTHORITIES = listing(Authorities(datetime.now(UTC)))


def _pki(case: Case, style: Style) -> TestPKI:
    return TestPKI(AUTHORITIES, case.host(HOST), SECOND, style)


def _attacks(case: Case, pki: TestPKI) -> list[tuple[str, ServerStep]]:
    """Return each server of the case that attacks with a chain, as pairs of host and server."""
    scenario = case.scenario(pki)
    played = [(pki.host, step) for step in scenario.first]
    played += [(pki.second, step) for step in scenario.second]
    return [(host, step) for host, step in played if step.chain and step.role is not Role.HONEST]


def _spki(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("case", MADE_CASES, ids=lambda case: case.name)
def test_no_leaf_has_the_key_of_an_authority(case: Case) -> None:
    pki = _pki(case, Style.CA)
    certain = (pki.root, pki.intermediate, pki.second_intermediate, pki.rogue, pki.untrusted)
    keys = {_spki(authority.x509) for authority in (*certain, AUTHORITIES.rsa_intermediate)}
    for _, step in _attacks(case, pki):
        assert _spki(x509.load_der_x509_certificate(step.chain[0])) not in keys


def _pin(der: bytes) -> Pin:
    return Pin.of_key(Certificate.from_der(der).spki_sha256)


# Attacks on STARTTLS happen before TLS, with the honest server behind them. In the cases of
# compromised keys a live pin matches on purpose.
APART = {Family.STARTTLS, Family.COMPROMISED}
# Its attacker relays the connection without ECH, in which he reads the name of the host.
RELAYED = "ech-rejected-by-rogue"
MUST_REFUSE = [
    pytest.param(case, style, id=f"{case.name}-{style}")
    for case in MADE_CASES
    for style in (Style.LEAF, Style.CA)
    if case.expected.of(style) is Expect.REJECT
    and case.family not in APART
    and case.name != RELAYED
]


@pytest.mark.parametrize(("case", "style"), MUST_REFUSE)
def test_verifiable_attack_chains_contain_no_pin(case: Case, style: Style) -> None:
    pki = _pki(case, style)
    assert pki.pins
    policies = {policy.pattern.name: policy for policy in pki.pins.policies}
    for host, step in _attacks(case, pki):
        try:
            path = verified(step, pki, host)
        except ssl.SSLError:
            continue  # refused by every client that verifies, pinned or not
        assert path
        pinned = {entry.pin for entry in policies[host].pins}
        found = pinned & set(map(_pin, path))
        assert not found, f"{host}: a pinned client could take it for real_chain"
