"""The lab's authority issues chains that OpenSSL accepts, and can forge others."""

from __future__ import annotations

import os
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509 import verification

from certpin.lab import Authority, Identity
from certpin.pins import Pin
from certpin.x509 import Certificate
from certpin.x509.certificate import read_items
from certpin.x509.keys import PublicKey

if TYPE_CHECKING:
    from pathlib import Path

KEYS: dict[str, Any] = {
    "P-256": ec.generate_private_key(ec.SECP256R1()),
    "RSA": rsa.generate_private_key(65537, 2048),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
    "Ed448": ed448.Ed448PrivateKey.generate(),
}


def _chain_verifies(
    identity: Identity, root: Authority, name: x509.DNSName | x509.IPAddress
) -> None:
    """Verify a chain with `cryptography`, by RFC 5280 and the CA/B Forum's profile."""
    store = verification.Store([root.x509])
    builder = verification.PolicyBuilder().store(store).time(root.now)
    builder.build_server_verifier(name).verify(identity.chain[0], list(identity.chain[1:]))


def _openssl_says(identity: Identity, root: Authority, folder: Path, *options: str) -> str:
    (folder / "root.pem").write_bytes(root.pem)
    chain, _ = identity.write(folder)
    trust: list[str | Path] = [
        "-no-CApath",
        "-no-CAstore",
        "-CAfile",
        folder / "root.pem",
        "-untrusted",
        chain,
    ]
    command: list[str | Path] = ["openssl", "verify", "-x509_strict", *trust, *options, chain]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.peer("openssl")
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_its_chains_are_good_to_openssl(tmp_path: Path, depth: int) -> None:
    root = authority = Authority("Lab Root")
    for number in range(depth):
        authority = authority.intermediate(f"Lab Intermediate {number}")
    identity = authority.issue("lab.example", "192.0.2.1")
    assert len(identity.chain) == depth + 1
    for check in (["-verify_hostname", "lab.example"], ["-verify_ip", "192.0.2.1"]):
        assert _openssl_says(identity, root, tmp_path, *check).endswith("server.pem: OK\n")
    assert "hostname mismatch" in _openssl_says(
        identity, root, tmp_path, "-verify_hostname", "other.example"
    )
    stranger = Authority("Lab Root")
    assert "verification failed" in _openssl_says(identity, stranger, tmp_path)


@pytest.mark.parametrize("kind", ["P-256", "RSA"])
def test_its_chains_keep_the_rules_of_the_web(kind: str) -> None:
    root = Authority("Web Root")
    identity = root.intermediate("Web Intermediate").issue("web.example", key=KEYS[kind])
    _chain_verifies(identity, root, x509.DNSName("web.example"))


@pytest.mark.parametrize("kind", KEYS)
def test_it_signs_with_every_kind_of_key(kind: str) -> None:
    root = Authority("Any Root", key=KEYS[kind])
    leaf = root.issue("any.example", key=KEYS[kind])
    leaf.chain[0].verify_directly_issued_by(root.x509)
    assert leaf.pin == root.pin == Pin.of_key(root.certificate.spki_sha256)
    assert leaf.key is root.key


def test_an_identity_shows_the_chain_without_the_root() -> None:
    root = Authority("Root")
    below = root.intermediate("Below")
    identity = below.issue("a.example")
    assert [certificate.subject.rfc4514_string() for certificate in identity.chain] == [
        "CN=a.example",
        "CN=Below",
    ]
    assert identity.certificate == Certificate.from_der(read_items(identity.chain_pem)[0].der)  # type: ignore[union-attr]
    (key,) = read_items(identity.key_pem)
    assert isinstance(key, PublicKey)
    assert identity.pin == Pin.of_key(key.spki_sha256)


def test_a_root_signs_itself() -> None:
    root = Authority("Root")
    root.x509.verify_directly_issued_by(root.x509)
    assert root.certificate.self_issued
    assert read_items(root.pem) == (root.certificate,)


def test_every_authority_and_every_leaf_has_a_fresh_key() -> None:
    root = Authority("Root")
    pins = {root.pin, root.intermediate("A").pin, root.intermediate("B").pin}
    assert len(pins | {root.issue("a.example").pin, root.issue("a.example").pin}) == 5


def test_a_key_can_be_kept_through_a_renewal() -> None:
    root = Authority("Root")
    old = root.issue("a.example")
    new = root.issue("a.example", key=old.key)
    assert old.pin == new.pin
    assert old.certificate != new.certificate


def test_dates_follow_the_clock_that_is_given() -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    root = Authority("Root", now=now)
    leaf = root.intermediate("Below").issue("a.example").certificate
    assert leaf.not_before == now - timedelta(hours=1)
    assert root.certificate.not_before == now - timedelta(days=365)
    assert leaf.not_after == now + timedelta(days=47)
    assert root.certificate.not_after == now + timedelta(days=3650)
    assert root.issue("a.example", days=0.5).certificate.not_after == now + timedelta(hours=12)


def test_an_authority_issues_at_another_moment() -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    root = Authority("Root", now=now)
    old = root.at(now - timedelta(days=100)).issue("a.example").certificate
    assert old.not_after == now - timedelta(days=53)
    assert root.issue("a.example").certificate.not_after == now + timedelta(days=47)


def test_a_change_forges_what_no_authority_would_issue() -> None:
    root = Authority("Root")

    def forge(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        return builder.add_extension(x509.OCSPNoCheck(), critical=False)

    for made in (
        root.issue("a.example", change=forge).chain[0],
        root.intermediate("Below", change=forge).x509,
        Authority("Other", change=forge).x509,
    ):
        assert made.extensions.get_extension_for_class(x509.OCSPNoCheck).value == x509.OCSPNoCheck()


def test_certificate_contains_names_and_addresses() -> None:
    leaf = Authority("Root").issue("a.example", "*.b.example", "::1").certificate
    assert leaf.names == ("a.example", "*.b.example", "::1")


@pytest.mark.parametrize("name", ["1.2.3.999", "host.1", "a:b"])
def test_what_only_looks_like_an_address_is_a_name(name: str) -> None:
    leaf = Authority("Root").issue(name).chain[0]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.DNSName(name)]


def test_name_too_long_for_the_subject_is_in_the_san() -> None:
    name = ".".join(["a" * 60] * 4)
    leaf = Authority("Root").issue(name).certificate
    assert leaf.names == (name,)
    assert leaf.subject == f"CN={name[:64]}"


def test_key_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    identity = Authority("Root").issue("a.example")
    (tmp_path / "web.key").write_text("old", encoding="ascii")
    (tmp_path / "web.key").chmod(0o644)
    old = os.umask(0)
    try:
        chain, key = identity.write(tmp_path, "web")
    finally:
        os.umask(old)
    assert (chain.name, key.name) == ("web.pem", "web.key")
    assert (chain.read_bytes(), key.read_bytes()) == (identity.chain_pem, identity.key_pem)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_leaf_is_not_an_authority() -> None:
    root = Authority("Root")
    leaf = root.issue("a.example").chain[0].extensions
    assert not leaf.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not leaf.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    assert root.x509.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert isinstance(root.x509.signature_hash_algorithm, hashes.SHA256)
