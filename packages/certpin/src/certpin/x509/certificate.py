"""Certificates and chains: frozen objects, parsed from DER.

Their texts may be hostile: escape them before printing, unless a property says that it is safe.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from certpin.errors import CertificateParseError
from certpin.support.text import printable
from certpin.x509.keys import describe_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from cryptography import x509

# The most that OpenSSL accepts in one handshake (SSL_MAX_CERT_LIST_DEFAULT, openssl/ssl.h).
MAX_CERTIFICATE_BYTES = 100 * 1024

# Parsed certificates that a process keeps. A client meets a few dozen; a hostile server can make it
# keep this many, each of at most the size above.
_CACHED_CERTIFICATES = 1024
_CACHED_CHAINS = 256

# Two threads in `warnings.catch_warnings` may leave the filters of one in place for good.
_warnings_lock = Lock()

MAX_NAME = 200  # characters: a hostile subject may have 100 KiB
_LONGEST_QUOTE = 80  # characters of a value in an error

Value = TypeVar("Value")


@dataclass(frozen=True)
class Certificate:
    """One X.509 certificate (RFC 5280), read from strict DER.

    ``der`` is the whole certificate and ``spki`` its SubjectPublicKeyInfo, byte for byte. Two
    certificates are equal if their DER is equal. Not verified: the signature, the dates.

    Properties of fields (``subject``, ``issuer``, ``not_after``, …) raise
    ``CertificateParseError`` if the field can't be read. The digests can always be computed.
    """

    der: bytes
    spki: bytes = field(compare=False, repr=False)

    @staticmethod
    def from_der(der: bytes) -> Certificate:
        """Parse one certificate.

        Raises:
            CertificateParseError: this is not a certificate in strict DER, or it is too large.
        """
        return _certificate(bytes(der))

    @cached_property
    def spki_sha256(self) -> bytes:
        """The SHA-256 of the SPKI, 32 bytes: the value that RFC 7469, OkHttp and curl pin."""
        return hashlib.sha256(self.spki).digest()

    @cached_property
    def sha256(self) -> bytes:
        """The SHA-256 of the whole certificate, 32 bytes: its fingerprint."""
        return hashlib.sha256(self.der).digest()

    @cached_property
    def subject(self) -> str:
        """The subject (RFC 4514), safe to print: hostile control characters are escaped."""
        return self._read("subject", lambda parsed: printable(parsed.subject.rfc4514_string()))

    @cached_property
    def issuer(self) -> str:
        """The issuer (RFC 4514), safe to print."""
        return self._read("issuer", lambda parsed: printable(parsed.issuer.rfc4514_string()))

    @cached_property
    def not_before(self) -> datetime:
        """The first moment of validity, in UTC."""
        return self._read("validity", lambda parsed: parsed.not_valid_before_utc)

    @cached_property
    def not_after(self) -> datetime:
        """The last moment of validity, in UTC."""
        return self._read("validity", lambda parsed: parsed.not_valid_after_utc)

    @cached_property
    def serial_number(self) -> int:
        """The serial number. Old roots have 0, and some certificates have negative ones."""
        return self._read("serial number", lambda parsed: parsed.serial_number)

    @cached_property
    def key(self) -> str:
        """The type of the key: ``EC P-256``, ``RSA 2048``, ``Ed25519``, or its OID."""
        return describe_key(self.spki)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The DNS names and IP addresses of the subjectAltName, safe to print."""
        return tuple(map(printable, (*self.dns_names, *self.addresses)))

    @cached_property
    def dns_names(self) -> tuple[str, ...]:
        """The DNS names of the subjectAltName, unchanged: not safe to print."""
        from cryptography import x509

        return self._read("subjectAltName", partial(_alternative_names, kind=x509.DNSName))

    @cached_property
    def addresses(self) -> tuple[str, ...]:
        """The IP addresses of the subjectAltName, each in its canonical form (RFC 5952)."""
        from cryptography import x509

        return self._read("subjectAltName", partial(_alternative_names, kind=x509.IPAddress))

    @cached_property
    def self_issued(self) -> bool:
        """True if subject and issuer are the same name, as in a root (RFC 5280 section 3.2)."""
        return self._read("subject or issuer", lambda parsed: parsed.subject == parsed.issuer)

    def __reduce__(self) -> tuple[object, ...]:
        return Certificate.from_der, (self.der,)  # without the cached properties

    @cached_property
    def _x509(self) -> x509.Certificate:
        from cryptography import x509

        return x509.load_der_x509_certificate(self.der)

    def _read(self, part: str, read: Callable[[x509.Certificate], Value]) -> Value:
        from cryptography.utils import CryptographyDeprecationWarning

        try:
            # Users of certpin can't act on its advice about old roots, which OpenSSL verifies.
            with _warnings_lock, warnings.catch_warnings():
                warnings.simplefilter("ignore", CryptographyDeprecationWarning)
                return read(self._x509)
        except Exception as exc:
            # The parser raises many types for hostile fields: InvalidVersion, DuplicateExtension, …
            raise CertificateParseError(
                f"the {part} of this certificate cannot be read",
                fix="get another certificate from its issuer",
            ) from exc


@dataclass(frozen=True)
class Chain:
    """Certificates from leaf to root, as a server sent them or as OpenSSL verified them.

    The object doesn't record which of the two: its creator has to know.
    """

    certificates: tuple[Certificate, ...]

    @staticmethod
    def from_der(chain: Iterable[bytes]) -> Chain:
        """Parse the DER certificates of a chain, leaf first.

        Raises:
            CertificateParseError: the chain is empty, or a certificate can't be read.
        """
        return _chain(tuple(chain))

    @property
    def leaf(self) -> Certificate:
        """The certificate of the server itself."""
        return self.certificates[0]

    @property
    def authorities(self) -> tuple[Certificate, ...]:
        """The certificates above the leaf: intermediates, then the root."""
        return self.certificates[1:]


def end_in_roots(anchors: Iterable[Certificate]) -> bool:
    """Return True if each of these trust anchors is self-issued, or issued by another of them.

    If not, OpenSSL has to accept paths that end at an intermediate (PARTIAL_CHAIN).

    Raises:
        CertificateParseError: a name can't be read.

    """
    anchors = tuple(anchors)
    subjects = {anchor.subject for anchor in anchors}
    return all(anchor.self_issued or anchor.issuer in subjects for anchor in anchors)


@lru_cache(maxsize=_CACHED_CERTIFICATES)
def _certificate(der: bytes) -> Certificate:
    from certpin.x509.der import certificate_spki

    if len(der) > MAX_CERTIFICATE_BYTES:
        raise CertificateParseError(
            f"a certificate of {len(der)} bytes is larger than any that TLS carries",
            fix=f"at most {MAX_CERTIFICATE_BYTES} bytes are read",
        )
    try:
        return Certificate(der, certificate_spki(der))
    except ValueError as exc:
        raise CertificateParseError(
            "this is not an X.509 certificate in DER",
            fix="give a certificate as PEM or DER, as the server or the authority issued it",
        ) from exc


@lru_cache(maxsize=_CACHED_CHAINS)
def _chain(chain: tuple[bytes, ...]) -> Chain:
    if not chain:
        raise CertificateParseError("the chain is empty")
    return Chain(tuple(map(_certificate, chain)))


def _alternative_names(
    parsed: x509.Certificate, kind: type[x509.DNSName | x509.IPAddress]
) -> tuple[str, ...]:
    from cryptography import x509

    try:
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(map(str, names.get_values_for_type(kind)))


def name_of(certificate: Certificate) -> str:
    """Return the first 200 characters of a certificate's subject, or a placeholder.

    The placeholder is for a subject that can't be read.
    """
    try:
        subject = certificate.subject or "(no subject)"
    except CertificateParseError:
        return "(a subject that cannot be read)"
    return shorten(subject)


def shorten(name: str) -> str:
    """Return the first 200 characters of a name: certificates don't limit its length."""
    return name if len(name) <= MAX_NAME else name[:MAX_NAME] + "…"


def quoted(text: str) -> str:
    """Quote the first 80 characters of a text for an error message: it may have millions."""
    short = text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 3] + "…"
    return repr(short)
