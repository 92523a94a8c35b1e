"""Honest chains with the same key: cross-signed, in another order, or with extra certificates."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from certpin.lab.pki import Style
from certpin.lab.verdict import Outcome, Verdict
from certpin.pins import Pin
from certpin.x509 import Certificate
from certpin.x509.openssl import verified_chain
from tests.lab._clients import pinned, run_case, trusting
from tests.lab.attacks._broken import checking, served
from tests.lab.attacks._forged import Forged

if TYPE_CHECKING:
    import ssl

    from certpin.lab.client import Call
    from certpin.lab.target import Target

pytestmark = pytest.mark.slow  # whole runs; test_matrix.py is quick

PATHS = [
    "rot-cross-signed",
    "rot-order-reordered",
    "rot-order-root-sent",
    "rot-order-extra-certificate",
]


def test_the_cross_signed_path() -> None:
    forged = Forged("rot-cross-signed")
    leaf, above, bridge = forged.chain
    pki = forged.pki
    assert forged.has_the_pinned_key
    assert above.public_key() == pki.intermediate.x509.public_key()
    assert above.subject == pki.intermediate.subject == leaf.issuer
    assert above.issuer == bridge.subject != pki.root.subject
    assert bridge.issuer == pki.root.subject
    bridge.verify_directly_issued_by(pki.root.x509)
    above.verify_directly_issued_by(bridge)


def test_the_new_root_is_in_no_store() -> None:
    forged = Forged("rot-cross-signed")
    authorities = forged.pki.authorities
    name = forged.chain[-1].subject
    assert name not in {authorities.root.subject, authorities.rogue.subject}
    assert forged.chain[-1].public_bytes(Encoding.PEM) not in authorities.trusted_pem


def test_order_of_sent_certificates() -> None:
    leaf, first, second = Forged("rot-order-reordered").chain
    leaf.verify_directly_issued_by(second)
    second.verify_directly_issued_by(first)
    with pytest.raises(ValueError, match="issuer"):
        leaf.verify_directly_issued_by(first)
    sent = Forged("rot-order-root-sent")
    assert sent.chain == [*sent.pki.leaf.chain, sent.pki.root.x509]
    extra = Forged("rot-order-extra-certificate")
    assert extra.chain == [*extra.pki.leaf.chain, extra.pki.second_intermediate.x509]


@pytest.mark.parametrize(
    ("name", "length"),
    [("rot-cross-signed", 4), ("rot-order-reordered", 4), ("rot-order-extra-certificate", 3)],
)
def test_openssl_verifies_that_path(name: str, length: int) -> None:
    lengths: list[int] = []

    def look(_: Target, tls: ssl.SSLSocket) -> bool:
        raw: Any = tls._sslobj  # type: ignore[attr-defined]
        lengths.append(len(verified_chain(raw)))
        return True

    assert run_case(name, checking(look, trusting), Style.NONE).outcome is Outcome.RIGHT
    assert lengths == [3, length, 3], "the control comes first and last"


def _counts(_: Target, tls: ssl.SSLSocket) -> bool:
    return len(served(tls)) == 2


def _each_by_the_next(_: Target, tls: ssl.SSLSocket) -> bool:
    try:
        for certificate, issuer in itertools.pairwise(served(tls)):
            certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError):
        return False
    return True


def _by_place(target: Target, tls: ssl.SSLSocket) -> bool:
    """Return True if the last certificate that the server sent has the target's pin."""

    last = served(tls)[-1].public_bytes(Encoding.DER)
    return str(Pin.of_key(Certificate.from_der(last).spki_sha256)) == target.pin


@pytest.mark.parametrize("name", PATHS)
def test_a_client_that_counts_certificates_breaks(name: str) -> None:
    assert _result(name, _counts) == (Verdict.REJECT, Outcome.WRONG)


@pytest.mark.parametrize("name", ["rot-order-reordered", "rot-order-extra-certificate"])
def test_a_client_that_needs_their_order_breaks(name: str) -> None:
    assert _result(name, _each_by_the_next) == (Verdict.REJECT, Outcome.WRONG)
    assert _result("rot-order-root-sent", _each_by_the_next)[1] is Outcome.RIGHT


@pytest.mark.parametrize("name", ["rot-cross-signed", "rot-order-root-sent"])
def test_a_client_that_looks_for_the_pin_by_place_breaks(name: str) -> None:
    assert _result(name, _by_place) == (Verdict.REJECT, Outcome.WRONG)


def _result(name: str, check: Any) -> tuple[Verdict | None, Outcome]:
    result = run_case(name, checking(check, trusting), Style.CA)
    return result.verdict, result.outcome


def test_a_client_with_a_limit_of_depth_breaks() -> None:
    def shallow(target: Target, tls: ssl.SSLSocket) -> bool:
        raw: Any = tls._sslobj  # type: ignore[attr-defined]
        return len(verified_chain(raw)) <= 3

    client: Call = checking(shallow, pinned)
    assert run_case("rot-cross-signed", client, Style.CA).outcome is Outcome.WRONG
