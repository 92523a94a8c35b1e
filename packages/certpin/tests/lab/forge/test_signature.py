"""A certificate that is signed again with another digest is valid and otherwise unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from certpin.lab import Authority
from certpin.lab.forge import break_signature, resign
from certpin.lab.forge.der import put_together, take_apart

if TYPE_CHECKING:
    from cryptography import x509

RSA = rsa.generate_private_key(65537, 2048)


def _verify(
    certificate: x509.Certificate, key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey
) -> None:
    digest = certificate.signature_hash_algorithm
    assert digest
    signature, message = certificate.signature, certificate.tbs_certificate_bytes
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, message, padding.PKCS1v15(), digest)
    else:
        key.verify(signature, message, ec.ECDSA(digest))


@pytest.mark.parametrize("digest", [hashes.MD5(), hashes.SHA1(), hashes.SHA256()])
def test_resign_with_rsa(digest: hashes.HashAlgorithm) -> None:
    leaf = Authority("RSA", key=RSA).issue("a.example").chain[0]
    weak = resign(leaf, RSA, digest)
    assert weak.signature_hash_algorithm is not None
    assert weak.signature_hash_algorithm.name == digest.name
    _verify(weak, RSA.public_key())
    assert _unsigned(weak) == _unsigned(leaf)


@pytest.mark.parametrize("digest", [hashes.SHA1(), hashes.SHA256()])
def test_resign_with_ecdsa(digest: hashes.HashAlgorithm) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = Authority("ECDSA", key=key).issue("a.example").chain[0]
    weak = resign(leaf, key, digest)
    _verify(weak, key.public_key())
    assert _unsigned(weak) == _unsigned(leaf)


def _unsigned(certificate: x509.Certificate) -> tuple[object, ...]:
    names = certificate.subject, certificate.issuer, certificate.serial_number
    dates = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return (*names, *dates, certificate.public_key(), *certificate.extensions)


def test_resign_refuses_other_digests() -> None:
    leaf = Authority("RSA", key=RSA).issue("a.example").chain[0]
    with pytest.raises(KeyError, match="blake2"):
        resign(leaf, RSA, hashes.BLAKE2b(64))


@pytest.mark.parametrize("key", [RSA, ec.generate_private_key(ec.SECP384R1())], ids=["RSA", "EC"])
def test_broken_signature_is_valid_der(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
) -> None:
    root = Authority("Root", key=key)
    broken = break_signature(root.issue("a.example").chain[0])
    with pytest.raises(InvalidSignature):
        _verify(broken, key.public_key())


def test_parsed_certificate_is_rebuilt_unchanged() -> None:
    chain = Authority("Root").intermediate("Intermediate").issue("a.example", "192.0.2.1").chain
    for certificate in chain:
        again = put_together(take_apart(certificate))
        assert again.public_bytes(Encoding.DER) == certificate.public_bytes(Encoding.DER)
