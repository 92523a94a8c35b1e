"""Certificate chains with flaws or an unusual order, each for a server name of its own."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from certpin.lab import Authority, Identity

if TYPE_CHECKING:
    from collections.abc import Mapping

# An attacker's subject: it would clear the screen, reverse the text, and forge a line.
HOSTILE = "bank\x1b[2J\x1b]0;owned\x07\u202egnp\nleaf, verified"


def flawed(root: Authority, intermediate: Authority) -> Mapping[str, Identity]:
    """Return chains that do not verify against ``root``, by host name."""
    later = root.now + timedelta(days=30)
    future = Authority("Test Root", key=root.key, now=later)
    good = intermediate.issue("missing.example")
    return {
        "expired.example": intermediate.issue("expired.example", days=-0.01),
        "early.example": future.issue("early.example"),
        "self.example": self_signed("self.example"),
        "private.example": _with_root(Authority("Private Root"), "private.example"),
        "unknown.example": Authority("Unknown Root")
        .intermediate("Unknown CA")
        .issue("unknown.example"),
        "missing.example": replace(good, chain=good.chain[:1]),
        "other.example": intermediate.issue("right.example", "192.0.2.1"),
        "hostile.example": _hostile("hostile.example"),
        "nonsense.example": root.issue("nonsense.example", change=_without_sense),
    }


def unusual(root: Authority, intermediate: Authority) -> Mapping[str, Identity]:
    """Return chains that verify against ``root`` although their order or content is wrong."""
    second = intermediate.intermediate("Second Intermediate")
    deep = second.issue("reordered.example")
    leaf, *above = deep.chain
    plain = intermediate.issue("extra.example")
    stray = Authority("Stray Root").issue("stray.example").chain
    new = Authority("New Root")
    crossed = Authority("New Root", issuer=root, key=new.key)
    signed = crossed.intermediate("New Intermediate").issue("crossed.example")
    return {
        "reordered.example": replace(deep, chain=(leaf, *reversed(above))),
        "extra.example": replace(plain, chain=plain.chain + stray),
        "twice.example": replace(
            plain := intermediate.issue("twice.example"), chain=plain.chain * 2
        ),
        "withroot.example": _with_root(root, "withroot.example"),
        "crossed.example": signed,
    }


def self_signed(name: str) -> Identity:
    """Return a self-signed server certificate."""
    authority = Authority(
        name,
        change=lambda builder: builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False
        ),
    )
    return Identity(authority.key, (authority.x509,))


def _with_root(authority: Authority, name: str) -> Identity:
    identity = authority.issue(name)
    return replace(identity, chain=(*identity.chain, authority.x509))


def _hostile(name: str) -> Identity:
    def forged(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        builder._subject_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOSTILE)])
        return builder

    return Authority(f"{HOSTILE} CA").issue(name, change=forged)


def _without_sense(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    """Replace the content of the subjectAltName with bytes that are no list of names.

    Return the changed builder.
    """
    oid = x509.SubjectAlternativeName.oid
    junk = x509.Extension(oid, False, x509.UnrecognizedExtension(oid, b"\x30\x03\x02\x01\x01"))
    builder._extensions = [
        junk if extension.oid == oid else extension for extension in builder._extensions
    ]
    return builder


def pem(certificate: x509.Certificate) -> bytes:
    """Return a certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)
