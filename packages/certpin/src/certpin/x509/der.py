"""Parse the few DER structures that certpin needs, strictly, and encode some.

The parser is that of ``cryptography`` (``hazmat.asn1``: strict DER, X.690 section 10; no indefinite
or padded lengths, no trailing bytes). This module declares the fields, so that the bytes of a
SubjectPublicKeyInfo are returned unchanged: encoding a parsed key again would lose the RSA-PSS
parameters, and give another digest than ``openssl`` prints.

OpenSSL reads some parts as BER and writes them as DER (algorithms, the integers of an RSA key,
unused bits). A key with such parts in BER would have two digests, so it is refused here.

Import this module on first use, because loading the parser takes longer than importing the rest of
certpin.
"""

import typing

from cryptography.hazmat import asn1

# No `from __future__ import annotations` here: the parser reads the annotations as objects.

# The contents of their OIDs (RFC 8017 appendix C, RFC 5480 section 2.1.1).
_EC = bytes.fromhex("2a8648ce3d0201")
_RSA = bytes.fromhex("2a864886f70d010101")
_RSA_PSS = bytes.fromhex("2a864886f70d01010a")

# NULL, OBJECT IDENTIFIER and SEQUENCE: the types of the optional parameters of an algorithm
# (RFC 3279, 4055, 5480, 8410, 9881). Those in use nest at most five levels deep.
_NULL, _OID, _SEQUENCE = b"\x05", b"\x06", b"\x30"
_DEEPEST = 8

_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}

_CONSTRUCTED, _CLASS = 0x20, 0xC0  # X.690 section 8.1.2


class DerError(ValueError):
    """The parser accepts the bytes, but this module does not. The message is a text for users.

    The parser raises ``ValueError`` itself, with messages for its developers.
    """


@asn1.sequence
class _TBSCertificate:
    """ASN.1 declaration for the parser: the signed part of a certificate (RFC 5280 section 4.1)."""

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
    """ASN.1 declaration for the parser: a certificate (RFC 5280 section 4.1)."""

    tbs_certificate: _TBSCertificate
    signature_algorithm: list[asn1.TLV]
    signature_value: asn1.BitString


@asn1.sequence
class _SubjectPublicKeyInfo:
    """ASN.1 declaration for the parser: a public key and its algorithm (RFC 5280, 4.1.2.7)."""

    algorithm: list[asn1.TLV]
    subject_public_key: asn1.BitString


@asn1.sequence
class _RSAPublicKey:
    """ASN.1 declaration for the parser: an RSA public key (RFC 8017 appendix A.1.1)."""

    modulus: int
    public_exponent: int


@asn1.sequence
class _CertificationRequestInfo:
    """ASN.1 declaration for the parser: the signed part of a CSR (RFC 2986 section 4.1).

    The attributes of the CSR are a SET of any type, and are not parsed.
    """

    version: int
    subject: asn1.TLV
    subject_public_key_info: asn1.TLV
    attributes: asn1.TLV


@asn1.sequence
class _CertificationRequest:
    """ASN.1 declaration for the parser: a CSR (RFC 2986 section 4.2)."""

    info: _CertificationRequestInfo
    signature_algorithm: asn1.TLV
    signature: asn1.BitString


@asn1.sequence
class _PrivateKeyInfo:
    """ASN.1 declaration for the parser: a PKCS#8 private key, any version (RFC 5958 section 2)."""

    version: int
    algorithm: asn1.TLV
    private_key: bytes
    attributes: typing.Annotated[list[asn1.TLV] | None, asn1.Implicit(0)]
    public_key: typing.Annotated[asn1.BitString | None, asn1.Implicit(1)]


@asn1.sequence
class _Holder:
    """ASN.1 declaration for the parser: a SEQUENCE with one field, a list of DER values.

    The parser can't read a list on its own, only as the field of a structure.
    """

    fields: list[asn1.TLV]


def certificate_spki(der: bytes) -> bytes:
    """Return the SubjectPublicKeyInfo of a certificate, byte for byte.

    Raises ``ValueError`` if the certificate or its key is not strict DER.
    """
    certificate = asn1.decode_der(_Certificate, der)
    _check_algorithm(certificate.signature_algorithm)
    return _spki(certificate.tbs_certificate.subject_public_key_info)


def request_spki(der: bytes) -> bytes:
    """Return the SubjectPublicKeyInfo of a CSR, byte for byte.

    Raises ``ValueError`` if the CSR or its key is not strict DER.
    """
    return _spki(asn1.decode_der(_CertificationRequest, der).info.subject_public_key_info)


def check_spki(der: bytes) -> None:
    """Raise ``ValueError`` unless the bytes are one SubjectPublicKeyInfo in strict DER.

    Its algorithm, and the numbers of an RSA key, are checked too.
    """
    info = asn1.decode_der(_SubjectPublicKeyInfo, der)
    if info.subject_public_key.padding_bits():
        raise DerError("a key consists of whole octets")
    algorithm = _check_algorithm(info.algorithm)
    if algorithm in {_RSA, _RSA_PSS}:
        _check_rsa(info.subject_public_key.as_bytes())
    if algorithm == _RSA and [field.tag_bytes for field in info.algorithm[1:]] != [_NULL]:
        raise DerError("the parameters of an RSA key are NULL (RFC 3279 section 2.3.1)")


def describe_key(spki: bytes) -> str:
    """Return the type of the key in a SubjectPublicKeyInfo, such as ``EC P-256`` or ``RSA 2048``.

    ``spki`` is its DER. An RSA key that is limited to RSASSA-PSS (RFC 4055 section 1.2) is
    ``RSA-PSS 2048``. For a type that certpin doesn't know, return its OID: ``key OID 1.2.3``.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        key = load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm):
        return _oid_of(spki)
    if isinstance(key, rsa.RSAPublicKey):
        is_pss = bytes(asn1.decode_der(_SubjectPublicKeyInfo, spki).algorithm[0].data) == _RSA_PSS
        return f"{'RSA-PSS' if is_pss else 'RSA'} {key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {_CURVES.get(key.curve.name, key.curve.name)}"
    return type(key).__name__.removesuffix("PublicKey").replace("MLDSA", "ML-DSA-")


def has_named_curve(spki: bytes) -> bool:
    """Return False for an EC key that doesn't name its curve by an OID; True for all other keys.

    RFC 5480 section 2.1.1 forbids explicit parameters, because a forger could choose the generator
    of the curve (CVE-2020-0601).

    Raises ``ValueError`` if the bytes are no SubjectPublicKeyInfo.
    """
    algorithm, *parameters = asn1.decode_der(_SubjectPublicKeyInfo, spki).algorithm
    return bytes(algorithm.data) != _EC or [each.tag_bytes for each in parameters] == [_OID]


def _oid_of(spki: bytes) -> str:
    from cryptography.x509 import ObjectIdentifier

    try:
        algorithm = asn1.decode_der(_SubjectPublicKeyInfo, spki).algorithm
        oid: ObjectIdentifier = algorithm[0].parse(ObjectIdentifier)
    except ValueError:
        return "a key that cannot be read"
    return f"key OID {oid.dotted_string}"


def with_private_algorithm(spki: bytes, pkcs8: bytes) -> bytes:
    """Return the SPKI of an RSA key, with RSA-PSS as its algorithm if the private key has that.

    ``cryptography`` reads RSA-PSS keys (RFC 4055 section 1.2) as plain RSA.

    Args:
        spki: the SubjectPublicKeyInfo that ``cryptography`` wrote, with plain RSA.
        pkcs8: the unencrypted private key in DER.

    Returns:
        The SPKI with the algorithm and parameters of the private key; ``spki`` unchanged if the
        private key is plain RSA, as all keys in PKCS#1 are.

    Raises:
        ValueError: the algorithm is not strict DER.
    """
    try:
        algorithm = asn1.decode_der(_PrivateKeyInfo, pkcs8).algorithm
    except ValueError:
        return spki
    if _check_algorithm(_fields(algorithm)) != _RSA_PSS:
        return spki
    key = asn1.decode_der(_SubjectPublicKeyInfo, spki).subject_public_key
    spki = _sequence(_raw(algorithm) + bit_string(key.as_bytes()))
    check_spki(spki)
    return spki


def _check_algorithm(fields: list[asn1.TLV]) -> bytes:
    """Check an AlgorithmIdentifier (RFC 5280 section 4.1.1.2), and return its OID as bytes.

    Raises ``ValueError`` if its fields are not an OID and optional parameters.
    """
    if not 1 <= len(fields) <= 2 or fields[0].tag_bytes != _OID:
        raise DerError("an algorithm is an OID and optional parameters")
    for parameters in fields[1:]:
        if parameters.tag_bytes not in {_NULL, _OID, _SEQUENCE}:
            raise DerError("no algorithm has such parameters")
        _check_value(parameters, 0)
    return bytes(fields[0].data)


def _check_value(field: asn1.TLV, depth: int) -> None:
    """Raise ``ValueError`` if a value contains an encoding that BER allows, but DER doesn't.

    That is a constructed string or a padded integer. Also raise it if the value is nested too
    deeply. Not checked: the encodings of lengths, because the parser has checked them.

    Args:
        field: the value.
        depth: the number of values that contain this one.
    """
    tag = field.tag_bytes[0]
    if tag & _CONSTRUCTED:
        if depth == _DEEPEST or (not tag & _CLASS and field.tag_bytes not in {_SEQUENCE, b"\x31"}):
            raise DerError("only a SEQUENCE or a SET is constructed, to a limited depth")
        for child in _fields(field):
            _check_value(child, depth + 1)
    elif field.tag_bytes == b"\x02":
        field.parse(int)


def _check_rsa(der: bytes) -> None:
    key = asn1.decode_der(_RSAPublicKey, der)
    if key.modulus <= 0 or key.public_exponent <= 0:
        raise DerError("the numbers of an RSA key are positive")


def _spki(field: asn1.TLV) -> bytes:
    der = _raw(field)
    check_spki(der)
    return der


def _fields(field: asn1.TLV) -> list[asn1.TLV]:
    holder = asn1.decode_der(_Holder, _sequence(_sequence(bytes(field.data))))
    return holder.fields


def _raw(field: asn1.TLV) -> bytes:
    return element(bytes(field.tag_bytes), bytes(field.data))


def _sequence(content: bytes) -> bytes:
    return element(_SEQUENCE, content)


def bit_string(octets: bytes) -> bytes:
    """Return bytes as a DER BIT STRING without unused bits."""
    return element(b"\x03", b"\x00" + octets)


def element(tag: bytes, content: bytes) -> bytes:
    """Return the DER encoding of an element with this tag and content."""
    return tag + _length(len(content)) + content


def _length(count: int) -> bytes:
    """Return the DER encoding of ``count``, the length of a value in bytes (X.690 section 10.1)."""
    if count < 0x80:
        return bytes([count])
    octets = count.to_bytes((count.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(octets)]) + octets
