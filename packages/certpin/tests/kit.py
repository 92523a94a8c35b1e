"""Helpers that many tests share: pin sets, revocation lists, and the platform's trust store."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from certpin import HostPattern, HostPin, HostPolicy, Pin, TrustAnchors
from certpin.pinfile import PinSet

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from certpin.lab import Authority

# Pins without a key: used as backup, or as pins that must not match.
NOBODY = Pin("sha256", bytes(range(32)))
NOBODY_ELSE = Pin("sha256", bytes(range(1, 33)))


def policy(host: str, *pins: Pin, **fields: Any) -> HostPolicy:
    """Return a policy of ``host`` with these pins.

    If there are fewer than two pins, two pins that never match are added. The first pin has the
    role ``leaf``, all others ``backup``.
    """
    filled = [*pins, *(pin for pin in (NOBODY, NOBODY_ELSE) if len(pins) < 2)]
    entries = tuple(HostPin(pin, "backup" if index else "leaf") for index, pin in enumerate(filled))
    return HostPolicy(HostPattern.parse(host), entries, **fields)


def pin_set(*policies: HostPolicy, version: int = 1, **fields: Any) -> PinSet:
    """Return a pin set with these policies."""
    return PinSet("test", version, policies, **fields)


def anchors(*authorities: Authority) -> TrustAnchors:
    """Return trust anchors: the certificates of these authorities."""
    return TrustAnchors(tuple(authority.certificate.der for authority in authorities))


def revocation_list(authority: Authority, *revoked: x509.Certificate, days: float = 5) -> bytes:
    """Return a revocation list of an authority as PEM. It expires after so many days."""
    begin = authority.now - timedelta(days=9)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.subject)
        .last_update(begin)
        .next_update(authority.now + timedelta(days=days))
    )
    for each in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(each.serial_number)
        builder = builder.add_revoked_certificate(entry.revocation_date(begin).build())
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(Encoding.PEM)


def unreadable_to_openssl(der: bytes) -> bytes:
    """Return a certificate with a date of a wrong type, which OpenSSL refuses to load.

    certpin reads only the parts that it needs, and doesn't notice it.
    """
    changed = der.replace(b"\x17\x0d", b"\x16\x0d", 1)  # UTCTime, and IA5String
    assert changed != der
    return changed


def trust_on_this_platform(
    authority: Authority, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Make this authority the only trusted one in OpenSSL's default paths; return its PEM file.

    Environment variables set the paths, so that they apply to child processes too.
    """
    bundle = folder / "platform-roots.pem"
    bundle.write_bytes(authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    monkeypatch.setenv("SSL_CERT_DIR", str(folder / "no-such-folder"))
    return bundle
