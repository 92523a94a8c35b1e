"""A path is refused exactly if OpenSSL refuses it, in a real handshake."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from certpin.lab import Authority
from certpin.lab.authority import new_rsa_key
from certpin.x509 import Certificate
from certpin.x509.certificate import read_certificates
from certpin.x509.openssl import trust_alone
from certpin.x509.validation import path_fault
from tests.x509._authorities import (
    CHAINS,
    HOST,
    ISSUER_FLAWS,
    LEAF_FLAWS,
    ROOT_FLAWS,
    all_of,
    basic,
    changed,
    refusal_of_openssl,
    valid,
    without,
)
from tests.x509._openssl import openssl

if TYPE_CHECKING:
    from certpin.lab import Identity
    from certpin.x509.validation import PathFault

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
_OLD_ROOT = "[req]\ndistinguished_name=dn\nprompt=no\n[dn]\nCN=Old Root\n"
_EXPLICIT_ROOT = """[req]
distinguished_name=dn
x509_extensions=v3
prompt=no
[dn]
CN=Root
[v3]
basicConstraints=critical,CA:TRUE
keyUsage=critical,digitalSignature,keyCertSign
subjectKeyIdentifier=hash
subjectAltName=DNS:api.bank.example
"""
# sha256WithRSAEncryption and sha1WithRSAEncryption (RFC 8017 appendix A.2.4).
_SHA256_RSA, _SHA1_RSA = (bytes.fromhex(f"2a864886f70d0101{last}") for last in ("0b", "05"))
_P256 = bytes.fromhex("2a8648ce3d030107")  # secp256r1 (RFC 5480 section 2.1.1.1)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("name", CHAINS)
def test_a_path_has_a_fault_if_openssl_refuses_it(name: str, strict: bool, tmp_path: Path) -> None:
    identity, root = CHAINS[name]()
    fault = assert_like_openssl(identity, root, strict, tmp_path)
    if fault is not None:
        tolerated = path_fault(path_of(identity, root), NOW, NOW) is None
        assert ("strict_x509 = false" in fault.fix) == tolerated


def assert_like_openssl(
    identity: Identity, root: Authority, strict: bool, folder: Path
) -> PathFault | None:
    """Assert that a path has a fault if OpenSSL refuses it, and return the fault."""
    refusal = refusal_of_openssl(identity, trust_alone([root.certificate], strict=strict), folder)
    now = datetime.now(UTC)
    fault = path_fault(path_of(identity, root), now, now, strict=strict)
    assert (fault is not None) == bool(refusal), (refusal, fault)
    return fault


def path_of(identity: Identity, root: Authority) -> list[Certificate]:
    sent = read_certificates(identity.chain_pem)
    return list(dict.fromkeys((*sent, root.certificate)))


@pytest.mark.medium
@given(st.data())
@settings(max_examples=60)
def test_several_flaws_at_once_are_judged_as_openssl_does(data: st.DataObject) -> None:
    """Flaws of the leaf, its issuer and the root, together in one chain."""
    of_root, of_issuer, of_leaf = (
        data.draw(st.sampled_from(flaws)) for flaws in (ROOT_FLAWS, ISSUER_FLAWS, LEAF_FLAWS)
    )
    root = Authority("Root", change=of_root)
    identity = root.intermediate("Issuer", change=of_issuer).issue(HOST, change=of_leaf)
    with TemporaryDirectory() as folder:
        assert_like_openssl(identity, root, data.draw(st.booleans()), Path(folder))


def test_a_root_of_version_1_is_an_authority_and_an_intermediate_is_not(tmp_path: Path) -> None:
    (tmp_path / "old.cnf").write_text(_OLD_ROOT)
    made = openssl(
        *("req", "-x509", "-x509v1", "-newkey", "rsa:2048", "-nodes", "-keyout", "-"),
        *("-config", tmp_path / "old.cnf"),
    )
    root = Authority.load(made, NOW)
    assert root.x509.version is x509.Version.v1
    identity = root.intermediate("Issuer").issue(HOST)
    assert assert_like_openssl(identity, root, False, tmp_path) is None
    assert assert_like_openssl(identity, root, True, tmp_path) is not None
    fault = path_fault([identity.certificate, root.certificate], NOW + DAY, NOW, is_whole=False)
    assert fault is not None
    assert "has no basicConstraints" in fault.problem


@pytest.mark.parametrize("strict", [False, True])
def test_an_ec_key_with_explicit_curve_parameters_is_refused(strict: bool, tmp_path: Path) -> None:
    (tmp_path / "root.cnf").write_text(_EXPLICIT_ROOT)
    made = openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
        *("-pkeyopt", "ec_param_enc:explicit", "-nodes", "-keyout", "-"),
        *("-config", tmp_path / "root.cnf"),
    )
    root = Authority.load(made, NOW)
    fault = assert_like_openssl(root.issue(HOST), root, strict, tmp_path)
    assert fault is not None
    assert "explicit curve parameters" in fault.problem
    assert "strict_x509" not in fault.fix
    alone = replace(root.issue(HOST), key=root.key, chain=(root.x509,))
    assert assert_like_openssl(alone, root, strict, tmp_path) is None


def test_a_signature_with_sha1_is_a_fault_below_the_root_only() -> None:
    """Only the digest's OID is changed: the signature is not valid, and not verified here."""
    root = Authority("Root", key=new_rsa_key())
    old = Authority("Old", issuer=root)
    der = old.certificate.der.replace(_SHA256_RSA, _SHA1_RSA)
    path = [old.issue(HOST).certificate, Certificate.from_der(der)]
    fault = path_fault([*path, root.certificate], NOW, NOW)
    assert fault is not None
    assert "signed with SHA1" in fault.problem
    assert path_fault(path, NOW, NOW) is None


def test_a_fault_names_the_certificate_and_when_it_is_valid() -> None:
    root = Authority("Root", now=NOW)
    issuer = root.intermediate("Issuer", change=valid(9, 20))
    path = path_of(issuer.issue(HOST), root)
    fault = path_fault(path, NOW, NOW)
    assert fault is not None
    assert fault.certificate == issuer.certificate
    assert fault.valid_from == issuer.certificate.not_before
    assert fault.problem.startswith("the authority CN=Issuer in its chain is not valid before")
    assert fault.fix.startswith("wait, or ")
    assert path_fault(path, fault.valid_from, NOW) is None
    end = issuer.certificate.not_after
    assert path_fault(path, end, end - timedelta(seconds=1)) is None
    expired = path_fault(path, end, end)
    assert expired is not None
    assert (expired.certificate, expired.valid_from) == (issuer.certificate, None)


def test_the_leaf_may_be_unknown() -> None:
    root = Authority("Root")
    issuer = root.intermediate("Issuer", change=changed(basic(True, 0)))
    below = issuer.intermediate("Below")
    for first, is_good in ((issuer, True), (below, False)):
        path = path_of(first.issue(HOST), root)[1:]
        assert (path_fault(path, NOW, NOW, has_leaf=False) is None) == is_good
    leaf = root.issue(HOST)
    assert path_fault([leaf.certificate], NOW, NOW, has_leaf=False) is not None
    assert path_fault([leaf.certificate], NOW, NOW, is_whole=False) is None


def test_an_extension_that_cannot_be_read_is_a_fault() -> None:
    root = Authority("Root")
    junk = x509.UnrecognizedExtension(x509.KeyUsage.oid, b"\x30\x00")
    identity = root.issue(HOST, change=all_of(without(x509.KeyUsage), changed(junk)))
    fault = path_fault(path_of(identity, root), NOW, NOW)
    assert fault is not None
    assert "can't be read" in fault.problem


def test_a_repeated_extension_and_a_rare_name_are_faults() -> None:
    """`cryptography` raises errors of its own for them, which are no ``ValueError``."""
    root = Authority("Root")
    first, second = (
        x509.UnrecognizedExtension(x509.ObjectIdentifier(f"1.2.3.{each}"), b"\5\0")
        for each in (4, 5)
    )
    leaf = root.issue(
        HOST, change=lambda it: it.add_extension(first, False).add_extension(second, False)
    ).certificate
    # An ediPartyName with an empty partyName.
    party = x509.UnrecognizedExtension(
        x509.IssuerAlternativeName.oid, bytes.fromhex("3006a504a1020c00")
    )
    named = root.issue(HOST, change=changed(party, critical=False)).certificate
    one, two = bytes.fromhex("06032a0304"), bytes.fromhex("06032a0305")
    for der in (leaf.der.replace(two, one), named.der):
        fault = path_fault([Certificate.from_der(der), root.certificate], NOW, NOW)
        assert fault is not None
        assert "can't be read" in fault.problem


def test_an_algorithm_that_certpin_does_not_know_is_a_fault() -> None:
    """Only an OID is changed: of the curve of the key, or of the signature's algorithm."""
    root = Authority("Root", key=new_rsa_key())
    leaf = root.issue(HOST, key=ec.generate_private_key(ec.SECP256R1())).certificate
    of_key = leaf.der.replace(_P256, _P256[:-1] + b"\x7f")
    of_signature = leaf.der.replace(_SHA256_RSA, _SHA256_RSA[:-1] + b"\x7f")
    assert leaf.der not in {of_key, of_signature}
    for der in (of_key, of_signature):
        fault = path_fault([Certificate.from_der(der), root.certificate], NOW, NOW)
        assert fault is not None
        assert fault.problem == "the certificate has a key or a signature that certpin can't read"
    anchor = root.certificate.der.replace(_SHA256_RSA, _SHA256_RSA[:-1] + b"\x7f")
    assert path_fault([leaf, Certificate.from_der(anchor)], NOW, NOW) is None
