"""A certificate and a chain: DER in, frozen objects out."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from certpin.errors import CertificateParseError
from certpin.x509._text import describe_key, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from cryptography import x509

# What OpenSSL takes in one handshake (SSL_MAX_CERT_LIST_DEFAULT, openssl/ssl.h).
MAX_CERTIFICATE_BYTES = 100 * 1024

# Certificates of one process that are kept parsed. A client meets a few dozen; a hostile server
# can make it hold this many, of the size above at most, and no more.
_CACHED_CERTIFICATES = 1024
_CACHED_CHAINS = 256

# Two threads in `warnings.catch_warnings` may leave the filters of one behind for good.
_one_at_a_time = Lock()

Value = TypeVar("Value")


@dataclass(frozen=True)
class Certificate:
    """One X.509 certificate (RFC 5280), read from strict DER.

    ``der`` is what was read and ``spki`` its SubjectPublicKeyInfo, byte for byte. Two certificates
    are equal if their DER is. Nothing is verified here: not the signature, not the dates.

    The properties that describe (``subject``, ``issuer``, ``not_after``, …) raise
    ``CertificateParseError`` where the field makes no sense; the digests never do.
    """

    der: bytes
    spki: bytes = field(compare=False, repr=False)

    @staticmethod
    def from_der(der: bytes) -> Certificate:
        """Read one certificate. Raises ``CertificateParseError`` on anything but strict DER."""
        return _certificate(bytes(der))

    @cached_property
    def spki_sha256(self) -> bytes:
        """SHA-256 of the SPKI, 32 bytes: what RFC 7469, OkHttp and curl pin."""
        return hashlib.sha256(self.spki).digest()

    @cached_property
    def sha256(self) -> bytes:
        """SHA-256 of the whole certificate, 32 bytes: its fingerprint."""
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
        """The serial number. Old roots carry 0, and some certificates negative ones."""
        return self._read("serial number", lambda parsed: parsed.serial_number)

    @cached_property
    def key(self) -> str:
        """The key in words: ``EC P-256``, ``RSA 2048``, ``Ed25519``, or its OID."""
        return describe_key(self.spki)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """DNS names and IP addresses of the subjectAltName, safe to print."""
        return tuple(map(printable, (*self.dns_names, *self.addresses)))

    @cached_property
    def dns_names(self) -> tuple[str, ...]:
        """The DNS names of the subjectAltName as they stand there: not safe to print."""
        from cryptography import x509

        return self._read("subjectAltName", partial(_alternative_names, kind=x509.DNSName))

    @cached_property
    def addresses(self) -> tuple[str, ...]:
        """The IP addresses of the subjectAltName, each in its canonical form (RFC 5952)."""
        from cryptography import x509

        return self._read("subjectAltName", partial(_alternative_names, kind=x509.IPAddress))

    @cached_property
    def self_issued(self) -> bool:
        """Whether subject and issuer are the same name (RFC 5280 section 3.2), as a root's are."""
        return self._read("subject or issuer", lambda parsed: parsed.subject == parsed.issuer)

    def __reduce__(self) -> tuple[object, ...]:
        return Certificate.from_der, (self.der,)  # what was parsed for a description stays behind

    @cached_property
    def _x509(self) -> x509.Certificate:
        from cryptography import x509

        return x509.load_der_x509_certificate(self.der)

    def _read(self, part: str, how: Callable[[x509.Certificate], Value]) -> Value:
        from cryptography.utils import CryptographyDeprecationWarning

        try:
            # Its advice on old roots is not for our user: OpenSSL verified them all the same.
            with _one_at_a_time, warnings.catch_warnings():
                warnings.simplefilter("ignore", CryptographyDeprecationWarning)
                return how(self._x509)
        except Exception as exc:
            # The parser has many words for hostile fields: InvalidVersion, DuplicateExtension, …
            raise CertificateParseError(
                f"the {part} of this certificate makes no sense", fix="ask its issuer for another"
            ) from exc


@dataclass(frozen=True)
class Chain:
    """Certificates from leaf to root, as a server sent them or as OpenSSL verified them.

    Whether a chain is verified is known to whoever got it, not to the chain.
    """

    certificates: tuple[Certificate, ...]

    @staticmethod
    def from_der(chain: Iterable[bytes]) -> Chain:
        """Read a chain, leaf first. Raises ``CertificateParseError``, also if it is empty."""
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
    """Whether each of these trust anchors is self-issued, or issued by another of them.

    If not, a path has to be allowed to end at an anchor that is no root (PARTIAL_CHAIN).
    Raises ``CertificateParseError``.
    """
    anchors = tuple(anchors)
    subjects = {anchor.subject for anchor in anchors}
    return all(anchor.self_issued or anchor.issuer in subjects for anchor in anchors)


@lru_cache(maxsize=_CACHED_CERTIFICATES)
def _certificate(der: bytes) -> Certificate:
    from certpin.x509 import _der

    if len(der) > MAX_CERTIFICATE_BYTES:
        raise CertificateParseError(
            f"a certificate of {len(der)} bytes is larger than any that TLS carries",
            fix=f"at most {MAX_CERTIFICATE_BYTES} bytes are read",
        )
    try:
        return Certificate(der, _der.certificate_spki(der))
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
