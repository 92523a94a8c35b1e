"""One complete sample document of each report format, with placeholders for certificates.

The codecs don't parse X.509: they accept any DER SEQUENCE as a certificate.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from certpin.reports.codecs.fields import pem_of

RECEIVED = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
AT = datetime(2026, 11, 25, 11, 59, 30, tzinfo=UTC)

JSON = "application/json"
REPORTS = "application/reports+json"


def der(content: bytes = b"leaf", size: int = 300) -> bytes:
    """Return a DER SEQUENCE that serves as a certificate: ``content``, padded to ``size`` bytes."""
    body = content.ljust(size, b".")
    return b"\x30\x82" + len(body).to_bytes(2, "big") + body


LEAF, ISSUER = der(b"leaf"), der(b"issuer")
PINS = (
    "sha256/d6qzRu9zOECb90Uez27xWltNsj0e1Md7GkYYkVoZWmM=",
    "sha256/E9CZ9INDbd+2eRQozYqqbQ2yXLVKB9+xcprMF+44U1g=",
)


def rfc7469(**other: Any) -> dict[str, Any]:
    """Return a pin failure report as in RFC 7469, section 3, with ``other`` fields set."""
    return {
        "date-time": "2026-11-25T11:59:30Z",
        "hostname": "api.bank.example",
        "port": 443,
        "effective-expiration-date": "2027-05-01T12:40:50Z",
        "include-subdomains": False,
        "noted-hostname": "api.bank.example",
        "served-certificate-chain": [pem_of(LEAF)],
        "validated-certificate-chain": [pem_of(LEAF), pem_of(ISSUER)],
        "known-pins": [f'pin-sha256="{pin[7:]}"' for pin in PINS],
    } | other


def trustkit_ios(**other: Any) -> dict[str, Any]:
    """Return a report as TrustKit for iOS writes it, with ``other`` fields set.

    Its PEM certificates have lines of 64 letters that end in CR LF.
    """
    return {
        "app-bundle-id": "example.bank.app",
        "app-version": "4.2",
        "app-platform": "IOS",
        "app-platform-version": "Version 19.1 (Build 23B85)",
        "app-vendor-id": "5A4E6B2C-0D8E-4E5C-9C63-1C2B7D3F9A10",
        "trustkit-version": "3.0.4",
        "date-time": "2026-11-25T11:59:30Z",
        "hostname": "api.bank.example",
        "port": 443,
        "noted-hostname": "bank.example",
        "include-subdomains": True,
        "enforce-pinning": True,
        "validated-certificate-chain": [
            pem_of(each).rstrip().replace("\n", "\r\n") for each in (LEAF, ISSUER)
        ],
        "known-pins": [f'pin-sha256="{pin[7:]}"' for pin in PINS],
        "known-pins-expiration-date": "2027-05-01",
        "validation-result": 1,
    } | other


def trustkit_android(**other: Any) -> dict[str, Any]:
    """Return a report as TrustKit for Android writes it, with ``other`` fields set."""
    return {
        "app-bundle-id": "example.bank.app",
        "app-version": "42",
        "app-vendor-id": "5a4e6b2c-0d8e-4e5c-9c63-1c2b7d3f9a10",
        "app-platform": "ANDROID",
        "trustkit-version": "1.1.5",
        "hostname": "api.bank.example",
        "port": 0,
        "noted-hostname": "bank.example",
        "include-subdomains": False,
        "enforce-pinning": False,
        "validation-result": 1,
        "date-time": "2026-11-25T13:59:30+0200",
        "validated-certificate-chain": [pem_of(LEAF)],
        "served-certificate-chain": [pem_of(LEAF), pem_of(ISSUER)],
        "known-pins": [f'pin-sha256="{pin[7:]}"' for pin in PINS],
    } | other


def certpin(**other: Any) -> dict[str, Any]:
    """Return a pin failure report as certpin's reporter writes it, with ``other`` fields set."""
    return (
        rfc7469()
        | {
            "schema": "certpin-report/1",
            "id": "00112233445566778899aabbccddeeff",
            "policy": "*.bank.example",
            "pin-set": "bank-app",
            "pin-set-version": 12,
            "decision": "refuse",
            "reason": "mismatch",
            "app": "example.bank.app",
            "app-version": "4.2",
            "platform": "python",
            "platform-version": "3.13.1 linux",
            "network": "wifi",
            "library": "certpin 0.1.0",
        }
        | other
    )


def presence(**other: Any) -> dict[str, Any]:
    """Return a presence (which app has which pin set version) of certpin's reporter.

    The fields in ``other`` are set in it.
    """
    return {
        "schema": "certpin-presence/1",
        "id": "00112233445566778899aabbccddeeff",
        "date-time": "2026-11-25T11:59:30Z",
        "pin-set": "bank-app",
        "pin-set-version": 12,
        "app": "example.bank.app",
    } | other


def nel(body: dict[str, Any] | None = None, **other: Any) -> list[Any]:
    """Return a Network Error Logging document, a list of one entry, as Chromium posts it.

    Args:
        body: fields to set in the entry's body.
        other: fields to set in the entry.
    """
    said = {
        "elapsed_time": 143,
        "method": "GET",
        "phase": "connection",
        "protocol": "http/1.1",
        "referrer": "https://bank.example/account?id=7",
        "sampling_fraction": 1.0,
        "server_ip": "192.0.2.7",
        "status_code": 0,
        "type": "tls.cert.pinned_key_not_in_cert_chain",
    }
    entry = {
        "age": 30_000,
        "type": "network-error",
        "url": "https://api.bank.example/account?id=7",
        "user_agent": "Mozilla/5.0",
        "body": said | (body or {}),
    }
    return [entry | other]


WHOLE: dict[str, tuple[Any, str]] = {
    "rfc7469": (rfc7469(), JSON),
    "trustkit-ios": (trustkit_ios(), JSON),
    "trustkit-android": (trustkit_android(), JSON),
    "certpin": (certpin(), JSON),
    "presence": (presence(), JSON),
    "nel": (nel(), REPORTS),
}
