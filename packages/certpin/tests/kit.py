"""Small helpers that many tests share: pin sets in one line, and the platform's trust."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from certpin import HostPattern, HostPin, HostPolicy, Pin, TrustAnchors
from certpin.pinfile import PinSet

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from certpin.lab import Authority

# Pins of nobody: they fill the place of a backup, or of pins that do not match.
NOBODY = Pin("sha256", bytes(range(32)))
NOBODY_ELSE = Pin("sha256", bytes(range(1, 33)))


def policy(host: str, *pins: Pin, **fields: Any) -> HostPolicy:
    """A policy with these pins, filled up with pins of nobody until there are two."""
    filled = [*pins, *(pin for pin in (NOBODY, NOBODY_ELSE) if len(pins) < 2)]
    entries = tuple(HostPin(pin, "backup" if index else "leaf") for index, pin in enumerate(filled))
    return HostPolicy(HostPattern.parse(host), entries, **fields)


def pin_set(*policies: HostPolicy, version: int = 1, **fields: Any) -> PinSet:
    """A pin set of these policies."""
    return PinSet("test", version, policies, **fields)


def anchors(*authorities: Authority) -> TrustAnchors:
    """Trust anchors: the certificates of these authorities."""
    return TrustAnchors(tuple(authority.certificate.der for authority in authorities))


def trust_on_this_platform(
    authority: Authority, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Let OpenSSL's default paths lead to this authority alone, here and in child processes."""
    bundle = folder / "platform-roots.pem"
    bundle.write_bytes(authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    monkeypatch.setenv("SSL_CERT_DIR", str(folder / "no-such-folder"))
    return bundle
