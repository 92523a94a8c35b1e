"""Certificates and keys in the assets of an app, and the mistakes in them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization

from certpin.apps.certificates import MAX_BLOCKS, looks_like_certificate, read_certificates_file
from certpin.apps.model import FileFindings, SourceFile
from certpin.apps.rules import RULES
from certpin.pins import Pin

if TYPE_CHECKING:
    from certpin.lab import Authority, Identity

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def identity(intermediate: Authority) -> Identity:
    return intermediate.issue("api.bank.example", days=400)


def _read(data: bytes, name: str = "assets/bank.pem", *, shipped: bool = True) -> FileFindings:
    file = SourceFile(name, data, data.decode("utf-8", "replace"))
    return read_certificates_file(file, NOW, shipped=shipped)


def test_each_certificate_of_a_bundle_has_its_line(identity: Identity, root: Authority) -> None:
    data = b"# the bank\n" + identity.chain_pem + b"\n" + root.pem
    found = _read(data).certificates
    assert [each.certificate.der for each in found] == [
        *(c.public_bytes(serialization.Encoding.DER) for c in identity.chain),
        root.certificate.der,
    ]
    lines = data.decode().splitlines()
    assert all(lines[each.place.line - 1] == "-----BEGIN CERTIFICATE-----" for each in found)
    assert [each.certificate for each in _read(root.certificate.der).certificates] == [
        root.certificate
    ]


@pytest.mark.parametrize(
    ("days", "said"),
    [(400, ""), (184, ""), (182, "expires on "), (1, "expires on "), (-0.02, "expired on ")],
)
def test_a_certificate_that_expires_soon_is_a_mistake(
    days: float, said: str, intermediate: Authority
) -> None:
    certificate = intermediate.issue("api.bank.example", days=days).certificate
    found = _read(b"\n" + _pem(certificate.der))
    assert [said in mistake.message for mistake in found.mistakes] == [True] * bool(said)
    for mistake in found.mistakes:
        assert (mistake.rule, str(mistake.place)) == ("asset-expires-soon", "assets/bank.pem:2")
        assert (NOW + timedelta(days=days)).date().isoformat()[:8] in mistake.message
        assert mistake.rule in RULES


def test_a_certificate_without_readable_dates_is_found(root: Authority) -> None:
    der = bytearray(root.certificate.der)
    at = der.index(b"\x17\x0d")  # UTCTime, of 13 bytes (RFC 5280 section 4.1.2.5.1)
    der[at + 2 : at + 8] = b"999999"
    found = _read(bytes(der))
    assert (len(found.certificates), found.mistakes, found.unread) == (1, [], [])


def test_a_private_key_is_a_mistake_if_it_is_part_of_the_app(identity: Identity) -> None:
    key = identity.key
    encoded = {
        "pem": identity.key_pem,
        "der": key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        "encrypted": key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        ),
    }
    for data in encoded.values():
        [mistake] = _read(data).mistakes
        assert (mistake.rule, str(mistake.place)) == ("private-key-in-app", "assets/bank.pem:1")
        assert _read(data, shipped=False) == FileFindings()
    both = _read(identity.chain_pem + identity.key_pem)
    assert (len(both.certificates), len(both.mistakes)) == (2, 1)
    assert both.mistakes[0].place.line == identity.chain_pem.count(b"\n") + 1


def test_a_key_store_is_a_mistake_whatever_it_contains() -> None:
    [mistake] = _read(b"\x30\x82\x01", "assets/client.P12").mistakes
    assert mistake.rule == "private-key-in-app"


def test_a_public_key_becomes_a_pin(identity: Identity) -> None:
    spki = identity.certificate.spki
    pem = identity.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for data in (spki, pem):
        [pin] = _read(data).pins
        assert pin.pin == Pin.of_key(identity.certificate.spki_sha256)


@pytest.mark.parametrize(
    ("data", "line", "problem"),
    [
        (b"\n-----BEGIN CERTIFICATE-----\nMIIB\n", 2, "a PEM block is incomplete"),
        (b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", 1, "not base64"),
        (b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", 1, "not an X.509"),
        (b"\n\n-----BEGIN SECRET-----\nMIIB\n-----END SECRET-----\n", 3, "not supported"),
        (b"\x30\x82\xff\xff", 1, "no certificate and no key"),
        (b"hello", 1, "no certificate and no key"),
        (b"", 1, "no certificate and no key"),
    ],
)
def test_a_broken_certificate_has_file_and_line(data: bytes, line: int, problem: str) -> None:
    [unread] = _read(data).unread
    assert (unread.place.file, unread.place.line) == ("assets/bank.pem", line)
    assert problem in unread.problem


def test_a_broken_block_does_not_hide_the_others(root: Authority) -> None:
    broken = b"-----BEGIN CERTIFICATE-----\nMIIB\n"
    found = _read(broken + root.pem + broken)
    assert (len(found.certificates), len(found.unread)) == (1, 2)


@pytest.mark.timeout(20)
def test_the_number_of_blocks_is_limited() -> None:
    assert len(_read(b"-----BEGIN A-----\n" * MAX_BLOCKS).unread) == MAX_BLOCKS
    [unread] = _read(b"-----BEGIN A-----\n" * 500_000).unread
    assert unread.problem == f"there are more than {MAX_BLOCKS} PEM blocks"


def test_other_assets_do_not_look_like_certificates(root: Authority) -> None:
    assert looks_like_certificate(root.pem)
    assert looks_like_certificate(root.certificate.der)
    for data in (b"", b"\x89PNG", b"{}", b"0"):
        assert not looks_like_certificate(data)


def _pem(der: bytes) -> bytes:
    import ssl

    return ssl.DER_cert_to_PEM_cert(der).encode()
