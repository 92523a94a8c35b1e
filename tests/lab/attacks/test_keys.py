"""No attack is one by accident: a forged leaf has a key of its own, and no pin matches by right."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certpin.lab.attacks import CASES
from certpin.lab.case import Expect, Family, Style
from certpin.lab.cast import Authorities, Cast
from certpin.lab.script import Role
from certpin.pins import Pin
from certpin.x509 import Certificate
from tests.lab.attacks._memory import verified

if TYPE_CHECKING:
    from certpin.lab.case import Case
    from certpin.lab.script import Act

HOST, SECOND = "api.bank.example", "cdn.bank.example"

AUTHORITIES = Authorities(datetime.now(UTC))


def _cast(case: Case, style: Style) -> Cast:
    return Cast(AUTHORITIES, case.host(HOST), SECOND, style)


def _attacks(case: Case, cast: Cast) -> list[tuple[str, Act]]:
    """Each act of an attack that serves a chain, with the host that it plays."""
    script = case.play(cast)
    played = [(cast.host, act) for act in script.first]
    played += [(cast.second, act) for act in script.second]
    return [(host, act) for host, act in played if act.chain and act.role is not Role.HONEST]


def _spki(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_leaf_has_the_key_of_an_authority(case: Case) -> None:
    cast = _cast(case, Style.CA)
    certain = (cast.root, cast.intermediate, cast.second_intermediate, cast.rogue, cast.untrusted)
    keys = {_spki(each.x509) for each in (*certain, AUTHORITIES.rsa_intermediate)}
    for _, act in _attacks(case, cast):
        assert _spki(x509.load_der_x509_certificate(act.chain[0])) not in keys


def _pin(der: bytes) -> Pin:
    return Pin.of_key(Certificate.from_der(der).spki_sha256)


# What is wrong with STARTTLS happens before TLS: the server behind it is the honest one. Beside a
# compromised key a live pin matches on purpose.
APART = {Family.STARTTLS, Family.COMPROMISED}
MUST_REFUSE = [
    pytest.param(case, style, id=f"{case.name}-{style}")
    for case in CASES
    for style in (Style.LEAF, Style.CA)
    if case.expected.of(style) is Expect.REJECT and case.family not in APART
]


@pytest.mark.parametrize(("case", "style"), MUST_REFUSE)
def test_what_could_be_verified_and_must_be_refused_holds_no_pin(case: Case, style: Style) -> None:
    cast = _cast(case, style)
    assert cast.pins
    policies = {policy.pattern.name: policy for policy in cast.pins.policies}
    for host, act in _attacks(case, cast):
        try:
            path = verified(act, cast, host)
        except ssl.SSLError:
            continue  # refused by whoever verifies, pinned or not
        assert path
        pinned = {entry.pin for entry in policies[host].pins}
        found = pinned & set(map(_pin, path))
        assert not found, f"{host}: a pinned client could take it for genuine"
