"""The verification of the signatures of a chain, whatever keys and names a hostile one has."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from certpin.x509 import chain
from certpin.x509.chain import Signature, chain_paths, signs, ways_up

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import (
        CertificateIssuerPrivateKeyTypes,
        CertificatePublicKeyTypes,
    )

NOW = datetime(2026, 11, 25, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(
    subject: str,
    issuer: str,
    key: CertificatePublicKeyTypes | None = None,
    signed_by: CertificateIssuerPrivateKeyTypes = KEY,
) -> bytes:
    """Return a certificate as DER. By default, it has the key ``KEY``, and is signed by it."""

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    builder = x509.CertificateBuilder(name(issuer), name(subject), key or KEY.public_key())
    builder = builder.serial_number(secrets.randbits(100) + 1)
    builder = builder.not_valid_before(NOW).not_valid_after(NOW + timedelta(days=90))
    return builder.sign(signed_by, hashes.SHA256()).public_bytes(Encoding.DER)


def _odd(bits: int) -> int:
    return secrets.randbits(bits) | 1 | 1 << (bits - 1)


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[chain.CertificateFacts]:
    """Return a list of the issuers whose keys have verified a signature, with an empty cache."""
    found: list[chain.CertificateFacts] = []
    real = chain._verify

    def verify(child: chain.CertificateFacts, issuer: chain.CertificateFacts) -> Signature:
        found.append(issuer)
        return real(child, issuer)

    monkeypatch.setattr(chain, "_verify", verify)
    monkeypatch.setattr(chain, "_RESULTS", chain._Results())
    return found


@pytest.mark.parametrize(
    ("exponent", "bits", "result"),
    [
        (65537, 2048, Signature.BAD),
        (2**31 - 1, 8192, Signature.BAD),
        (2**31 + 1, 2048, Signature.UNCHECKED),
        ((1 << 2046) + 1, 2048, Signature.UNCHECKED),
        (3, 8200, Signature.UNCHECKED),
    ],
    ids=["usual", "largest", "exponent", "hostile exponent", "modulus"],
)
def test_an_rsa_key_that_no_authority_has_verifies_nothing(
    exponent: int, bits: int, result: Signature
) -> None:
    """OpenSSL limits the exponent only if the modulus has more than 3072 bits."""
    key = rsa.RSAPublicNumbers(exponent, _odd(bits)).public_key()  # nothing has a valid signature
    issuer = certificate("CA", "Root", key)
    signer = rsa.generate_private_key(65537, 2048)
    (path, *_) = chain_paths((certificate("api.bank.example", "CA", signed_by=signer), issuer))
    assert path.certificates[0].above is result


@pytest.mark.parametrize(
    ("bits", "result"), [(3072, Signature.BAD), (4096, Signature.UNCHECKED)], ids=["3072", "4096"]
)
def test_a_dsa_key_is_limited_too(bits: int, result: Signature) -> None:
    p, q = _odd(bits), _odd(256)
    key = dsa.DSAPublicNumbers(5, dsa.DSAParameterNumbers(p, q, 2)).public_key()
    signer = dsa.generate_private_key(1024)
    leaf = certificate("api.bank.example", "CA", signed_by=signer)
    (path, *_) = chain_paths((leaf, certificate("CA", "Root", key)))
    assert path.certificates[0].above is result


@pytest.mark.parametrize("is_trusted", [True, False])
def test_a_large_key_of_the_users_own_authority_verifies(
    monkeypatch: pytest.MonkeyPatch, *, is_trusted: bool
) -> None:
    """Clients accept it: OpenSSL limits an RSA key to 16,384 bits."""
    monkeypatch.setattr(chain, "_MAX_RSA_BITS", 1024)
    large = rsa.generate_private_key(65537, 2048)
    root = certificate("Root", "Root", large.public_key(), large)
    leaf = certificate("api.bank.example", "Root", signed_by=large)
    trusted = (root,) if is_trusted else ()
    for _ in range(2):  # whatever is remembered
        path = chain_paths((leaf, root), trusted)[0]
        assert path.certificates[0].above == (Signature.GOOD if is_trusted else Signature.UNCHECKED)
        assert signs(root, leaf)
        assert ways_up(leaf, (root,), 9) == ((leaf, root),)


def test_the_first_valid_signature_ends_the_search(
    verified: list[chain.CertificateFacts],
) -> None:
    issuers = tuple(certificate("CA", "Root") for _ in range(12))
    path = chain_paths((certificate("api.bank.example", "CA"), *issuers))[0]
    assert [place.above for place in path.certificates] == [Signature.GOOD, Signature.MISSING]
    assert len(verified) == 1


def test_a_valid_signature_is_preferred_to_earlier_ones(
    verified: list[chain.CertificateFacts],
) -> None:
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    others = [certificate("CA", "Root", other) for _ in range(18)]
    right = certificate("CA", "Root")
    path = chain_paths((certificate("api.bank.example", "CA"), *others, right))[0]
    assert [place.facts for place in path.certificates][1:] == [chain.read_facts(right)]
    assert len(verified) == 19


def test_the_verifications_of_a_chain_are_limited_and_remembered(
    verified: list[chain.CertificateFacts],
) -> None:
    """Twenty certificates with two names, none of which signed another, make 100 pairs."""
    names = ("A", "B")
    keys = [ec.generate_private_key(ec.SECP256R1()).public_key() for _ in names]
    sent = tuple(
        certificate(names[number % 2], names[1 - number % 2], keys[number % 2])
        for number in range(20)
    )
    first = chain_paths(sent)
    assert len(verified) == 32
    assert {place.above for path in first for place in path.certificates} <= {
        *(Signature.BAD, Signature.UNCHECKED, Signature.MISSING),
    }
    assert chain_paths(sent) == first
    assert len(verified) == 32


def test_the_remembered_results_are_bounded(
    verified: list[chain.CertificateFacts], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain, "_MAX_RESULTS", 3)
    issuer = certificate("CA", "Root")
    leaves = [certificate(f"{number}.bank.example", "CA") for number in range(5)]
    assert all(signs(issuer, leaf) for leaf in leaves)
    assert len(chain._RESULTS._found) == 3
    assert all(signs(issuer, leaf) for leaf in reversed(leaves[2:]))
    assert len(verified) == 5
