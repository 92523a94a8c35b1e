"""Which certificate may be the issuer of another, by its names and key identifiers.

Signatures are not verified here: ``certpin.x509.chain`` does that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from certpin.x509.certificate import without_deprecations

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptography import x509

    from certpin.x509.certificate import Certificate

_Extension = TypeVar("_Extension", bound="x509.ExtensionType")


def names_issuer(certificate: Certificate, issuer: Certificate) -> bool:
    """Return False if the authorityKeyIdentifier of a certificate names another issuer.

    OpenSSL then looks for another one (X509_check_akid; RFC 5280 section 4.2.1.1).

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


def is_self_signed(certificate: Certificate) -> bool:
    """Return True if OpenSSL takes a certificate for self-signed, and so for the end of its path.

    Its subject is its issuer, and its authorityKeyIdentifier names no other key (EXFLAG_SS,
    crypto/x509/v3_purp.c). A certificate with which an authority replaces its key is self-issued,
    too, but signed with the old key (RFC 4210 section 4.4, "new with old"): its path continues.

    Args:
        certificate: the certificate. If its identifiers can't be read, they name no other key.

    Raises:
        CertificateParseError: the subject or the issuer can't be read.
    """
    if not certificate.self_issued:
        return False
    try:
        return names_issuer(certificate, certificate)
    except Exception:  # noqa: BLE001  # cryptography raises many types for hostile fields
        return True


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
    """Return the extensions of a certificate. Raises ``ValueError`` if one can't be read."""
    with without_deprecations():
        return parsed.extensions


def extension_of(
    parsed: x509.Certificate, kind: type[_Extension]
) -> x509.Extension[_Extension] | None:
    """Return the extension of a type, or ``None``. Raises ``ValueError`` if one can't be read."""
    from cryptography import x509

    try:
        return extensions_of(parsed).get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None


def extension_value(parsed: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    """Return the value of an extension, or ``None``. Raises ``ValueError`` if one can't be read."""
    found = extension_of(parsed, kind)
    return None if found is None else found.value
