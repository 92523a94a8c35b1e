"""Cases of legitimate changes: each chain is valid, and an inflexible client wrongly refuses it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certpin import PinnedSSLContext
from certpin.lab.case import Expect
from certpin.lab.client import Call, Command
from certpin.lab.pki import Style
from certpin.lab.verdict import Outcome, Verdict
from certpin.pins import Pin
from certpin.x509 import Certificate
from tests.kit import pin_set, policy
from tests.lab._clients import BY_NAME, request, run_case, trusting
from tests.lab.attacks._broken import checking, leaf
from tests.lab.attacks._forged import Forged

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from cryptography import x509

    from certpin.lab.target import Target

pytestmark = pytest.mark.slow  # whole runs; test_matrix.py is quick

ROTATIONS = [name for name in BY_NAME if name.startswith("rot-")]


@pytest.mark.peer("openssl")
@pytest.mark.parametrize("name", ROTATIONS)
def test_every_change_is_honest(name: str) -> None:
    """OpenSSL verifies strictly at a high security level, including the name and the dates."""
    assert Forged(name).openssl("-auth_level", "2") == ""


@pytest.mark.parametrize("name", ROTATIONS)
def test_the_leaf_has_a_pinned_key_unless_the_case_says_otherwise(name: str) -> None:
    forged = Forged(name)
    der = forged.leaf.public_bytes(Encoding.DER)
    assert (_pin(der) in _pins(forged)) is (name != "rot-new-key-pinned-ca")


def _pins(forged: Forged) -> set[Pin]:
    assert forged.pki.pins
    return {pin.pin for pin in forged.pki.pins.policies[0].pins}


def _pin(der: bytes) -> Pin:
    return Pin.of_key(Certificate.from_der(der).spki_sha256)


def test_the_renewal_is_another_certificate_of_the_same_key() -> None:
    forged = Forged("rot-renewed-same-key")
    assert forged.has_the_pinned_key
    assert forged.leaf != forged.pki.leaf.chain[0]


def test_the_new_intermediate_is_not_pinned_and_its_root_is() -> None:
    forged = Forged("rot-new-intermediate", style=Style.CA)
    assert _pin(forged.chain[1].public_bytes(Encoding.DER)) not in _pins(forged)
    assert forged.pki.root.pin in _pins(forged)


def test_both_key_types_are_served_and_pinned() -> None:
    elliptic, rivest = (Forged(f"rot-dual-{kind}") for kind in ("ecdsa", "rsa"))
    assert isinstance(elliptic.leaf.public_key(), ec.EllipticCurvePublicKey)
    assert isinstance(rivest.leaf.public_key(), rsa.RSAPublicKey)
    assert isinstance(rivest.chain[1].public_key(), rsa.RSAPublicKey)


def test_pins_on_the_leaf_refuse_a_new_key() -> None:
    expected = BY_NAME["rot-new-key-pinned-ca"].expected
    assert expected.of(Style.LEAF) is Expect.REJECT
    assert expected.of(Style.CA) is Expect.ACCEPT
    unpinned = Call(lambda target: request(target, trusting(target)))
    assert run_case("rot-new-key-pinned-ca", unpinned, Style.LEAF).outcome is Outcome.WRONG


def _first_seen(of: Callable[[x509.Certificate], object]) -> Call:
    """Return a client that stores a property of the first leaf it receives, and refuses any other.

    ``of`` returns that property of a certificate.
    """
    seen: list[object] = []

    def same(_: Target, tls: ssl.SSLSocket) -> bool:
        seen.append(of(leaf(tls)))
        return seen[-1] == seen[0]

    return checking(same, trusting)


def _whole(certificate: x509.Certificate) -> bytes:
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()


@pytest.mark.parametrize(
    "name", ["rot-renewed-same-key", "rot-backup-live", "rot-dual-ecdsa", "rot-dual-rsa"]
)
def test_a_pin_on_the_whole_certificate_breaks(name: str) -> None:
    result = run_case(name, _first_seen(_whole), Style.LEAF)
    assert (result.verdict, result.outcome) == (Verdict.REJECT, Outcome.WRONG)


def test_a_pin_on_the_issuers_name_breaks() -> None:
    def outcome(name: str) -> Outcome:
        return run_case(name, _first_seen(lambda leaf: leaf.issuer), Style.NONE).outcome

    assert outcome("rot-new-intermediate") is Outcome.WRONG
    assert outcome("rot-renewed-same-key") is Outcome.RIGHT


def test_single_key_pin_breaks_with_declared_authority_pins() -> None:
    def outcome(name: str) -> Outcome:
        return run_case(name, _first_seen(lambda leaf: leaf.public_key()), Style.CA).outcome

    assert outcome("rot-new-key-pinned-ca") is Outcome.WRONG
    assert outcome("rot-renewed-same-key") is Outcome.RIGHT


def _first_pin_only(target: Target) -> str:
    context = PinnedSSLContext(pin_set(policy(target.host, Pin.parse(target.pin))))
    context.load_verify_locations(target.ca)
    return request(target, context)


@pytest.mark.parametrize(
    ("name", "style"),
    [
        ("rot-backup-live", Style.LEAF),
        ("rot-dual-rsa", Style.LEAF),
        ("rot-new-intermediate", Style.CA),
    ],
)
def test_a_client_that_forgot_the_second_pin_breaks(name: str, style: Style) -> None:
    result = run_case(name, Call(_first_pin_only), style)
    assert (result.verdict, result.outcome) == (Verdict.REJECT, Outcome.WRONG)


# SubjectPublicKeyInfo of P-256 up to the point (RFC 5480), which some clients prepend to every key.
_HEADER = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")


def _header_of_one_kind(target: Target, tls: ssl.SSLSocket) -> bool:
    key = leaf(tls).public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        bits = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    else:
        bits = key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    found = Pin("sha256", hashlib.sha256(_HEADER + bits).digest())
    return str(found) in {target.pin, target.backup}


@pytest.mark.peer("curl")
@pytest.mark.parametrize("name", ["rot-backup-live", "rot-dual-rsa"])
def test_a_client_that_offers_only_ecdsa_does_not_refuse_an_rsa_key(name: str) -> None:
    words = ("--tls-max", "1.2", "--ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256")
    curl = Command(("curl", "-sS", *words, "--pinnedpubkey", "{pinnedpubkey}", "{url}"))
    result = run_case(name, curl, Style.LEAF)
    assert (result.verdict, result.outcome) == (None, Outcome.NOT_RUN)
    assert "(RSA 2048) have no TLS parameters in common: no shared cipher" in result.why


def test_fixed_header_of_one_key_type_breaks_with_the_other() -> None:
    client = checking(_header_of_one_kind, trusting)
    assert run_case("rot-dual-ecdsa", client, Style.LEAF).outcome is Outcome.RIGHT
    assert run_case("rot-dual-rsa", client, Style.LEAF).outcome is Outcome.WRONG
