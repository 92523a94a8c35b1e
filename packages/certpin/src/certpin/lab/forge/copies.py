"""Copies of a certificate, issued by another authority."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import AuthorityKeyIdentifier, SubjectKeyIdentifier

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.types import (
        CertificateIssuerPrivateKeyTypes,
        CertificatePublicKeyTypes,
    )


def reissue(
    certificate: x509.Certificate,
    key: CertificatePublicKeyTypes,
    issuer: x509.Certificate | None,
    signer: CertificateIssuerPrivateKeyTypes,
    subject: x509.Name | None = None,
) -> x509.Certificate:
    """A copy for another key, issued by another authority, and by all rules.

    Everything else stays, the identifier of the subject's key too: it is only a name (RFC 5280
    section 4.2.1.2), and a forger chooses it. Without an issuer it is self-issued. A
    ``subject`` takes the place of the copied one.
    """
    above = issuer or certificate
    builder = _begin(certificate, subject or certificate.subject, above.subject, key)
    for extension in certificate.extensions:
        if not isinstance(extension.value, AuthorityKeyIdentifier):
            builder = builder.add_extension(extension.value, extension.critical)
    identifier = _identifier(above)
    if identifier:
        builder = builder.add_extension(identifier, critical=False)
    return builder.sign(signer, hashes.SHA256())


def namesake_of_issuer(
    certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    """Return a root with the name and key identifier of a certificate's issuer."""
    name = certificate.issuer
    builder = _begin(certificate, name, name, key.public_key()).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    try:
        authority = certificate.extensions.get_extension_for_class(AuthorityKeyIdentifier)
    except x509.ExtensionNotFound:
        return builder.sign(key, hashes.SHA256())
    digest = SubjectKeyIdentifier(authority.value.key_identifier or b"")
    return builder.add_extension(digest, critical=False).sign(key, hashes.SHA256())


def _begin(
    dated: x509.Certificate, subject: x509.Name, issuer: x509.Name, key: CertificatePublicKeyTypes
) -> x509.CertificateBuilder:
    """A builder with the dates of another certificate."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(dated.not_valid_before_utc)
        .not_valid_after(dated.not_valid_after_utc)
    )


def _identifier(issuer: x509.Certificate) -> AuthorityKeyIdentifier | None:
    """Return the key identifier of this issuer, if its certificate has one."""
    try:
        subject = issuer.extensions.get_extension_for_class(SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return None
    return AuthorityKeyIdentifier.from_issuer_subject_key_identifier(subject.value)
