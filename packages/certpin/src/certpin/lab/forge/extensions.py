"""Certificates with extensions removed or added, signed again by their issuer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cryptography import x509

if TYPE_CHECKING:
    from certpin.lab.authority import Authority, Identity

    Kinds = tuple[type[x509.ExtensionType], ...]
    # Each with whether it is critical.
    Additions = tuple[tuple[x509.ExtensionType, bool], ...]


def change_server(
    identity: Identity, issuer: Authority, *, without: Kinds = (), adding: Additions = ()
) -> Identity:
    """Return the server with a new certificate from the same authority."""
    leaf, *path = identity.chain
    return replace(identity, chain=(_sign_again(leaf, issuer, without, adding), *path))


def change_intermediate(
    authority: Authority, *, without: Kinds = (), adding: Additions = ()
) -> Authority:
    """Return the intermediate with a new certificate from its issuer."""
    assert authority.issuer is not None  # noqa: S101  # a root has no issuer that could
    certificate = _sign_again(authority.x509, authority.issuer, without, adding)
    return authority.certified(certificate, authority.issuer)


def _sign_again(
    certificate: x509.Certificate, issuer: Authority, without: Kinds, adding: Additions
) -> x509.Certificate:
    """Sign a certificate again with the same names, key, dates and serial number."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(certificate.subject)
        .issuer_name(certificate.issuer)
        .public_key(certificate.public_key())
        .serial_number(certificate.serial_number)
        .not_valid_before(certificate.not_valid_before_utc)
        .not_valid_after(certificate.not_valid_after_utc)
    )
    for extension in certificate.extensions:
        if not isinstance(extension.value, without):
            builder = builder.add_extension(extension.value, extension.critical)
    for value, critical in adding:
        builder = builder.add_extension(value, critical)
    return issuer._sign(builder)
