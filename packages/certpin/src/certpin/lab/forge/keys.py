"""Make rare keys and certificates, which ``cryptography`` can't make, or makes only slowly.

They are RSA keys of 8192 and of 512 bits, an RSA key that is only for PSS (RFC 4055), a
post-quantum key (ML-DSA), and a certificate of version 1.
"""

from __future__ import annotations

import ssl
from dataclasses import replace
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from certpin.lab.authority import rsa_key_of
from certpin.lab.case import CannotServeError
from certpin.lab.forge import der
from certpin.lab.forge.forgeries import pem, resign

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

    from certpin.lab.authority import Authority, Identity

# The first primes above 3·2^4094 and 7·2^4093. Random ones of this size would take 10 seconds for
# each run of the lab. Anyone can compute the private key, which protects nothing.
_LARGE_PRIMES = (3 << 4094) + 3389, (7 << 4093) + 135
# cryptography makes no keys below 1024 bits. These are the first primes above 3·2^254 and 7·2^253.
_SMALL_PRIMES = (3 << 254) + 49, (7 << 253) + 429
_WITH_ML_DSA = (3, 5)  # OpenSSL's version


def large_rsa_key() -> rsa.RSAPrivateKey:
    """Return an RSA key of 8192 bits. Each call returns the same key, which is not secret."""
    return rsa_key_of(*_LARGE_PRIMES)


def small_rsa_key() -> rsa.RSAPrivateKey:
    """Return an RSA key of 512 bits. Each call returns the same key, which is not secret.

    An attacker can factor it, so clients must refuse a server with such a key.
    """
    return rsa_key_of(*_SMALL_PRIMES)


def ml_dsa_key() -> CertificateIssuerPrivateKeyTypes:
    """Return a new ML-DSA-65 key (FIPS 204).

    The lab needs OpenSSL 3.5 to serve such a key. OpenSSL 3.0 to 3.4 send its chain too, but then
    fail in the handshake, even with a client that accepts the chain.

    Raises:
        CannotServeError: OpenSSL is older than 3.5, or the installed ``cryptography`` has no
            ML-DSA.
    """
    if ssl.OPENSSL_VERSION_INFO < _WITH_ML_DSA:
        raise CannotServeError(
            "this Python's OpenSSL has no ML-DSA",
            fix="run certpin with a Python that has OpenSSL 3.5 or newer",
        )
    try:
        from cryptography.hazmat.primitives.asymmetric import mldsa

        return mldsa.MLDSA65PrivateKey.generate()
    except (ImportError, UnsupportedAlgorithm) as exc:
        raise CannotServeError(
            "the installed cryptography makes no ML-DSA keys", fix="upgrade it: 48 or newer"
        ) from exc


_RSASSA_PSS = x509.ObjectIdentifier("1.2.840.113549.1.1.10")  # RFC 4055 section 3.1


def pss_identity(identity: Identity, issuer: Authority) -> tuple[tuple[bytes, ...], bytes]:
    """Return a server's chain and key, changed so that the RSA key is only for PSS.

    The algorithm identifier of the key is id-RSASSA-PSS without parameters (RFC 4055 section 1.2).

    Args:
        identity: the key and the chain of the server; it must be an RSA key.
        issuer: the authority that issued the leaf; it must have an EC key.

    Returns:
        The chain as DER, leaf first, and the private key as PKCS#8 PEM.
    """
    key = identity.key
    assert isinstance(key, rsa.RSAPrivateKey)  # noqa: S101  # the caller creates it
    assert isinstance(issuer.key, ec.EllipticCurvePrivateKey)  # noqa: S101  # the lab's are
    only = der.field(der.encode(der.PlainAlgorithm(algorithm=_RSASSA_PSS)))
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    public = replace(asn1.decode_der(der.PublicKeyInfo, spki), algorithm=only)
    pkcs8 = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    private = replace(asn1.decode_der(der.PrivateKeyInfo, pkcs8), algorithm=only)
    parts = der.take_apart(identity.chain[0])
    info = der.field(der.encode(public))
    tbs = replace(parts.tbs_certificate, subject_public_key_info=info)
    leaf = resign(
        der.put_together(replace(parts, tbs_certificate=tbs)), issuer.key, hashes.SHA256()
    )
    chain = (leaf, *identity.chain[1:])
    sent = tuple(certificate.public_bytes(Encoding.DER) for certificate in chain)
    return sent, pem("PRIVATE KEY", der.encode(private))


def version_1(certificate: x509.Certificate, issuer: Authority) -> x509.Certificate:
    """Return a certificate as version 1, without extensions, signed again (RFC 5280 section 4.1).

    Args:
        certificate: the certificate to change.
        issuer: the authority that issued it; it must have an EC key.
    """
    assert isinstance(issuer.key, ec.EllipticCurvePrivateKey)  # noqa: S101  # the lab's are
    parts = der.take_apart(certificate)
    tbs = replace(parts.tbs_certificate, version=None, extensions=None)
    changed = der.put_together(replace(parts, tbs_certificate=tbs))
    return resign(changed, issuer.key, hashes.SHA256())
