"""ASN.1 structures of certificates and keys, declared for ``hazmat.asn1``, to forge their fields.

Fields that are not forged, and large numbers, are kept as undecoded TLVs (tag, length, value), and
written back unchanged. This module encodes the structures itself, because the encoder of
cryptography 47 supports neither TLVs nor large numbers.
"""

import dataclasses
import typing

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.serialization import Encoding

from certpin.x509.der import element

# No `from __future__ import annotations`: the parser needs the annotations as objects.


@asn1.sequence
class TBSCertificate:
    """The signed part of a certificate (RFC 5280 section 4.1)."""

    version: typing.Annotated[int | None, asn1.Explicit(0)]
    serial_number: asn1.TLV
    signature: asn1.TLV
    issuer: asn1.TLV
    validity: asn1.TLV
    subject: asn1.TLV
    subject_public_key_info: asn1.TLV
    issuer_unique_id: typing.Annotated[asn1.BitString | None, asn1.Implicit(1)]
    subject_unique_id: typing.Annotated[asn1.BitString | None, asn1.Implicit(2)]
    extensions: typing.Annotated[list[asn1.TLV] | None, asn1.Explicit(3)]


@asn1.sequence
class CertificateFields:
    """A certificate: its signed part, its algorithm and its signature (RFC 5280 section 4.1)."""

    tbs_certificate: TBSCertificate
    signature_algorithm: asn1.TLV
    signature_value: asn1.BitString


@asn1.sequence
class ECPrivateKey:
    """An EC private key in the traditional format (RFC 5915 section 3)."""

    version: int
    private_key: bytes
    parameters: typing.Annotated[x509.ObjectIdentifier, asn1.Explicit(0)]
    public_key: typing.Annotated[asn1.BitString, asn1.Explicit(1)]


@asn1.sequence
class RSAPrivateKey:
    """An RSA private key in the traditional format (RFC 8017 appendix A.1.2)."""

    version: int
    modulus: asn1.TLV
    public_exponent: asn1.TLV
    private_exponent: asn1.TLV
    prime1: asn1.TLV
    prime2: asn1.TLV
    exponent1: asn1.TLV
    exponent2: asn1.TLV
    coefficient: asn1.TLV


@asn1.sequence
class PublicKeyInfo:
    """A public key with its algorithm: SubjectPublicKeyInfo (RFC 5280 section 4.1)."""

    algorithm: asn1.TLV
    subject_public_key: asn1.BitString


@asn1.sequence
class PrivateKeyInfo:
    """A private key with its algorithm: PKCS#8 (RFC 5208 section 5)."""

    version: int
    algorithm: asn1.TLV
    private_key: bytes


@asn1.sequence
class FieldID:
    """The prime field of explicit curve parameters (RFC 3279 section 2.3.5)."""

    field_type: x509.ObjectIdentifier
    prime: asn1.TLV


@asn1.sequence
class Curve:
    """The coefficients of explicit curve parameters (RFC 3279 section 2.3.5)."""

    a: bytes
    b: bytes


@asn1.sequence
class ECParameters:
    """The explicit parameters of an elliptic curve (RFC 3279 section 2.3.5)."""

    version: int
    field_id: FieldID
    curve: Curve
    base: bytes
    order: asn1.TLV
    cofactor: int


@asn1.sequence
class ECAlgorithm:
    """The AlgorithmIdentifier of a key with explicit curve parameters (RFC 3279 section 2.3.5)."""

    algorithm: x509.ObjectIdentifier
    parameters: ECParameters


@asn1.sequence
class ECPublicKeyInfo:
    """The SubjectPublicKeyInfo of a key with explicit curve parameters (RFC 3279 section 2.3.5)."""

    algorithm: ECAlgorithm
    subject_public_key: asn1.BitString


@asn1.sequence
class PlainAlgorithm:
    """An AlgorithmIdentifier without parameters (ECDSA: RFC 5758 section 3.2)."""

    algorithm: x509.ObjectIdentifier


@asn1.sequence
class NullAlgorithm:
    """An AlgorithmIdentifier with NULL parameters (RSA: RFC 4055 section 5)."""

    algorithm: x509.ObjectIdentifier
    parameters: asn1.Null


def take_apart(certificate: x509.Certificate) -> CertificateFields:
    """Parse a certificate into its fields, so that a forger can change them.

    ``put_together`` builds a certificate from the result.
    """
    return asn1.decode_der(CertificateFields, certificate.public_bytes(Encoding.DER))


def put_together(parts: CertificateFields) -> x509.Certificate:
    """Build a certificate from its fields, which ``take_apart`` returned and a forger has changed.

    Only the outer ASN.1 structure is checked. The public key and the signature are not.
    """
    return x509.load_der_x509_certificate(encode(parts))


def field(der: bytes) -> asn1.TLV:
    """Decode DER bytes into a TLV, which can replace a field of the structures in this module."""
    return asn1.decode_der(asn1.TLV, der)


def bits(octets: bytes) -> asn1.BitString:
    """Return a BIT STRING of the bytes ``octets``, without unused bits."""
    return asn1.BitString(octets, 0)


def number(value: int) -> asn1.TLV:
    """Return the positive INTEGER ``value``, of any size (X.690 section 8.3)."""
    return field(element(b"\x02", value.to_bytes(value.bit_length() // 8 + 1)))


# The context-specific tags of the fields above, because the parser's annotations can't be read.
_EXPLICIT = {
    (TBSCertificate, "version"): b"\xa0",
    (TBSCertificate, "extensions"): b"\xa3",
    (ECPrivateKey, "parameters"): b"\xa0",
    (ECPrivateKey, "public_key"): b"\xa1",
}
_IMPLICIT = {
    (TBSCertificate, "issuer_unique_id"): b"\x81",
    (TBSCertificate, "subject_unique_id"): b"\x82",
}


def encode(value: typing.Any) -> bytes:
    """Return the DER of a structure of this module, or of a field of one (X.690 section 10).

    ``value`` is the structure, such as a ``CertificateFields``, or the field.
    """
    if isinstance(value, asn1.TLV):
        return element(bytes(value.tag_bytes), bytes(value.data))
    if isinstance(value, asn1.BitString):
        return element(b"\x03", bytes([value.padding_bits()]) + value.as_bytes())
    if isinstance(value, list):
        return element(b"\x30", b"".join(map(encode, value)))
    if dataclasses.is_dataclass(value) and not isinstance(value, asn1.Null):
        names = [field.name for field in dataclasses.fields(value)]
        return element(b"\x30", b"".join(_field_of(value, name) for name in names))
    return asn1.encode_der(value)


def _field_of(structure: typing.Any, name: str) -> bytes:
    value, at = getattr(structure, name), (type(structure), name)
    if value is None:
        return b""
    content = encode(value)
    if at in _EXPLICIT:
        return element(_EXPLICIT[at], content)
    return _IMPLICIT[at] + content[1:] if at in _IMPLICIT else content
