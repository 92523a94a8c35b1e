"""Cases that serve two paths: the valid path has no pin, and the path with the pin is not valid."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from certpin.lab.attacks.chains import CHAINS
from tests.lab.attacks._forged import HOST, Forged
from tests.lab.attacks._memory import problem, verified

if TYPE_CHECKING:
    from collections.abc import Sequence


# OpenSSL takes the first issuer with the right name, so it refuses a chain that others accept.
FIRST_IS_WRONG = "non-ca-switch"


@pytest.mark.parametrize("name", [case.name for case in CHAINS if case.name != FIRST_IS_WRONG])
def test_the_chain_is_good_by_the_rogue_root(name: str) -> None:
    forged = Forged(name)
    path = verified(forged.step, forged.pki, HOST)
    assert path[-1] == forged.pki.rogue.certificate.der
    assert forged.dns_names == [HOST]
    assert forged.leaf.public_key() != forged.pki.real_chain[0].public_key()


@pytest.mark.parametrize("name", [case.name for case in CHAINS])
def test_chain_is_refused_without_the_rogue_root(name: str) -> None:
    """OpenSSL refuses the chain of each case if the rogue root is not trusted.

    So the path with the pin is not valid on its own.
    """
    forged = Forged(name)
    forged.pki.authorities.__dict__["rogue"] = forged.pki.untrusted
    assert problem(forged.step, forged.pki, HOST)


def _linked(path: Sequence[x509.Certificate]) -> bool:
    """Return True if each certificate names and is signed by the next one; raise otherwise.

    A naive chain cleaner makes only this check.
    """
    for certificate, issuer in itertools.pairwise(path):
        certificate.verify_directly_issued_by(issuer)
    return True


def _constraints(certificate: x509.Certificate) -> x509.BasicConstraints:
    return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value


def test_real_chain_is_appended_unchanged() -> None:
    forged = Forged("pinned-leaf-appended")
    assert tuple(forged.chain[1:]) == forged.pki.real_chain
    assert forged.leaf.issuer == forged.pki.rogue.subject


def test_real_intermediate_is_appended_after_the_fake_one() -> None:
    forged = Forged("pinned-intermediate-appended")
    leaf, namesake, real_chain = forged.chain
    assert real_chain == forged.pki.real_chain[1]
    assert namesake.subject == real_chain.subject
    kind = x509.SubjectKeyIdentifier
    ours, theirs = (
        certificate.extensions.get_extension_for_class(kind)
        for certificate in (namesake, real_chain)
    )
    assert ours == theirs
    assert namesake.public_key() != real_chain.public_key()
    assert _linked([leaf, namesake, forged.pki.rogue.x509])


def test_switch_reaches_the_pinned_root_through_a_leaf() -> None:
    forged = Forged("non-ca-switch")
    assert problem(forged.step, forged.pki, HOST) == "invalid CA certificate"
    _is_a_switch(forged, *forged.chain)


def test_the_same_switch_comes_last() -> None:
    forged = Forged("non-ca-switch-last")
    leaf, attacker, switch, intermediate = forged.chain
    _is_a_switch(forged, leaf, switch, intermediate, attacker)


def _is_a_switch(forged: Forged, *chain: x509.Certificate) -> None:
    leaf, switch, intermediate, attacker = chain
    assert intermediate == forged.pki.intermediate.x509
    assert _linked([leaf, switch, intermediate, forged.pki.root.x509])
    assert _linked([leaf, attacker, forged.pki.rogue.x509])
    assert switch.public_key() == attacker.public_key()
    assert [_constraints(certificate).ca for certificate in (switch, attacker)] == [False, True]


@pytest.mark.peer("openssl")
def test_bridge_reaches_the_pinned_root_with_one_intermediate_too_many() -> None:
    forged = Forged("pathlen-split")
    leaf, bridge, last, intermediate = forged.chain
    assert _linked([leaf, bridge, last, intermediate, forged.pki.root.x509])
    assert _linked([leaf, forged.pki.rogue.x509])
    assert bridge.public_key() == forged.pki.rogue.x509.public_key()
    assert _constraints(last).path_length == 0
    assert [_constraints(certificate).ca for certificate in (bridge, last, intermediate)] == [
        True
    ] * 3
    # If OpenSSL is forced to take that path, it finds no other problem.
    assert forged.openssl() == "path length constraint exceeded"
