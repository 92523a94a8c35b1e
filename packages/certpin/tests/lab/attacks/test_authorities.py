"""Cases of untrusted authorities: each chain has the flaw of its case, and no other."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certpin.lab.attacks.authorities import AUTHORITIES
from certpin.lab.attacks.chains import CHAINS
from certpin.lab.attacks.protocols import PROTOCOLS
from certpin.lab.attacks.signatures import SIGNATURES
from certpin.lab.authority import Authority
from certpin.lab.case import CannotServeError
from certpin.lab.forge import ForgedRoot, mismatched_key_pem
from certpin.lab.forge.curve import PRIME, A, B
from certpin.lab.pki import Authorities, Style, TestPKI
from certpin.lab.scenario import ServerStep, TLSSettings
from certpin.lab.upstream import Upstream, UpstreamPKI
from certpin.x509 import Chain
from tests.lab.attacks._curve import holds
from tests.lab.attacks._forged import HOST, Forged
from tests.lab.attacks._memory import handshake, problem, trusting, verified

if TYPE_CHECKING:
    from certpin.lab.case import Case

MINE = (*AUTHORITIES, *SIGNATURES, *CHAINS, *PROTOCOLS)

PROBLEM = {
    "self-signed": "self-signed certificate",
    "untrusted-ca": "unable to get local issuer certificate",
    "rogue-ca-in-store": "",
    "same-ca-new-key": "",
    "fake-ca-same-name": "certificate signature failure",
    "fake-ca-genuine-shown": "certificate signature failure",
    "leaf-as-ca": "invalid CA certificate",
    "bad-signature-leaf": "certificate signature failure",
    "bad-signature-intermediate": "certificate signature failure",
    "replaced-key": "certificate signature failure",
    "explicit-curve-ca": "certificate signature failure",
    "stolen-certificate-tls12": "BAD_SIGNATURE",
    "stolen-certificate-tls13": "BAD_SIGNATURE",
}


@pytest.mark.parametrize("name", PROBLEM)
def test_openssl_names_the_problem(name: str) -> None:
    forged = Forged(name)
    assert problem(forged.step, forged.pki, HOST) == PROBLEM[name]
    assert forged.dns_names == [HOST]


@pytest.mark.parametrize("name", [name for name, said in PROBLEM.items() if not said])
def test_the_chain_ends_at_the_root_that_signed(name: str) -> None:
    forged = Forged(name)
    root = forged.pki.rogue if name == "rogue-ca-in-store" else forged.pki.root
    assert verified(forged.step, forged.pki, HOST)[-1] == root.certificate.der


def test_fake_chain_copies_everything_except_the_keys() -> None:
    forged = Forged("fake-ca-same-name")
    leaf, intermediate, root = forged.chain
    leaf.verify_directly_issued_by(intermediate)
    intermediate.verify_directly_issued_by(root)
    root.verify_directly_issued_by(root)
    real_chain = (*forged.pki.real_chain, forged.pki.root.x509)
    for copy, original in zip(forged.chain, real_chain, strict=True):
        assert (copy.subject, copy.issuer) == (original.subject, original.issuer)
        assert copy.public_key() != original.public_key()
        kind = x509.SubjectKeyIdentifier
        identifier = original.extensions.get_extension_for_class(kind)
        assert copy.extensions.get_extension_for_class(kind) == identifier


def test_real_issuer_is_sent_instead_of_the_fake_one() -> None:
    forged = Forged("fake-ca-genuine-shown")
    leaf, shown = forged.chain
    assert shown == forged.pki.real_chain[1]
    assert leaf.issuer == shown.subject
    with pytest.raises(InvalidSignature):
        leaf.verify_directly_issued_by(shown)


def test_signing_leaf_is_the_honest_leaf() -> None:
    forged = Forged("leaf-as-ca")
    assert forged.chain[1:] == list(forged.pki.leaf.chain)
    forged.leaf.verify_directly_issued_by(forged.chain[1])


@pytest.mark.parametrize(("name", "place"), [("leaf", 0), ("intermediate", 1)])
def test_a_bad_signature_differs_in_one_bit(name: str, place: int) -> None:
    forged = Forged(f"bad-signature-{name}")
    real_chain = [certificate.public_bytes(Encoding.DER) for certificate in forged.pki.real_chain]
    differing = [at for at, der in enumerate(forged.step.chain) if der != real_chain[at]]
    assert differing == [place]
    changed = int.from_bytes(forged.step.chain[place]) ^ int.from_bytes(real_chain[place])
    assert changed.bit_count() == 1
    bad, good = forged.chain[place], forged.pki.real_chain[place]
    assert bad.tbs_certificate_bytes == good.tbs_certificate_bytes
    assert forged.step.key_pem == forged.pki.leaf.key_pem


def test_replaced_key_is_the_only_change() -> None:
    forged = Forged("replaced-key")
    leaf, real_chain = forged.leaf, forged.pki.real_chain[0]
    assert leaf.signature == real_chain.signature
    assert leaf.public_key() != real_chain.public_key()
    assert leaf.tbs_certificate_bytes.replace(_spki(leaf), _spki(real_chain)) == (
        real_chain.tbs_certificate_bytes
    )


def _spki(certificate: x509.Certificate) -> bytes:
    key = certificate.public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("name", ["stolen-certificate-tls12", "stolen-certificate-tls13"])
def test_stolen_certificate_is_the_real_one(name: str) -> None:
    forged = Forged(name)
    assert tuple(forged.chain) == forged.pki.real_chain
    # With its own key, the same step is valid.
    assert problem(forged.step.but(key_pem=forged.pki.leaf.key_pem), forged.pki, HOST) == ""


@pytest.mark.parametrize("name", ["stolen-certificate-tls12", "stolen-certificate-tls13"])
def test_handshake_signature_fails_even_without_chain_verification(name: str) -> None:
    """OpenSSL verifies the handshake's signature even for a client that verifies no chain."""
    forged = Forged(name)
    context = trusting(forged.pki)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with pytest.raises(ssl.SSLError, match="BAD_SIGNATURE"):
        handshake(forged.step, context, HOST)


@pytest.mark.medium
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize(
    "key",
    [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())],
    ids=["RSA", "P-384"],
)
def test_certificates_with_other_key_types_are_stolen_too(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, version: str
) -> None:
    pki = TestPKI(Authorities(datetime.now(UTC)), HOST, "cdn.bank.example", Style.LEAF)
    step = ServerStep.of(
        pki.intermediate.issue(HOST, key=key), settings=TLSSettings(oldest=version, newest=version)
    )
    assert problem(step, pki, HOST) == ""
    stolen = step.but(key_pem=mismatched_key_pem(key.public_key()))
    assert "SIGNATURE" in problem(stolen, pki, HOST)


@pytest.mark.medium
def test_a_forged_curve_signs_with_the_roots_own_point() -> None:
    forged = Forged("explicit-curve-ca")
    leaf, root = forged.chain
    real_chain = forged.pki.root.x509
    assert (root.subject, root.serial_number) == (real_chain.subject, real_chain.serial_number)
    key = real_chain.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    public = key.public_numbers().x, key.public_numbers().y
    assert key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint) in (
        root.tbs_certificate_bytes
    )
    assert holds(leaf, public, generator=public)
    assert holds(root, public, generator=public)
    true_generator = ec.derive_private_key(1, ec.SECP256R1()).public_key().public_numbers()
    assert not holds(leaf, public, (true_generator.x, true_generator.y))
    assert holds(real_chain, public, (true_generator.x, true_generator.y))


def test_forged_curve_differs_only_in_the_generator() -> None:
    point = ec.derive_private_key(1, ec.SECP256R1()).public_key().public_numbers()
    assert (point.y**2 - point.x**3 - A * point.x - B) % PRIME == 0
    root = Forged("explicit-curve-ca").chain[1]
    with pytest.raises(UnsupportedAlgorithm, match="explicit parameters"):
        root.public_key()


def test_only_a_root_on_p256_is_forged() -> None:
    other = Authority("On P-384", key=ec.generate_private_key(ec.SECP384R1()))
    with pytest.raises(ValueError, match="P-256"):
        _ = ForgedRoot(other.x509).certificate


def test_cases_that_need_no_key_work_with_public_chains() -> None:
    """With only a real server's public chain, all but the listed cases of ``MINE`` can run."""
    authorities = Authorities(datetime.now(UTC))
    chain = authorities.intermediate.issue(HOST).chain
    served = Chain.from_der([certificate.public_bytes(Encoding.DER) for certificate in chain])
    upstream = Upstream(("127.0.0.1", 1), served, authorities.root.pem)
    pki = UpstreamPKI(authorities, HOST, "cdn.bank.example", Style.LEAF, upstream)
    assert {case.name for case in MINE if not _plays(case, pki)} == {
        "same-ca-new-key",
        "leaf-as-ca",
        "bad-signature-leaf",
        "bad-signature-intermediate",
        "explicit-curve-ca",
        "non-ca-switch",
        "non-ca-switch-last",
        "pathlen-split",
        "old-tls",
        "weak-suite",
    }


def _plays(case: Case, pki: TestPKI) -> bool:
    try:
        return bool(case.scenario(pki).first)
    except CannotServeError:
        return False
