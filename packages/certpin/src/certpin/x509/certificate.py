"""Certificates and chains: immutable objects, parsed from DER or read from the bytes of a file.

A file may be PEM, DER or PKCS#12, and may also contain keys and CSRs. The texts of a certificate
may be hostile: escape them before printing, unless a property says that its text is safe.

This module decides by names, key identifiers and types of keys if a certificate can be the issuer
of another. ``certpin.x509.chain`` verifies the signatures.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

from certpin.errors import CertificateParseError, InputError, KeyParseError
from certpin.support.forks import ForkedLock
from certpin.support.text import printable
from certpin.x509 import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime
    from ipaddress import IPv4Address, IPv6Address

    from cryptography import x509

    Passphrase = Callable[[], bytes | None]
    Item: TypeAlias = "Certificate | keys.PublicKey"

# The most that OpenSSL accepts in one handshake (SSL_MAX_CERT_LIST_DEFAULT, openssl/ssl.h).
MAX_CERTIFICATE_BYTES = 100 * 1024

# The bundle of all public roots is below 1 MiB, so a larger file than this has another content.
MAX_FILE_BYTES = 16 * 1024 * 1024

_LONGEST_HEADER = 6  # bytes of a tag and a length below 4 GiB

# Parsed certificates that a process keeps. A client meets a few dozen; a hostile server can make it
# keep this many, each of at most the size above.
_CACHED_CERTIFICATES = 1024
_CACHED_CHAINS = 256

# Two threads in `warnings.catch_warnings` may leave the filters of one in place for good.
_warnings_lock = ForkedLock()

# Certificates of a served path that are followed. Public ones have at most 5; a hostile server can
# send hundreds.
_LONGEST_PATH = 16

MAX_SHOWN_NAME = 200  # characters: a hostile subject may have 100 KiB
_LONGEST_QUOTE = 80  # characters of a value in an error

# RFC 7468 section 2, with the two headers of OpenSSL's old encrypted keys (RFC 1421).
# Possessive, so that a hostile file takes only one pass.
_BEGIN = b"-----BEGIN "
# Python 3.11.2 cannot match branches or negative look-ahead in a possessive group (CPython's issue
# 106052; tests/test_patterns.py).
_PEM = re.compile(
    _BEGIN + rb"([A-Z0-9 ]{1,40})-----([^-]*+(?:(?=-{1,4}+[^-])-++[^-]*+)*+)-----END \1-----",
)
_SEQUENCE = b"\x30"  # with which every certificate in DER begins
_PRIVATE_KEY = b"PRIVATE KEY"
_CERTIFICATES = {b"CERTIFICATE", b"X509 CERTIFICATE"}
_REQUESTS = {b"CERTIFICATE REQUEST", b"NEW CERTIFICATE REQUEST"}
_CONVERSIONS = {
    b"TRUSTED CERTIFICATE": "convert it: openssl x509 -in FILE",
    b"PKCS7": "convert it: openssl pkcs7 -print_certs -in FILE",
}

Value = TypeVar("Value")
_Extension = TypeVar("_Extension", bound="x509.ExtensionType")


@contextmanager
def without_deprecations() -> Iterator[None]:
    """Context manager: ignore the deprecation warnings of ``cryptography``.

    ``cryptography`` issues them for old roots. OpenSSL verifies these roots, and users of certpin
    can't act on the warnings. Only one thread at a time runs such a block.
    """
    from cryptography.utils import CryptographyDeprecationWarning

    with _warnings_lock.held, warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        yield


@dataclass(frozen=True)
class Certificate:
    """One X.509 certificate (RFC 5280), read from strict DER.

    ``der`` is the whole certificate and ``spki`` its SubjectPublicKeyInfo, byte for byte. Two
    certificates are equal if their DER is equal. Not verified: the signature, the dates.

    A property of a field (``subject``, ``issuer``, ``not_after``, …) raises
    ``CertificateParseError`` if the field can't be read. The digests can always be computed.
    """

    der: bytes
    spki: bytes = field(compare=False, repr=False)

    @staticmethod
    def from_der(der: bytes) -> Certificate:
        """Parse one certificate, and return it. Nothing is verified.

        Raises:
            CertificateParseError: the bytes are not a certificate in strict DER, or are too large.
        """
        return _certificate(bytes(der))

    @cached_property
    def spki_sha256(self) -> bytes:
        """The SHA-256 of the public key, 32 bytes: the digest that RFC 7469 and OkHttp pin."""
        return hashlib.sha256(self.spki).digest()

    @cached_property
    def sha256(self) -> bytes:
        """The fingerprint: the SHA-256 of the whole certificate, 32 bytes."""
        return hashlib.sha256(self.der).digest()

    @cached_property
    def subject(self) -> str:
        """The subject (RFC 4514), safe to print: control characters are escaped."""
        return self._read("subject", lambda parsed: printable(parsed.subject.rfc4514_string()))

    @cached_property
    def issuer(self) -> str:
        """The name of the issuer (RFC 4514), safe to print: control characters are escaped."""
        return self._read("issuer", lambda parsed: printable(parsed.issuer.rfc4514_string()))

    @cached_property
    def not_before(self) -> datetime:
        """The time from which the certificate is valid, in UTC."""
        return self._read("validity", lambda parsed: parsed.not_valid_before_utc)

    @cached_property
    def not_after(self) -> datetime:
        """The last second in which the certificate is valid, in UTC."""
        return self._read("validity", lambda parsed: parsed.not_valid_after_utc)

    @cached_property
    def serial_number(self) -> int:
        """The serial number; 0 in some old roots, and negative in some certificates."""
        return self._read("serial number", lambda parsed: parsed.serial_number)

    @cached_property
    def key(self) -> str:
        """The type of the public key: ``EC P-256``, ``RSA 2048``, ``Ed25519``, or its OID."""
        from certpin.x509.der import describe_key

        return describe_key(self.spki)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The DNS names and IP addresses of the subjectAltName, escaped for printing."""
        return tuple(map(printable, (*self.dns_names, *self.addresses)))

    @cached_property
    def dns_names(self) -> tuple[str, ...]:
        """The DNS names of the subjectAltName, unchanged: escape them before printing."""
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

    @cached_property
    def is_authority(self) -> bool:
        """True if basicConstraints allow issuing certificates (RFC 5280 section 4.2.1.9).

        Always False for a root of X.509 version 1, which has no extensions.
        """
        return self._read("basicConstraints", _is_authority)

    def __reduce__(self) -> tuple[object, ...]:
        return Certificate.from_der, (self.der,)  # without the cached properties

    @cached_property
    def parsed(self) -> x509.Certificate:
        """The certificate as an object of the library ``cryptography``.

        The texts of this object are not escaped: don't print them.
        """
        return self._read("content", lambda parsed: parsed)

    @cached_property
    def _x509(self) -> x509.Certificate:
        from cryptography import x509

        return x509.load_der_x509_certificate(self.der)

    def _read(self, part: str, read: Callable[[x509.Certificate], Value]) -> Value:
        try:
            with without_deprecations():
                return read(self._x509)
        except Exception as exc:
            # The parser raises many types for hostile fields: InvalidVersion, DuplicateExtension, …
            raise CertificateParseError(
                f"the {part} of this certificate cannot be read",
                fix="get another certificate from its issuer",
            ) from exc


@dataclass(frozen=True)
class Chain:
    """The certificates from leaf to root, as a server sent them or as OpenSSL verified them.

    The object doesn't record whether the chain was verified: that depends on the code that creates
    the object.
    """

    certificates: tuple[Certificate, ...]

    @staticmethod
    def from_der(chain: Iterable[bytes]) -> Chain:
        """Return a chain of these DER certificates, which begin with the leaf. Nothing is verified.

        Raises:
            CertificateParseError: the chain is empty, or a certificate can't be read.
        """
        return _chain(tuple(chain))

    @property
    def leaf(self) -> Certificate:
        """The leaf: the certificate of the server itself, the first of the chain."""
        return self.certificates[0]

    @property
    def authorities(self) -> tuple[Certificate, ...]:
        """The certificates above the leaf: intermediates, then the root."""
        return self.certificates[1:]


@lru_cache(maxsize=_CACHED_CERTIFICATES)
def _certificate(der: bytes) -> Certificate:
    from certpin.x509.der import DerError, certificate_spki

    if len(der) > MAX_CERTIFICATE_BYTES:
        raise CertificateParseError(
            f"a certificate of {len(der)} bytes is larger than OpenSSL's clients accept",
            fix=f"use at most {MAX_CERTIFICATE_BYTES} bytes: get a certificate with fewer names",
        )
    try:
        return Certificate(der, certificate_spki(der))
    except ValueError as exc:
        reason = str(exc) if isinstance(exc, DerError) else "it cannot be parsed"
        raise CertificateParseError(
            f"this is not an X.509 certificate in DER that follows RFC 5280: {reason}",
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
    values: list[Any] = names.get_values_for_type(kind)
    return tuple(values if kind is x509.DNSName else map(address_text, values))


def address_text(address: IPv4Address | IPv6Address) -> str:
    """Return an IP address in its canonical form (RFC 5952), in the same way in every Python."""
    mapped: IPv4Address | None = getattr(address, "ipv4_mapped", None)  # only IPv6 has it
    # Section 5 of the RFC. Python before 3.13 writes ::ffff:192.0.2.7 as ::ffff:c000:207.
    return str(address) if mapped is None else f"::ffff:{mapped}"


def _is_authority(parsed: x509.Certificate) -> bool:
    from cryptography import x509

    try:
        return bool(parsed.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except x509.ExtensionNotFound:
        return False


def names_issuer(certificate: Certificate, issuer: Certificate) -> bool:
    """Return True if the authorityKeyIdentifier of a certificate allows ``issuer`` as its issuer.

    Also return True if the certificate lacks this extension. If the result is False, OpenSSL does
    not accept ``issuer``, and looks for a different one (X509_check_akid; RFC 5280 section
    4.2.1.1).

    Args:
        certificate: the certificate.
        issuer: a certificate with the issuer's name and key.

    Raises:
        CertificateParseError: a field can't be read.
        ValueError: an extension can't be read.
    """
    from cryptography import x509

    identifier = extension_value(certificate.parsed, x509.AuthorityKeyIdentifier)
    if identifier is None:
        return True
    subject = extension_value(issuer.parsed, x509.SubjectKeyIdentifier)
    key, serial = identifier.key_identifier, identifier.authority_cert_serial_number
    names = [
        name.value
        for name in identifier.authority_cert_issuer or ()
        if isinstance(name, x509.DirectoryName)
    ]
    return not (
        (key is not None and subject is not None and key != subject.digest)
        or (serial is not None and serial != issuer.parsed.serial_number)
        or (names and names[0] != issuer.parsed.issuer)
    )


# The beginnings of the object identifiers of the signatures of each type of key.
_SIGNATURES = {
    "RSA": ("1.2.840.113549.1.1.",),
    "RSA-PSS": ("1.2.840.113549.1.1.10",),
    "EC": ("1.2.840.10045.4.",),
    "DSA": ("1.2.840.10040.4.3", "2.16.840.1.101.3.4.3."),
    "Ed25519": ("1.3.101.112",),
    "Ed448": ("1.3.101.113",),
}


def signature_fits(certificate: Certificate, issuer: Certificate) -> bool:
    """Return True if the issuer's type of key can make the signature of a certificate.

    For example, an RSA key can't make an ECDSA signature. Return True for a type of key that
    certpin doesn't know. If the result is False, OpenSSL 3 looks for a different issuer
    (check_sig_alg_match, crypto/x509/v3_purp.c).

    Args:
        certificate: the certificate.
        issuer: a certificate with the issuer's name.

    Raises:
        CertificateParseError: a field can't be read.
    """
    known = _SIGNATURES.get(issuer.key.partition(" ")[0])
    return known is None or certificate.parsed.signature_algorithm_oid.dotted_string.startswith(
        known
    )


def is_self_signed(certificate: Certificate) -> bool:
    """Return True if OpenSSL takes a certificate for self-signed, so that its path ends there.

    That is the case if its subject is its issuer, its authorityKeyIdentifier names no other key,
    and its key is of a type that can make its signature (EXFLAG_SS, crypto/x509/v3_purp.c). The
    signature itself is not verified.

    Not every self-issued certificate is self-signed. An authority that replaces its key can issue
    one for the new key that is signed with the old key (RFC 4210 section 4.4, "new with old"). The
    path of that certificate continues.

    Args:
        certificate: the certificate. Identifiers that can't be read count as naming no other key.

    Raises:
        CertificateParseError: the subject or the issuer can't be read.
    """
    if not certificate.self_issued:
        return False
    try:
        return names_issuer(certificate, certificate) and signature_fits(certificate, certificate)
    except Exception:  # noqa: BLE001  # cryptography raises many types for hostile fields
        return True


class ServedPath(NamedTuple):
    """The certification path that leads up from a leaf through the certificates a server sent.

    ``issuer_missing`` is True if the last certificate is not self-signed, and the server did not
    send the certificate of its issuer.
    """

    certificates: tuple[Certificate, ...]
    issuer_missing: bool

    @property
    def end(self) -> Certificate:
        """The last certificate of the path: the one farthest from the leaf."""
        return self.certificates[-1]


def served_path(served: Sequence[Certificate]) -> ServedPath:
    """Return the certification path up from the leaf, built from the certificates a server sent.

    After each certificate comes the first one that OpenSSL takes for its issuer (``may_issue``).
    Not checked: signatures, dates, and whether the certificates above the leaf are those of
    authorities. If a field can't be read, the path ends there, and ``issuer_missing`` is False.

    Args:
        served: the certificates that a server sent, the leaf first. They may be hostile.
    """
    path = [served[0]]
    with suppress(CertificateParseError):
        while len(path) < _LONGEST_PATH and not is_self_signed(path[-1]):
            others = (each for each in served if each not in path and may_issue(each, path[-1]))
            above = next(others, None)
            if above is None:
                return ServedPath(tuple(path), issuer_missing=True)
            path.append(above)
    return ServedPath(tuple(path), issuer_missing=False)


def may_issue(issuer: Certificate, certificate: Certificate) -> bool:
    """Return True if OpenSSL takes ``issuer`` for the issuer of ``certificate``.

    It does if the subject of ``issuer`` is the issuer's name in ``certificate``, if the
    authorityKeyIdentifier names no other certificate, and if the type of key can make the signature
    (X509_check_issued). Not verified: the signature.

    Args:
        issuer: the candidate for the issuer.
        certificate: the certificate.

    Raises:
        CertificateParseError: the subject of ``issuer``, or the issuer of ``certificate``, can't be
            read. Other fields that can't be read are not compared.
    """
    if _canonical(issuer.subject) != _canonical(certificate.issuer):
        return False
    try:
        return names_issuer(certificate, issuer) and signature_fits(certificate, issuer)
    except Exception:  # noqa: BLE001  # cryptography raises many types for hostile fields
        return True


def _canonical(name: str) -> str:
    """Return a name in lower case and without repeated spaces, to compare names as OpenSSL does."""
    return " ".join(name.casefold().split())


def end_in_roots(anchors: Iterable[Certificate]) -> bool:
    """Return True if each trust anchor is self-signed, or issued by another of these anchors.

    If not, OpenSSL has to accept paths that end at an intermediate (PARTIAL_CHAIN). Issuers are
    compared by name only.

    Raises:
        CertificateParseError: the subject or issuer of an anchor can't be read.
    """
    anchors = tuple(anchors)
    return all(
        is_self_signed(anchor)
        or any(other.subject == anchor.issuer for other in anchors if other != anchor)
        for anchor in anchors
    )


def extensions_of(parsed: x509.Certificate) -> x509.Extensions:
    """Return the extensions of a certificate that ``cryptography`` parsed.

    Raises ``ValueError`` if one can't be read.
    """
    with without_deprecations():
        return parsed.extensions


def extension_of(
    parsed: x509.Certificate, kind: type[_Extension]
) -> x509.Extension[_Extension] | None:
    """Return the extension of the type ``kind``; ``None`` if the certificate doesn't have it.

    ``parsed`` is the certificate as an object of ``cryptography``. Raises ``ValueError`` if an
    extension can't be read.
    """
    from cryptography import x509

    try:
        return extensions_of(parsed).get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None


def extension_value(parsed: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    """Return the value of the extension ``kind``; ``None`` if the certificate doesn't have it.

    ``parsed`` is the certificate as an object of ``cryptography``. Raises ``ValueError`` if an
    extension can't be read.
    """
    found = extension_of(parsed, kind)
    return None if found is None else found.value


def name_of(certificate: Certificate) -> str:
    """Return the first 200 characters of a certificate's subject.

    If the subject is empty or can't be read, return a text in parentheses, such as
    ``(no subject)``.
    """
    try:
        subject = certificate.subject or "(no subject)"
    except CertificateParseError:
        return "(a subject that cannot be read)"
    return shorten(subject)


def issuer_of(certificate: Certificate) -> str:
    """Return the first 200 characters of the name of a certificate's issuer.

    If the name is empty or can't be read, return a text in parentheses, such as ``(no name)``.
    """
    try:
        return shorten(certificate.issuer) or "(no name)"
    except CertificateParseError:
        return "(a name that cannot be read)"


def shorten(name: str) -> str:
    """Return the first 200 characters of a name. The names in certificates can be longer."""
    return name if len(name) <= MAX_SHOWN_NAME else name[:MAX_SHOWN_NAME] + "…"


def quoted(text: str) -> str:
    """Return a text in quotes for an error message, cut to 80 characters, with escapes."""
    short = text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 3] + "…"
    return repr(short)


def no_passphrase() -> None:
    """Return None. Give this function as the argument ``passphrase`` if there is no passphrase."""


def read_items(data: bytes, passphrase: Passphrase = no_passphrase) -> tuple[Item, ...]:
    """Read every certificate and key in a file. Nothing is verified.

    Args:
        data: the content of the file.
        passphrase: a function that returns the passphrase, or None. Called only for encrypted
            content.

    Returns:
        The certificates and public keys in the order of the file; for a private key or a CSR, its
        public key.

    Raises:
        CertificateParseError: the file has no certificate and no key, or a broken one.
        KeyParseError: a key can't be read.
        PassphraseError: a PEM block has an encrypted key, and its passphrase is missing or wrong.
    """
    _require_small(data)
    items = _read_pem(data, passphrase) if _BEGIN in data else _read_der(data, passphrase)
    if not items:
        raise CertificateParseError(
            "there is no certificate and no key in it",
            fix="give a certificate, CSR, key or PKCS#12 file, as PEM or DER",
        )
    return items


def _is_protected_der(data: bytes) -> bool:
    """Return True if a file may need a passphrase: it begins like PKCS#12 or encrypted PKCS#8.

    See RFC 7292 and RFC 5958, encoded as DER or BER. The rest of the file is not checked. ``data``
    is the content of the file.
    """
    if data[:1] != _SEQUENCE or len(data) < _LONGEST_HEADER:
        return False
    content = data[2 + (data[1] & 0x7F if data[1] & 0x80 else 0) :]
    return content.startswith((b"\x02\x01\x03", b"\x30"))  # version 3; an algorithm


def _require_small(data: bytes) -> None:
    if len(data) > MAX_FILE_BYTES:
        raise CertificateParseError(f"more than {MAX_FILE_BYTES} bytes: not a certificate file")


def read_certificates(data: bytes) -> tuple[Certificate, ...]:
    """Read every certificate of a file that must contain nothing else, such as trust anchors.

    A key or a PKCS#12 file is not even parsed.

    Returns:
        The certificates in the order of the file. Nothing is verified.

    Raises:
        CertificateParseError: a certificate can't be read, or the file also contains a key or a
            CSR.
    """
    _require_small(data)
    if not data.strip():
        raise CertificateParseError("it is empty", fix="give certificates, as PEM or DER")
    if _BEGIN not in data:
        if not data.startswith(_SEQUENCE):
            raise CertificateParseError(
                "there is no certificate in it", fix="give certificates, as PEM or DER"
            )
        return (Certificate.from_der(data),)
    blocks = [block.groups() for block in _complete_blocks(data)]
    for label, _ in blocks:
        if label not in _CERTIFICATES:
            raise CertificateParseError(
                f"something in it is not a certificate: a PEM block {label.decode()!r}",
                fix=_CONVERSIONS.get(label, "keep keys, CSRs and all else in other files"),
            )
    return tuple(Certificate.from_der(_decode(body)) for _, body in blocks)


def pem_blocks(data: bytes) -> Iterator[tuple[int, bytes | None]]:
    """Yield the offset and the bytes of each PEM block in a file (RFC 7468 section 2).

    For an incomplete block, the bytes are None. The search then continues after its first line.
    """
    offset = data.find(_BEGIN)
    while offset >= 0:
        block = _PEM.match(data, offset)
        yield offset, block[0] if block else None
        offset = data.find(_BEGIN, block.end() if block else offset + 1)


def _complete_blocks(data: bytes) -> list[re.Match[bytes]]:
    blocks = list(_PEM.finditer(data))
    if len(blocks) != data.count(_BEGIN):
        raise CertificateParseError("a PEM block is incomplete", fix="copy the whole file again")
    return blocks


def _read_pem(data: bytes, passphrase: Passphrase) -> tuple[Item, ...]:
    from certpin.x509.rehearsal import is_short, within_limits  # on first use: it loads subprocess

    private = [block for block in _complete_blocks(data) if block[1].endswith(_PRIVATE_KEY)]
    secrets = [_ask(passphrase) for block in private if _is_sealed(block)]
    short = is_short(b"".join(block[0] for block in private))
    return within_limits(_parse_pem, data, *secrets, short=short)


def _parse_pem(data: bytes, *secrets: bytes) -> tuple[Item, ...]:
    """Return the certificates and public keys in PEM data, in the order of the blocks.

    ``secrets`` has one passphrase for each encrypted key, in the order of these keys.
    """
    left = iter(secrets)
    return tuple(item for block in _complete_blocks(data) for item in _parse_block(block, left))


def _parse_block(block: re.Match[bytes], secrets: Iterator[bytes]) -> Iterator[Item]:
    label, body = block.groups()
    if label in _CERTIFICATES:
        yield Certificate.from_der(_decode(body))
    elif label in _REQUESTS:
        yield keys.certificate_request(_decode(body))
    elif label == b"PUBLIC KEY":
        yield keys.public_key(_decode(body))
    elif label.endswith(_PRIVATE_KEY) and _is_sealed(block):
        yield keys.encrypted_private_key(block[0], next(secrets))
    elif label.endswith(_PRIVATE_KEY):
        yield keys.private_key(_decode(body))
    elif label != b"EC PARAMETERS":  # `openssl ecparam -genkey` writes them before the key
        raise KeyParseError(
            f"a PEM block {label.decode()!r} is not supported", fix="convert it with openssl"
        )


def _is_sealed(block: re.Match[bytes]) -> bool:
    """Return True if a PEM block with a private key is encrypted.

    Both encryptions are recognised: that of PKCS#8, and that of OpenSSL's older format.
    """
    return block[1].startswith(b"ENCRYPTED") or b"ENCRYPTED" in block[2]


def _read_der(data: bytes, passphrase: Passphrase) -> tuple[Item, ...]:
    """Return the certificates or the public key in DER data of any kind that certpin reads.

    The kinds are tried in order: a certificate, a CSR, a public key, PKCS#12, and a private key.
    The function ``passphrase`` returns the passphrase. It is called only for PKCS#12 or a private
    key that is encrypted.
    """
    from certpin.x509.rehearsal import KeyLimitError, is_short, within_limits

    for parse in (Certificate.from_der, keys.certificate_request, keys.public_key):
        with suppress(InputError):
            return (parse(data),)
    if _is_protected_der(data):
        return _read_protected(data, passphrase)
    try:
        return (within_limits(keys.private_key, data, short=is_short(data)),)
    except KeyLimitError:
        raise
    except KeyParseError as exc:
        raise KeyParseError(
            "there is no certificate and no key in it that can be read",
            fix="give a certificate, CSR, key or PKCS#12 file, as PEM or DER; for another kind "
            f"of private key, {keys.MAKE_AN_SPKI}",
        ) from exc


def _read_protected(data: bytes, passphrase: Passphrase) -> tuple[Item, ...]:
    """Return the certificates, or the public key, of PKCS#12 or encrypted PKCS#8 data.

    ``passphrase`` is a function that returns the passphrase. It is not called for PKCS#12 without
    encryption. Only the first bytes of ``data`` were compared with these formats, and data in other
    formats can begin like that. So a missing or wrong passphrase is no ``PassphraseError`` here.
    """
    from certpin.x509.rehearsal import KeyLimitError, within_limits

    try:
        return within_limits(_read_pkcs12, data)
    except KeyLimitError:
        raise
    except KeyParseError:
        secret = passphrase()
    if secret is None:
        raise KeyParseError(
            "there is no certificate and no key in it that can be read without a passphrase",
            fix="give a certificate, CSR, key or PKCS#12 file, and its passphrase if it has one",
        )
    return within_limits(_read_encrypted, data, secret)


def _read_encrypted(data: bytes, secret: bytes) -> tuple[Item, ...]:
    """Return the certificates, or the public key, of PKCS#12 or encrypted PKCS#8 data.

    ``secret`` is the passphrase. For the formats, see RFC 7292 and RFC 5958.
    """
    with suppress(KeyParseError):
        return _read_pkcs12(data, secret)
    try:
        return (keys.encrypted_private_key(data, secret),)
    except keys.PassphraseError as exc:
        raise KeyParseError(exc.problem, fix=exc.fix) from exc


def _read_pkcs12(data: bytes, secret: bytes | None = None) -> tuple[Item, ...]:
    """Return the certificates in PKCS#12 data, leaf first; if there are none, the public key.

    ``secret`` is the passphrase. Raises ``KeyParseError`` if the passphrase is wrong, or the data
    is not PKCS#12.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

    try:
        store = pkcs12.load_pkcs12(data, secret)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise KeyParseError("this is not a PKCS#12 file", fix="or its passphrase is wrong") from exc
    entries = [entry for entry in (store.cert, *store.additional_certs) if entry is not None]
    if not entries and store.key is not None:
        return (keys.parsed_private_key(store.key),)
    return tuple(
        Certificate.from_der(entry.certificate.public_bytes(Encoding.DER)) for entry in entries
    )


def _ask(passphrase: Passphrase) -> bytes:
    secret = passphrase()
    if secret is None:
        raise keys.MissingPassphraseError(
            "its private key is encrypted, and can't be read without a passphrase",
            fix=f"give its passphrase, or {keys.MAKE_AN_SPKI}",
        )
    return secret


def _decode(body: bytes) -> bytes:
    try:
        return base64.b64decode(b"".join(body.split()), validate=True)
    except binascii.Error as exc:
        raise CertificateParseError(
            "a PEM block is not base64", fix="copy the whole file again"
        ) from exc
