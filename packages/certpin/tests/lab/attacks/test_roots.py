"""Cases of changed roots and post-quantum keys: their chains and trust stores are as declared."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from certpin.lab.attacks import CASES
from certpin.lab.attacks.post_quantum import POST_QUANTUM
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from certpin.lab.runner import prove
from certpin.lab.verdict import Outcome, Verdict
from tests.lab._clients import BY_NAME, MAKES_ML_DSA, right_client, run_case
from tests.lab.attacks._forged import Forged
from tests.lab.gallery._gallery import broken

if TYPE_CHECKING:
    from certpin.lab.runner import Result

pytestmark = pytest.mark.medium

ADDED = [case for case in CASES if case.anchors]


def test_the_cross_sign_has_expired_and_the_root_it_certifies_has_not() -> None:
    forged = Forged("rot-cross-sign-expired")
    cross = forged.chain[-1]
    assert cross.not_valid_before_utc < cross.not_valid_after_utc < forged.pki.now
    assert cross.subject == forged.pki.root.subject != cross.issuer
    assert cross.public_key() == forged.pki.root.key.public_key()
    assert forged.chain[:-1] == list(forged.pki.leaf.chain)


def test_only_the_root_above_the_cross_sign_has_expired() -> None:
    forged = Forged("rot-cross-signer-expired")
    cross, signer = forged.chain[-2:]
    cross.verify_directly_issued_by(signer)
    assert signer.issuer == signer.subject
    assert signer.not_valid_after_utc < forged.pki.now < cross.not_valid_after_utc
    assert cross.public_key() == forged.pki.root.key.public_key()


def test_one_key_is_self_signed_in_the_store_and_cross_signed_in_the_chain() -> None:
    forged = Forged("rot-root-cross-signed-too")
    case = BY_NAME["rot-root-cross-signed-too"]
    assert case.anchors is not None
    (anchor,) = case.anchors(forged.pki)
    sent = forged.chain[-1]
    assert sent.public_key() == anchor.key.public_key()
    assert sent.subject == anchor.subject == anchor.x509.issuer
    sent.verify_directly_issued_by(forged.pki.root.x509)


def test_the_added_anchor_is_the_intermediate_that_the_server_sends() -> None:
    forged = Forged("rot-intermediate-became-anchor")
    case = BY_NAME["rot-intermediate-became-anchor"]
    assert case.anchors is not None
    (anchor,) = case.anchors(forged.pki)
    assert forged.chain == list(forged.pki.leaf.chain)
    assert anchor.x509 == forged.chain[1]
    assert anchor.subject != anchor.x509.issuer, "it is not self-signed"


def test_the_renewed_certificate_has_the_same_key_and_hardly_anything_else() -> None:
    forged = Forged("rot-renewed-other-extensions")
    before = {extension.oid for extension in forged.pki.leaf.chain[0].extensions}
    after = {extension.oid for extension in forged.leaf.extensions}
    assert forged.has_the_pinned_key
    assert before - after
    assert after - before
    assert list(forged.leaf.subject) == []
    san = forged.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert san.critical, "RFC 5280 section 4.1.2.6"


def test_the_namesake_has_the_name_of_the_root_and_another_key() -> None:
    authorities = Forged("rot-roots-of-one-name").pki.authorities
    assert authorities.namesake.subject == authorities.root.subject
    assert authorities.namesake.pin != authorities.root.pin


@pytest.mark.parametrize("case", ADDED, ids=lambda case: case.name)
def test_the_added_authorities_come_before_the_roots_in_the_trust_store(case: object) -> None:
    case = BY_NAME[getattr(case, "name", "")]
    assert case.anchors is not None
    with Lab() as lab:
        server = lab.case_server(case)
        target = server.open()
        server.close()
        pki = lab.pki(lab.host)
        added = b"".join(authority.pem for authority in case.anchors(pki))
        assert target.ca.read_bytes() == added + lab.authorities.trusted_pem
        assert target.truststore.is_file()
        assert target.client_certificate.is_file()
        control = lab.case_server(BY_NAME["expired"])
        assert control.open().ca.read_bytes() == lab.authorities.trusted_pem
        control.close()


def _expected(result: Result, outcome: Outcome) -> bool:
    """Return True if the result has this outcome.

    If cryptography or OpenSSL has no ML-DSA, the case must not have run for that reason instead.
    """
    if MAKES_ML_DSA:
        return result.outcome is outcome
    old = ssl.OPENSSL_VERSION_INFO < (3, 5)
    reason = "this Python's OpenSSL has no ML-DSA" if old else "makes no ML-DSA keys"
    return result.outcome is Outcome.NOT_RUN and reason in result.why


@pytest.fixture
def old_openssl(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process seem to have OpenSSL 3.0, that of Debian 12."""
    monkeypatch.setattr(ssl, "OPENSSL_VERSION_INFO", (3, 0, 0, 20, 0))


@pytest.mark.parametrize("style", Style)
@pytest.mark.usefixtures("old_openssl")
def test_an_openssl_without_ml_dsa_serves_no_post_quantum_key(style: Style) -> None:
    for case in POST_QUANTUM:
        result = run_case(case.name, right_client(style), style)
        assert result.outcome is Outcome.NOT_RUN
        assert result.why.startswith("this Python's OpenSSL has no ML-DSA")


@pytest.mark.parametrize("style", Style)
def test_a_post_quantum_authority_is_no_finding(style: Style) -> None:
    assert _expected(run_case("ml-dsa-authority", right_client(style), style), Outcome.RIGHT)


def test_pins_refuse_an_attacker_with_a_post_quantum_key() -> None:
    assert _expected(run_case("rogue-ml-dsa", right_client(Style.LEAF), Style.LEAF), Outcome.RIGHT)


def test_a_client_that_accepts_keys_that_it_does_not_know_is_caught() -> None:
    """The lab catches such a client if its OpenSSL offers ML-DSA; otherwise the handshake fails."""
    with Lab() as lab:
        case = BY_NAME["rogue-ml-dsa"]
        result = prove(lab, broken("unknown_keys_accepted"), [case]).results[1]
    if result.verdict is Verdict.REJECT:
        assert MAKES_ML_DSA
        assert not any(seen.secured for seen in result.attempts[0].connections)
    else:
        assert _expected(result, Outcome.WRONG)
