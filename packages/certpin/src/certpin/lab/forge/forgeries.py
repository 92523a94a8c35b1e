"""Forge certificates, keys and signatures, as the attacks of the lab need them."""

from __future__ import annotations

import ssl
from dataclasses import replace
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import AuthorityKeyIdentifier, SubjectKeyIdentifier
from cryptography.x509.oid import SignatureAlgorithmOID

from certpin.lab.case import CannotServeError
from certpin.lab.forge import der

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import (
        CertificateIssuerPrivateKeyTypes,
        CertificatePublicKeyTypes,
    )

    from certpin.lab.authority import Authority, Identity

    Kinds = tuple[type[x509.ExtensionType], ...]
    Additions = tuple[tuple[x509.ExtensionType, bool], ...]


def reissue(
    certificate: x509.Certificate,
    key: CertificatePublicKeyTypes,
    issuer: x509.Certificate | None,
    signer: CertificateIssuerPrivateKeyTypes,
    subject: x509.Name | None = None,
    *,
    serial: int | None = None,
) -> x509.Certificate:
    """Return a copy of a certificate for another key, with a valid signature of an issuer.

    Fields that no argument changes are copied. This includes the subject key identifier, although
    the key is another: a verifier can't rely on it, because a forger can choose it (RFC 5280
    section 4.2.1.2).

    Args:
        certificate: the certificate to copy.
        key: the public key of the copy.
        issuer: the certificate of the issuer; None for a self-issued copy.
        signer: the private key that signs the copy.
        subject: the subject of the copy; None keeps that of the certificate.
        serial: the serial number of the copy; None for a random one.
    """
    above = issuer or certificate
    builder = _begin(certificate, subject or certificate.subject, above.subject, key, serial)
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
    """Return a self-signed root that has the name and the key identifier of a certificate's issuer.

    Args:
        certificate: the certificate with the issuer to imitate.
        key: the private key of the new root.
    """
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
    dated: x509.Certificate,
    subject: x509.Name,
    issuer: x509.Name,
    key: CertificatePublicKeyTypes,
    serial: int | None = None,
) -> x509.CertificateBuilder:
    """Return a certificate builder with this subject, issuer, key and serial number.

    The validity dates are those of the certificate ``dated``. The serial number is random if
    ``serial`` is None.
    """
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(dated.not_valid_before_utc)
        .not_valid_after(dated.not_valid_after_utc)
    )


def _identifier(issuer: x509.Certificate) -> AuthorityKeyIdentifier | None:
    """Return the authority key identifier extension for certificates of ``issuer``.

    Return None if the issuer's certificate has no subject key identifier.
    """
    try:
        subject = issuer.extensions.get_extension_for_class(SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return None
    return AuthorityKeyIdentifier.from_issuer_subject_key_identifier(subject.value)


def change_server(
    identity: Identity,
    issuer: Authority,
    *,
    without: Kinds = (),
    adding: Additions = (),
    subject: x509.Name | None = None,
) -> Identity:
    """Return a server's identity with other extensions in its leaf, signed again by the issuer.

    Args:
        identity: the server's key and chain.
        issuer: the authority that issued the leaf.
        without: the types of the extensions to remove.
        adding: the extensions to add, each with True if it is critical.
        subject: the new subject of the leaf; None keeps the subject.
    """
    leaf, *path = identity.chain
    changed = _sign_again(leaf, issuer, without, adding, subject)
    return replace(identity, chain=(changed, *path))


def change_intermediate(
    authority: Authority, *, without: Kinds = (), adding: Additions = ()
) -> Authority:
    """Return an intermediate with other extensions in its certificate, signed again by its issuer.

    Args:
        authority: the intermediate.
        without: the types of the extensions to remove.
        adding: the extensions to add, each with True if it is critical.
    """
    assert authority.issuer is not None  # noqa: S101  # only intermediates have an issuer
    certificate = _sign_again(authority.x509, authority.issuer, without, adding)
    return authority.certified(certificate, authority.issuer)


def _sign_again(
    certificate: x509.Certificate,
    issuer: Authority,
    without: Kinds,
    adding: Additions,
    subject: x509.Name | None = None,
) -> x509.Certificate:
    """Return a certificate with some extensions removed and added, signed again by its issuer.

    The issuer's name, the key, the dates and the serial number stay the same.

    Args:
        certificate: the certificate to change.
        issuer: the authority that signs.
        without: the types of the extensions to remove.
        adding: the extensions to add, each with True if it is critical.
        subject: the new subject; None keeps the subject.
    """
    builder = (
        x509.CertificateBuilder()
        .subject_name(certificate.subject if subject is None else subject)
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
    return issuer.sign(builder)


def mismatched_key_pem(victim: CertificatePublicKeyTypes) -> bytes:
    """Return a new private key as PEM that contains the public key of the victim, the real server.

    OpenSSL compares only the public keys (``X509_check_private_key``). So OpenSSL serves the
    victim's certificate with this key, and the signatures of the handshake are invalid.

    Args:
        victim: the public key of the real server.

    Raises:
        CannotServeError: the victim's key is neither RSA nor ECDSA.
    """
    if isinstance(victim, ec.EllipticCurvePublicKey):
        return pem("EC PRIVATE KEY", der.encode(_ec(victim)))
    if isinstance(victim, rsa.RSAPublicKey):
        return pem("RSA PRIVATE KEY", der.encode(_rsa(victim)))
    raise CannotServeError("the real server's key is neither RSA nor ECDSA")


def _ec(victim: ec.EllipticCurvePublicKey) -> der.ECPrivateKey:
    fresh = ec.generate_private_key(victim.curve)
    point = victim.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return der.ECPrivateKey(
        version=1,
        private_key=fresh.private_numbers().private_value.to_bytes((victim.key_size + 7) // 8),
        parameters=_CURVES[victim.curve.name],
        public_key=der.bits(point),
    )


_CURVES = {
    "secp256r1": ec.EllipticCurveOID.SECP256R1,
    "secp384r1": ec.EllipticCurveOID.SECP384R1,
    "secp521r1": ec.EllipticCurveOID.SECP521R1,
}


def _rsa(victim: rsa.RSAPublicKey) -> der.RSAPrivateKey:
    fresh = rsa.generate_private_key(65537, victim.key_size).private_numbers()
    public = victim.public_numbers()
    return der.RSAPrivateKey(
        version=0,
        modulus=der.number(public.n),
        public_exponent=der.number(public.e),
        private_exponent=der.number(fresh.d),
        prime1=der.number(fresh.p),
        prime2=der.number(fresh.q),
        exponent1=der.number(fresh.dmp1),
        exponent2=der.number(fresh.dmq1),
        coefficient=der.number(fresh.iqmp),
    )


def pem(label: str, content: bytes) -> bytes:
    """Return ``content``, which is DER, as PEM with this label (RFC 7468 section 2)."""
    return ssl.DER_cert_to_PEM_cert(content).replace("CERTIFICATE", label).encode()


_RSA = {
    "md5": SignatureAlgorithmOID.RSA_WITH_MD5,
    "sha1": SignatureAlgorithmOID.RSA_WITH_SHA1,
    "sha256": SignatureAlgorithmOID.RSA_WITH_SHA256,
}
_ECDSA = {
    "sha1": SignatureAlgorithmOID.ECDSA_WITH_SHA1,
    "sha256": SignatureAlgorithmOID.ECDSA_WITH_SHA256,
}


def resign(
    certificate: x509.Certificate,
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    algorithm: hashes.HashAlgorithm,
) -> x509.Certificate:
    """Return a certificate signed again with this key and hash, which may be weak.

    The signature is valid, because both AlgorithmIdentifiers of the certificate are replaced too.
    ``cryptography`` itself refuses to sign certificates with SHA-1 or MD5.

    Args:
        certificate: the certificate.
        key: the private key that signs.
        algorithm: the hash of the signature.

    Raises:
        KeyError: no signature algorithm uses this hash.
    """
    parts = der.take_apart(certificate)
    named = _algorithm(key, algorithm)
    tbs = replace(parts.tbs_certificate, signature=named)
    value = _sign(key, der.encode(tbs), algorithm)
    return der.put_together(
        der.CertificateFields(
            tbs_certificate=tbs, signature_algorithm=named, signature_value=der.bits(value)
        )
    )


def _algorithm(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, algorithm: hashes.HashAlgorithm
) -> asn1.TLV:
    if isinstance(key, rsa.RSAPrivateKey):
        rsa_with = der.NullAlgorithm(algorithm=_RSA[algorithm.name], parameters=asn1.Null())
        return der.field(der.encode(rsa_with))
    return der.field(der.encode(der.PlainAlgorithm(algorithm=_ECDSA[algorithm.name])))


def _sign(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    message: bytes,
    algorithm: hashes.HashAlgorithm,
) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, padding.PKCS1v15(), algorithm)
    return key.sign(message, ec.ECDSA(algorithm))


def break_signature(certificate: x509.Certificate) -> x509.Certificate:
    """Return the certificate with the last bit of its signature flipped.

    The last bit belongs to the integer s of an ECDSA signature, or to the number of an RSA
    signature. So the DER stays valid.
    """
    parts = der.take_apart(certificate)
    value = bytearray(parts.signature_value.as_bytes())
    value[-1] ^= 1
    return der.put_together(replace(parts, signature_value=der.bits(bytes(value))))


def replace_key(certificate: x509.Certificate, key: CertificatePublicKeyTypes) -> x509.Certificate:
    """Return the certificate with another public key. The old signature stays, so it is invalid."""
    info = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    parts = der.take_apart(certificate)
    tbs = replace(parts.tbs_certificate, subject_public_key_info=der.field(info))
    return der.put_together(replace(parts, tbs_certificate=tbs))
