"""The few DER structures that certpin takes apart, read strictly.

``cryptography`` has the parser (``hazmat.asn1``: strict DER, X.690 section 10; no indefinite or
padded lengths, no trailing bytes). This module only names the fields, so that the bytes of a
SubjectPublicKeyInfo come out as they stand: encoding a parsed key again would lose the RSA-PSS
parameters and give another digest than ``openssl`` prints.

Imported on first use: loading the parser costs more than importing all the rest of certpin.
"""

import typing

from cryptography.hazmat import asn1

# No `from __future__ import annotations` here: the parser reads the annotations as objects.


@asn1.sequence
class _TBSCertificate:
    """RFC 5280 section 4.1, down to the fields that certpin reads."""

    version: typing.Annotated[int | None, asn1.Explicit(0)]
    serial_number: int
    signature: asn1.TLV
    issuer: asn1.TLV
    validity: asn1.TLV
    subject: asn1.TLV
    subject_public_key_info: asn1.TLV
    issuer_unique_id: typing.Annotated[asn1.BitString | None, asn1.Implicit(1)]
    subject_unique_id: typing.Annotated[asn1.BitString | None, asn1.Implicit(2)]
    extensions: typing.Annotated[list[asn1.TLV] | None, asn1.Explicit(3)]


@asn1.sequence
class _Certificate:
    """RFC 5280 section 4.1."""

    tbs_certificate: _TBSCertificate
    signature_algorithm: asn1.TLV
    signature_value: asn1.BitString


@asn1.sequence
class _SubjectPublicKeyInfo:
    """RFC 5280 section 4.1.2.7."""

    algorithm: asn1.TLV
    subject_public_key: asn1.BitString


@asn1.sequence
class _CertificationRequestInfo:
    """RFC 2986 section 4.1. The attributes are a SET of any type: read as bytes."""

    version: int
    subject: asn1.TLV
    subject_public_key_info: asn1.TLV
    attributes: asn1.TLV


@asn1.sequence
class _CertificationRequest:
    """RFC 2986 section 4.2."""

    info: _CertificationRequestInfo
    signature_algorithm: asn1.TLV
    signature: asn1.BitString


@asn1.sequence
class _PrivateKeyInfo:
    """RFC 5958 section 2 (PKCS#8), the three fields that every version has."""

    version: int
    algorithm: asn1.TLV
    private_key: bytes
    attributes: typing.Annotated[list[asn1.TLV] | None, asn1.Implicit(0)]
    public_key: typing.Annotated[asn1.BitString | None, asn1.Implicit(1)]


def certificate_spki(der: bytes) -> bytes:
    """The SubjectPublicKeyInfo of a certificate, as it stands. Raises ValueError on anything else."""
    return _spki(asn1.decode_der(_Certificate, der).tbs_certificate.subject_public_key_info)


def request_spki(der: bytes) -> bytes:
    """The SubjectPublicKeyInfo of a CSR, as it stands. Raises ValueError on anything else."""
    return _spki(asn1.decode_der(_CertificationRequest, der).info.subject_public_key_info)


def check_spki(der: bytes) -> None:
    """Raise ValueError unless the bytes are one SubjectPublicKeyInfo."""
    asn1.decode_der(_SubjectPublicKeyInfo, der)


def with_private_algorithm(spki: bytes, pkcs8: bytes) -> bytes:
    """The SPKI with the AlgorithmIdentifier of the PKCS#8 key that it belongs to.

    Only RSA-PSS keys need it (RFC 4055 section 1.2): the parser reads them as plain RSA.
    PKCS#1 keys are plain RSA, and come back as they are.
    """
    try:
        algorithm = _raw(asn1.decode_der(_PrivateKeyInfo, pkcs8).algorithm)
    except ValueError:
        return spki
    public = asn1.decode_der(_SubjectPublicKeyInfo, spki).subject_public_key
    content = algorithm + _bit_string(public.as_bytes())
    return b"\x30" + _length(len(content)) + content


def _spki(field: typing.Any) -> bytes:
    der = _raw(field)
    check_spki(der)
    return der


def _raw(field: typing.Any) -> bytes:
    content = bytes(field.data)
    return bytes(field.tag_bytes + _length(len(content)) + content)


def _bit_string(octets: bytes) -> bytes:
    return b"\x03" + _length(len(octets) + 1) + b"\x00" + octets


def _length(count: int) -> bytes:
    """A DER length: the one and only shortest form (X.690 section 10.1), as the parser demanded."""
    if count < 0x80:
        return bytes([count])
    octets = count.to_bytes((count.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(octets)]) + octets
