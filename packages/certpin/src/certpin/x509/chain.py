"""Analyse the certificates that a server sent: their fields, and their paths to trusted roots.

The issuer named in a certificate may be false, so signatures are checked. A certificate may be
hostile: if it can't be read, only its digest is returned.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from certpin.errors import CertificateParseError
from certpin.x509.certificate import Certificate, Value, is_self_signed, without_deprecations

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from cryptography import x509

# The separators between the parts of a name, and the characters that are escaped in a part
# (RFC 4514 section 2.4).
_PARTS = re.compile(r"(?<!\\)[,+]")
_ESCAPED = re.compile(r'\\([ "#+,;<=>\\])')


@dataclass(frozen=True)
class CertificateFacts:
    """The fields of a certificate as plain values. A field is None if it can't be read.

    ``sha256`` is the fingerprint of the certificate. ``pin`` is the pin of the certificate's key,
    as text (RFC 7469 section 2.4). For further checks, ``parsed`` is the certificate as an object
    of ``cryptography``, and ``certificate`` as a ``Certificate`` of certpin.
    """

    sha256: str  # of the whole certificate: AA:BB:…
    subject: str | None = None
    issuer: str | None = None
    names: tuple[str, ...] | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None
    key: str | None = None
    pin: str | None = None
    parsed: x509.Certificate | None = field(default=None, compare=False, repr=False)
    certificate: Certificate | None = field(default=None, compare=False, repr=False)

    @property
    def pins(self) -> tuple[str | None, str]:
        """Two pins: of the certificate's key (None if unreadable), and of the whole certificate.

        The first begins with ``sha256/``, the second with ``cert-sha256/``.
        """
        return self.pin, f"cert-sha256/{self.sha256}"

    @property
    def is_self_issued(self) -> bool:
        """True if subject and issuer can be read and are the same name (RFC 5280 section 3.2)."""
        return self.issuer is not None and self.issuer == self.subject

    @cached_property
    def is_self_signed(self) -> bool:
        """True if the certificate ends its path: see ``certpin.x509.is_self_signed``."""
        if self.certificate is None or not self.is_self_issued:
            return False
        return is_self_signed(self.certificate)


@lru_cache(maxsize=1024)
def read_facts(der: bytes) -> CertificateFacts:
    """Return the fields of a certificate in DER. Never raises."""
    digest = hashlib.sha256(der).digest().hex(":").upper()
    try:
        certificate = Certificate.from_der(der)
    except CertificateParseError:
        return CertificateFacts(digest)
    return CertificateFacts(
        digest,
        subject=_or_none(lambda: certificate.subject),
        issuer=_or_none(lambda: certificate.issuer),
        names=_or_none(lambda: certificate.names),
        not_before=_or_none(lambda: certificate.not_before),
        not_after=_or_none(lambda: certificate.not_after),
        key=certificate.key,
        pin=f"sha256/{b64encode(certificate.spki_sha256).decode()}",
        parsed=_or_none(lambda: certificate.parsed),
        certificate=certificate,
    )


class Signature(StrEnum):
    """The result of verifying a certificate's signature with the next certificate in a path.

    The values are texts for users. ``GOOD`` and ``BAD`` mean a valid and an invalid signature, and
    ``UNCHECKED`` means that certpin can't verify it. ``MISSING`` means that the issuer is neither
    among the certificates that the server sent nor trusted. ``ITSELF`` means that the certificate
    is self-signed (``is_self_signed``); its signature is not verified.
    """

    GOOD = "signed by the key above"
    BAD = "not signed by the key above: only the names match"
    UNCHECKED = "says that it is signed by the key above; this cannot be checked"
    MISSING = "signed by an authority that was not sent and is not trusted"
    ITSELF = "signed by itself"


_PREFERRED = [Signature.GOOD, Signature.UNCHECKED, Signature.BAD]


@dataclass(frozen=True)
class PathCertificate:
    """One certificate of a path from a certificate upwards to a root.

    Attributes:
        facts: the fields of the certificate.
        sent: True if the server sent it.
        trusted: True if it is one of the client's roots.
        above: the result of verifying its signature with the key of the next certificate.
    """

    facts: CertificateFacts
    sent: bool
    trusted: bool
    above: Signature


@dataclass(frozen=True)
class ChainPath:
    """A path of certificates, each followed by its issuer.

    ``on_path`` is True if the path starts at the server's leaf certificate. The other paths contain
    certificates that the server sent although the leaf doesn't need them.
    """

    certificates: tuple[PathCertificate, ...]
    on_path: bool

    @property
    def trusted(self) -> bool:
        """True if valid signatures lead from the path's first certificate to a trusted root."""
        *below, top = self.certificates
        return top.trusted and all(child.above is Signature.GOOD for child in below)


def chain_paths(sent: tuple[bytes, ...], trusted: tuple[bytes, ...] = ()) -> tuple[ChainPath, ...]:
    """Build the paths upwards from the certificates that a server sent, to a root if possible.

    The first path starts at the leaf. A further path is built for each certificate that isn't in a
    path yet. Signatures are checked. Dates, names, extensions and pins are not.

    Args:
        sent: the certificates that a server sent, as DER, the leaf first.
        trusted: the roots that the client trusts, as DER.

    Returns:
        The paths; the first one starts at the leaf. Empty only if no certificate was sent.
    """
    found: list[ChainPath] = []
    seen: set[bytes] = set()
    for der in dict.fromkeys(sent):
        if der in seen:
            continue
        climbed = _climb(der, (*trusted, *sent))
        seen.update(issuer for issuer, _ in climbed)
        certificates = tuple(
            PathCertificate(read_facts(found_der), found_der in sent, found_der in trusted, above)
            for found_der, above in climbed
        )
        found.append(ChainPath(certificates, on_path=not found))
    return tuple(found)


def ways_up(der: bytes, others: tuple[bytes, ...], limit: int) -> tuple[tuple[bytes, ...], ...]:
    """Return every path from a certificate upwards, with valid signatures from each to the next.

    A cross-signed authority has several paths. Dates, host names and extensions are not checked.

    Args:
        der: the certificate, as DER.
        others: the certificates that may be above it, as DER.
        limit: the largest number of paths; a hostile chain can have very many.

    Returns:
        The paths, each beginning with ``der`` and as long as possible. Empty if there are more than
        ``limit``.
    """
    found: list[tuple[bytes, ...]] = []
    waiting: list[tuple[bytes, ...]] = [(der,)]
    while waiting:
        way = waiting.pop()
        is_top = read_facts(way[-1]).is_self_signed
        above = [] if is_top else [each for each in others if each not in way]
        longer = [(*way, each) for each in above if signs(each, way[-1])]
        waiting += longer
        if not longer:
            found.append(way)
        if len(found) + len(waiting) > limit:
            return ()
    return tuple(dict.fromkeys(found))


@lru_cache(maxsize=1024)
def signs(issuer: bytes, child: bytes) -> bool:
    """Return True if the certificate ``issuer`` signed the certificate ``child``.

    The subject of ``issuer`` must also be the issuer's name in ``child``. Return False if a
    certificate or its signature algorithm can't be read.

    Args:
        issuer: the certificate above, as DER.
        child: the certificate below, as DER.
    """
    below, above = read_facts(child), read_facts(issuer)
    named = below.issuer is not None and below.issuer == above.subject
    return named and _signature(below, above) is Signature.GOOD


def _climb(der: bytes, others: tuple[bytes, ...]) -> list[tuple[bytes, Signature]]:
    """Return the path from a certificate upwards, each certificate with its ``Signature``.

    Args:
        der: the certificate, as DER.
        others: the certificates that may be above it, as DER. The path ends if none of them is the
            issuer, or only one that is in the path already.
    """
    path = [der]
    climbed: list[tuple[bytes, Signature]] = []
    while True:
        issuer, link = _above(path[-1], [each for each in others if each not in path])
        climbed.append((path[-1], link))
        if issuer is None:
            return climbed
        path.append(issuer)


def _above(der: bytes, others: list[bytes]) -> tuple[bytes | None, Signature]:
    child = read_facts(der)
    if child.issuer is None:
        return None, Signature.UNCHECKED
    if child.is_self_signed:
        return None, Signature.ITSELF
    named = [each for each in others if read_facts(each).subject == child.issuer]
    signed = [(each, _signature(child, read_facts(each))) for each in named]
    missing = (None, Signature.MISSING)
    return min(signed, key=lambda pair: _PREFERRED.index(pair[1]), default=missing)


def _signature(child: CertificateFacts, issuer: CertificateFacts) -> Signature:
    """Verify a certificate's signature with the issuer's key: ``GOOD``, ``BAD`` or ``UNCHECKED``.

    The caller has checked that the subject of ``issuer`` is the issuer's name in ``child``.
    """
    if child.parsed is None or issuer.parsed is None:
        return Signature.UNCHECKED
    try:
        with without_deprecations():
            child.parsed.verify_directly_issued_by(issuer.parsed)
    except InvalidSignature:
        return Signature.BAD
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return Signature.UNCHECKED  # an algorithm or a key that is not read here
    return Signature.GOOD


def short_name(name: str | None) -> str:
    """Return the common name in a distinguished name (RFC 4514), for showing it.

    If the name has no common name or several, return the whole name. ``None``, for a name that
    can't be read, gives ``(unreadable)``.
    """
    if not name:
        return "(unreadable)" if name is None else "(no name)"
    parts = [part for part in _PARTS.split(name) if part.startswith("CN=")]
    return _ESCAPED.sub(r"\1", parts[0].removeprefix("CN=")) if len(parts) == 1 else name


def platform_roots() -> bytes:
    """Return the roots that this machine trusts, as PEM, from OpenSSL's default paths."""
    import ssl  # not at the top: a Python without TLS analyses chains, too

    paths = ssl.get_default_verify_paths()
    if paths.cafile and Path(paths.cafile).is_file():
        return Path(paths.cafile).read_bytes()
    folder = Path(paths.capath or "/nonexistent")
    files = sorted(folder.glob("*.0")) if folder.is_dir() else []
    return b"".join(file.read_bytes() for file in files)


def public_roots() -> tuple[bytes, ...]:
    """Return the roots that this machine trusts, as DER, from OpenSSL's default paths."""
    return ders_of(platform_roots())


@lru_cache(maxsize=2)
def ders_of(pem: bytes) -> tuple[bytes, ...]:
    """Return the certificates of a PEM file as DER.

    Incomplete certificates and duplicates are left out.
    """
    import ssl

    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    found = []
    for part in pem.decode("ascii", "replace").split(begin)[1:]:
        try:
            found.append(ssl.PEM_cert_to_DER_cert(f"{begin}{part.partition(end)[0]}{end}\n"))
        except ValueError:  # an incomplete block
            continue
    return tuple(dict.fromkeys(found))


def _or_none(read: Callable[[], Value]) -> Value | None:
    try:
        return read()
    except CertificateParseError:
        return None
