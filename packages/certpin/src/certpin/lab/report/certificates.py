"""Certificates as reports show them. A forged one may be unreadable: then its digest is shown."""

from __future__ import annotations

import hashlib
import re
import warnings
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning

from certpin.errors import CertificateParseError
from certpin.pins import Pin
from certpin.x509 import Certificate

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

Value = TypeVar("Value")


# Between the parts of a name, and what is escaped within one (RFC 4514 section 2.4).
_PARTS = re.compile(r"(?<!\\)[,+]")
_ESCAPED = re.compile(r'\\([ "#+,;<=>\\])')


@dataclass(frozen=True)
class Facts:
    """What a certificate says of itself. ``None`` is what makes no sense.

    ``parsed`` and ``certificate`` are for those who look closer.
    """

    sha256: str  # of the whole certificate: AA:BB:…
    subject: str | None = None
    issuer: str | None = None
    names: tuple[str, ...] | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None
    key: str | None = None
    pin: str | None = None  # of its key: sha256/…
    parsed: x509.Certificate | None = field(default=None, compare=False, repr=False)
    certificate: Certificate | None = field(default=None, compare=False, repr=False)

    @property
    def pins(self) -> tuple[str | None, str]:
        """The pins of the certificate and of its key."""
        return self.pin, f"cert-sha256/{self.sha256}"


@lru_cache(maxsize=1024)
def read(der: bytes) -> Facts:
    """Return the facts of a certificate in DER. Never raises."""
    sha256 = hashlib.sha256(der).hexdigest().upper()
    digest = ":".join(sha256[at : at + 2] for at in range(0, len(sha256), 2))
    try:
        certificate = Certificate.from_der(der)
    except CertificateParseError:
        return Facts(digest)
    return Facts(
        digest,
        subject=_or_none(lambda: certificate.subject),
        issuer=_or_none(lambda: certificate.issuer),
        names=_or_none(lambda: certificate.names),
        not_before=_or_none(lambda: certificate.not_before),
        not_after=_or_none(lambda: certificate.not_after),
        key=certificate.key,
        pin=str(Pin.of_key(certificate.spki_sha256)),
        parsed=_parse(der),
        certificate=certificate,
    )


def short_name(name: str | None) -> str:
    """Return the common name of a distinguished name (RFC 4514), or the whole name."""
    if not name:
        return "(unreadable)" if name is None else "(no name)"
    parts = [part for part in _PARTS.split(name) if part.startswith("CN=")]
    return _ESCAPED.sub(r"\1", parts[0].removeprefix("CN=")) if len(parts) == 1 else name


def _or_none(read: Callable[[], Value]) -> Value | None:
    try:
        return read()
    except CertificateParseError:
        return None


def _parse(der: bytes) -> x509.Certificate | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            return x509.load_der_x509_certificate(der)
    except (ValueError, x509.InvalidVersion):
        return None
