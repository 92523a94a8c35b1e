"""Analyse the certificates that a server sent: their fields, and their paths to trusted roots.

The issuer named in a certificate can be false, so signatures are checked. A certificate can be
hostile: if it can't be read, only its digest is returned.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from certpin.errors import CertificateParseError
from certpin.support.forks import AwaitedLock
from certpin.x509.certificate import (
    Certificate,
    Value,
    is_self_signed,
    may_issue,
    without_deprecations,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from cryptography import x509

# The separators between the parts of a name, and the characters that are escaped in a part
# (RFC 4514 section 2.4).
_PARTS = re.compile(r"(?<!\\)[,+]")
_ESCAPED = re.compile(r'\\([ "#+,;<=>\\])')

# With a hostile key, one verification can take a hundred times as long as with any public
# authority's.
_MAX_RSA_BITS = 8192  # as Go's crypto/tls since CVE-2023-29409
_MAX_RSA_EXPONENT = 2**31 - 1  # as Go's crypto/rsa; compare CVE-2006-2940
_MAX_DSA_BITS = 3072  # FIPS 186-4, section 4.2
# Of the signatures of one chain. A path needs one for each certificate that names an issuer in it.
_MAX_VERIFICATIONS = 32
_MAX_RESULTS = 10_000  # that are remembered: of some 300 chains, if all are hostile


@dataclass(frozen=True)
class CertificateFacts:
    """The fields of a certificate as plain values. A field is None if it can't be read.

    ``sha256`` is the fingerprint of the certificate, as ``AA:BB:…``. ``pin`` is the pin of the
    certificate's key, as text (RFC 7469 section 2.4), and ``key`` the type and size of the key.
    ``names`` are the DNS names and IP addresses. ``subject``, ``issuer``, ``not_before`` and
    ``not_after`` are the fields of RFC 5280. For further checks, ``parsed`` is the certificate as
    an object of ``cryptography``, and ``certificate`` as a ``Certificate`` of certpin.
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
        """True if OpenSSL takes the certificate for self-signed, so that its path ends there.

        False if the certificate can't be read.
        """
        if self.certificate is None or not self.is_self_issued:
            return False
        return is_self_signed(self.certificate)


@lru_cache(maxsize=1024)
def read_facts(der: bytes) -> CertificateFacts:
    """Return the fields of a certificate in DER. Never raises.

    If the bytes are no certificate, the result has only the digest of the bytes, ``sha256``. A
    single field that can't be read is None.
    """
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
    """The result of verifying a certificate's signature with the next certificate in its path.

    The values are texts for users. ``GOOD`` and ``BAD`` mean a valid and an invalid signature, and
    ``UNCHECKED`` means that certpin can't verify it, or that this would take too long. ``MISSING``
    means that the issuer is neither among the certificates that the server sent nor trusted.
    ``ITSELF`` means that the certificate is self-signed (``is_self_signed``); its signature is not
    verified.
    """

    GOOD = "signed by the key above"
    BAD = "not signed by the key above: only the names match"
    UNCHECKED = "says that it is signed by the key above; this cannot be checked"
    MISSING = "signed by an authority that was not sent and is not trusted"
    ITSELF = "signed by itself"


_PREFERRED = [Signature.GOOD, Signature.UNCHECKED, Signature.BAD]


@dataclass(frozen=True)
class PathCertificate:
    """One certificate of a certification path, which leads upwards to a root.

    Attributes:
        facts: the fields of the certificate.
        sent: True if the server sent it.
        trusted: True if it is one of the client's roots.
        above: the result of verifying its signature with the key of the next certificate. For the
            last certificate, the reason why there is no next one: ``ITSELF`` (it is self-signed),
            ``MISSING`` (its issuer is unknown) or ``UNCHECKED`` (it can't be read).
    """

    facts: CertificateFacts
    sent: bool
    trusted: bool
    above: Signature


@dataclass(frozen=True)
class ChainPath:
    """A certification path: certificates, each followed by its issuer.

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
    """Build the certification paths of the certificates that a server sent, to roots if possible.

    The first path starts at the leaf. A further path is built for each certificate that isn't in a
    path yet. At most 32 signatures are verified. A signature that an unusually large key made is
    verified only if the client trusts the certificate of that key. Not checked: dates, names,
    extensions and pins.

    Args:
        sent: the certificates that a server sent, as DER, the leaf first.
        trusted: the roots that the client trusts, as DER.

    Returns:
        The paths; the first one starts at the leaf. Empty only if no certificate was sent.
    """
    found: list[ChainPath] = []
    seen: set[bytes] = set()
    verifications = _Verifications(trusted)
    for der in dict.fromkeys(sent):
        if der in seen:
            continue
        climbed = _climb(der, (*trusted, *sent), verifications)
        seen.update(issuer for issuer, _ in climbed)
        certificates = tuple(
            PathCertificate(read_facts(found_der), found_der in sent, found_der in trusted, above)
            for found_der, above in climbed
        )
        found.append(ChainPath(certificates, on_path=not found))
    return tuple(found)


def mistaken_issuer(
    sent: tuple[bytes, ...], trusted: tuple[bytes, ...]
) -> tuple[Certificate, Certificate] | None:
    """Return a certificate and its signer, if OpenSSL doesn't accept the signer as the issuer.

    It explains why a chain did not verify, although the signatures are valid from the leaf up to a
    trusted certificate: the authorityKeyIdentifier of one certificate identifies a different
    certificate than its signer, one with the same name and key. For example, the identifier has the
    serial number of a root, and the root was later issued again with another serial number.

    Args:
        sent: the certificates that a server sent, as DER, the leaf first. They may be hostile.
        trusted: the client's trust anchors, as DER.

    Returns:
        The certificate, and the one that signed it. None if no valid signatures lead from the leaf
        to a trusted certificate, or if OpenSSL accepts each issuer on the way.
    """
    climbed = _climb(sent[0], (*trusted, *sent), _Verifications(trusted))
    path = [read_facts(sent[0]).certificate]
    for (der, signature), (above, _) in pairwise(climbed):
        if der in trusted or signature is not Signature.GOOD:
            break
        path.append(read_facts(above).certificate)
    if not path[-1] or path[-1].der not in trusted:
        return None
    with suppress(CertificateParseError):
        for child, issuer in pairwise(path):
            if child and issuer and not may_issue(issuer, child):
                return child, issuer
    return None


def ways_up(der: bytes, others: tuple[bytes, ...], limit: int) -> tuple[tuple[bytes, ...], ...]:
    """Return every certification path upwards from a certificate, with valid signatures.

    A cross-signed authority has several paths. Dates, host names and extensions are not checked.

    Args:
        der: the certificate, as DER.
        others: the candidates for the certificates above it, as DER.
        limit: the largest number of paths; a hostile chain can have very many.

    Returns:
        The paths. Each begins with ``der``, and ends at a self-signed certificate, or at one
        without an issuer among ``others``. Empty if there are more than ``limit``.
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


def only_name_matches(issuer: bytes, child: bytes) -> bool:
    """Return True if ``issuer`` has the name of ``child``'s issuer, but not the key that signed it.

    The error for a chain that ends at no trust anchor then mentions this. Return False if the names
    differ, or if certpin can't verify the signature.

    Args:
        issuer: the certificate of an authority, as DER.
        child: the certificate below, as DER.
    """
    below, above = read_facts(child), read_facts(issuer)
    named = below.issuer is not None and below.issuer == above.subject
    return named and _signature(below, above) is Signature.BAD


class _Verifications:
    """Verifies the signatures of one chain, within limits, because a hostile chain could be slow.

    The number of verifications is limited. So is the size of the keys, except those of the client's
    own roots.

    Args:
        trusted: the roots that the client trusts, as DER.
    """

    def __init__(self, trusted: tuple[bytes, ...]) -> None:
        self._trusted = trusted
        self._left = _MAX_VERIFICATIONS

    def verify(self, child: bytes, issuer: bytes) -> Signature:
        """Verify the signature of ``child`` with the key of ``issuer``, both certificates as DER.

        Return ``UNCHECKED`` if certpin can't verify it, or a limit is reached (see the class).
        """
        if not self._left:
            return Signature.UNCHECKED
        self._left -= 1
        below, above = read_facts(child), read_facts(issuer)
        if _is_slow(above) and issuer not in self._trusted:
            return Signature.UNCHECKED
        return _signature(below, above)


def _climb(
    der: bytes, others: tuple[bytes, ...], verifications: _Verifications
) -> list[tuple[bytes, Signature]]:
    """Return the certification path up from a certificate, with the result for each signature.

    Args:
        der: the certificate, as DER.
        others: the candidates for the certificates above it, as DER. Each is used at most once. The
            path ends at a self-signed certificate, or if the next issuer is not among them.
        verifications: verifies the signatures, within limits.

    Returns:
        Each certificate of the path as DER, with the result of verifying its signature with the key
        of the next one.
    """
    path = [der]
    climbed: list[tuple[bytes, Signature]] = []
    while True:
        above = [each for each in others if each not in path]
        issuer, link = _above(path[-1], above, verifications)
        climbed.append((path[-1], link))
        if issuer is None:
            return climbed
        path.append(issuer)


def _above(
    der: bytes, others: list[bytes], verifications: _Verifications
) -> tuple[bytes | None, Signature]:
    child = read_facts(der)
    if child.issuer is None:
        return None, Signature.UNCHECKED
    if child.is_self_signed:
        return None, Signature.ITSELF
    signed: list[tuple[bytes, Signature]] = []
    for each in others:
        if read_facts(each).subject != child.issuer:
            continue
        signed.append((each, verifications.verify(der, each)))
        if signed[-1][1] is Signature.GOOD:
            break  # a hostile chain can have many certificates with the name
    missing = (None, Signature.MISSING)
    return min(signed, key=lambda pair: _PREFERRED.index(pair[1]), default=missing)


class _Results:
    """A cache of the results of the last verifications. Thread-safe.

    The keys of the cache are digests of certificates. ``lru_cache`` would store the certificates
    themselves, which can be large.
    """

    def __init__(self) -> None:
        self._lock = AwaitedLock()
        self._found: OrderedDict[tuple[str, str], Signature] = OrderedDict()

    def get(self, key: tuple[str, str]) -> Signature | None:
        with self._lock.held:
            if (found := self._found.get(key)) is not None:
                self._found.move_to_end(key)
            return found

    def put(self, key: tuple[str, str], found: Signature) -> None:
        with self._lock.held:
            self._found[key] = found
            while len(self._found) > _MAX_RESULTS:
                self._found.popitem(last=False)


_RESULTS = _Results()


def _signature(child: CertificateFacts, issuer: CertificateFacts) -> Signature:
    """Verify a certificate's signature with the issuer's key: ``GOOD``, ``BAD`` or ``UNCHECKED``.

    The caller has checked that the subject of ``issuer`` is the issuer's name in ``child``. The
    last results are cached.
    """
    key = child.sha256, issuer.sha256
    if (found := _RESULTS.get(key)) is None:
        found = _verify(child, issuer)
        _RESULTS.put(key, found)
    return found


def _verify(child: CertificateFacts, issuer: CertificateFacts) -> Signature:
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


def _is_slow(issuer: CertificateFacts) -> bool:
    """Return True if verifying a signature with the issuer's key takes much longer than usual.

    This depends on the size of the numbers in the key. Return False if the key can't be read.
    """
    from cryptography.hazmat.primitives.asymmetric import dsa, rsa

    if issuer.parsed is None:
        return False
    try:
        with without_deprecations():
            key = issuer.parsed.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False  # it verifies nothing
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size > _MAX_RSA_BITS or key.public_numbers().e > _MAX_RSA_EXPONENT
    return isinstance(key, dsa.DSAPublicKey) and key.key_size > _MAX_DSA_BITS


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
