"""A certificate authority for the lab, the demonstration and the tests.

It creates any chain that a test needs. Its keys stay in memory unless the caller writes them to a
folder. Remove such an authority from a device's trust store after the test.
"""

from __future__ import annotations

import copy
import ipaddress
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certpin.errors import InputError
from certpin.pins import Pin
from certpin.pins.hosts import is_address
from certpin.x509 import Certificate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import (
        CertificateIssuerPrivateKeyTypes,
        CertificatePublicKeyTypes,
    )

    # Changes a certificate before it is signed, to forge one that no authority would issue.
    Change = Callable[[x509.CertificateBuilder], x509.CertificateBuilder]

_EXPONENT = 65_537  # of RSA keys
_LEAF_DAYS = 47  # CA/B Forum SC-081v3, from 2029-03-15
_AUTHORITY_DAYS = 3650
_LONGEST_NAME = 64  # ub-common-name (RFC 5280 appendix A.1); the whole name is in the SAN
# Clocks differ (RFC 5280 does not cover this; public authorities backdate by an hour).
_BACKDATED = timedelta(hours=1)
# An authority is older than its certificates, so that expired chains were valid once.
_AUTHORITY_BACKDATED = timedelta(days=365)


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a new P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def new_rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return a new RSA key of ``bits`` bits. For 2048 bits this takes some 40 ms."""
    return rsa.generate_private_key(_EXPONENT, bits)


def rsa_key_of(p: int, q: int, exponent: int = _EXPONENT) -> rsa.RSAPrivateKey:
    """Return the RSA key with the given primes and public exponent.

    Not checked: that ``p`` and ``q`` are prime.

    Raises:
        ValueError: ``exponent`` has a common factor with (p - 1)(q - 1).
    """
    private = pow(exponent, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p=p,
        q=q,
        d=private,
        dmp1=private % (p - 1),
        dmq1=private % (q - 1),
        iqmp=pow(q, -1, p),
        public_numbers=rsa.RSAPublicNumbers(exponent, p * q),
    )
    # The validation tests both primes again, for a second if they are large.
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def unchanged(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    """Return ``builder`` unchanged: the default for parameters named ``change``.

    Such a parameter is a function that changes a certificate's builder before the certificate is
    signed.
    """
    return builder


@dataclass(frozen=True)
class Identity:
    """A server's private key and its certificate chain, leaf first, without the root.

    Attributes:
        key: the private key of the leaf.
        chain: the certificates, as objects of ``cryptography``.
    """

    key: CertificateIssuerPrivateKeyTypes
    chain: tuple[x509.Certificate, ...]

    @property
    def certificate(self) -> Certificate:
        """The leaf certificate."""
        return Certificate.from_der(self.chain[0].public_bytes(serialization.Encoding.DER))

    @property
    def pin(self) -> Pin:
        """The pin of the leaf's key."""
        return Pin.of_key(self.certificate.spki_sha256)

    @property
    def chain_pem(self) -> bytes:
        """The chain as PEM, leaf first, as servers read it."""
        return b"".join(
            certificate.public_bytes(serialization.Encoding.PEM) for certificate in self.chain
        )

    @property
    def key_pem(self) -> bytes:
        """The private key as PKCS#8 PEM. A secret."""
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def write(self, folder: Path, name: str = "server") -> tuple[Path, Path]:
        """Write chain and key (mode 600) into a folder as PEM files that nginx can read.

        Returns:
            The paths of the chain, ``NAME.pem``, and of the key, ``NAME.key``.
        """
        chain, key = folder / f"{name}.pem", folder / f"{name}.key"
        chain.write_bytes(self.chain_pem)
        key.unlink(missing_ok=True)  # an old file would keep its mode
        key.touch(mode=0o600)
        key.write_bytes(self.key_pem)
        return chain, key


class Authority:
    """A certificate authority of the lab: a root, or an intermediate below another authority.

    Args:
        name: the common name.
        issuer: the authority that certifies this one; ``None`` for a root.
        key: the private key; a new P-256 key by default.
        now: the current time for the certificates that this authority issues; by default that of
            the issuer, or for a root the clock's.
        days: the certificate of this authority expires so many days after the current time of its
            issuer; for a root, after ``now``.
        change: a function that changes the builder of this authority's certificate before the
            certificate is signed.
    """

    def __init__(
        self,
        name: str,
        *,
        issuer: Authority | None = None,
        key: CertificateIssuerPrivateKeyTypes | None = None,
        now: datetime | None = None,
        days: float = _AUTHORITY_DAYS,
        change: Change = unchanged,
    ) -> None:
        self.now: datetime = now or (issuer.now if issuer else datetime.now(UTC))
        self.issuer = issuer
        self.key = key or new_key()
        self.subject = _name(name)
        signer = issuer or self
        builder = signer._begin(self.subject, self.key.public_key(), days, _AUTHORITY_BACKDATED)
        self.x509 = signer.sign(change(_as_authority(builder)))

    @classmethod
    def load(cls, pem: bytes, now: datetime) -> Self:
        """Load a stored root from one PEM that contains its private key and its certificate.

        Args:
            pem: the key and the certificate, as ``key_pem`` and ``pem`` return them.
            now: the current time for the certificates that the loaded root issues.

        Raises:
            InputError: the PEM is damaged, or the key does not belong to the certificate.
        """
        try:
            key: Any = serialization.load_pem_private_key(pem, None)
            certificate = x509.load_pem_x509_certificate(pem)
            matches = certificate.public_key() == key.public_key()
        except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
            raise InputError("not the key and the certificate of an authority") from exc
        if not matches:
            raise InputError("the key of an authority is not that of its certificate")
        loaded = cls.__new__(cls)
        loaded.now, loaded.issuer, loaded.key = now, None, key
        loaded.subject, loaded.x509 = certificate.subject, certificate
        return loaded

    @property
    def common_name(self) -> str:
        """The common name of this authority; empty if its subject has none."""
        names = self.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(names[0].value) if names else ""

    @property
    def certificate(self) -> Certificate:
        """The certificate of this authority."""
        return Certificate.from_der(self.x509.public_bytes(serialization.Encoding.DER))

    @property
    def pin(self) -> Pin:
        """The pin of this authority's key."""
        return Pin.of_key(self.certificate.spki_sha256)

    @property
    def key_pem(self) -> bytes:
        """The private key of this authority as PKCS#8 PEM. A secret."""
        return Identity(self.key, ()).key_pem

    @property
    def pem(self) -> bytes:
        """The certificate of this authority as PEM."""
        return self.x509.public_bytes(serialization.Encoding.PEM)

    def intermediate(self, name: str, *, change: Change = unchanged) -> Authority:
        """Return a new intermediate authority, with a certificate that this authority issues.

        Args:
            name: the common name of the intermediate.
            change: a function that changes the builder of its certificate before it is signed.
        """
        return Authority(name, issuer=self, change=change)

    def at(self, moment: datetime) -> Authority:
        """Return a copy of this authority with ``moment`` as its current time.

        The dates of the certificates that the copy issues are relative to this time.
        """
        return self._but(now=moment)

    def certified(self, certificate: x509.Certificate, issuer: Authority | None) -> Authority:
        """Return a copy of this authority with a different certificate for its key.

        It is for attacks: the copy issues with the same key, and its chains contain
        ``certificate``. ``issuer`` is the authority that issued ``certificate``; None for the
        certificate of a root.
        """
        return self._but(x509=certificate, issuer=issuer, subject=certificate.subject)

    def _but(self, **fields: object) -> Authority:
        other = copy.copy(self)
        vars(other).update(fields)
        return other

    def issue(
        self,
        *names: str,
        key: CertificateIssuerPrivateKeyTypes | None = None,
        days: float = _LEAF_DAYS,
        change: Change = unchanged,
    ) -> Identity:
        """Issue a server certificate.

        Args:
            names: host names and addresses for the SAN. The first is also the common name.
            key: the key of the server; a new P-256 key by default.
            days: the validity in days.
            change: a function that changes the builder of the certificate before it is signed.

        Returns:
            The key with its chain, leaf first, without the root.
        """
        key = key or new_key()
        builder = self._begin(_name(names[0][:_LONGEST_NAME]), key.public_key(), days)
        # GnuTLS and Java encrypt to no other key (static RSA).
        encrypts = isinstance(key, rsa.RSAPrivateKey)
        leaf = self.sign(change(_as_server(builder, names, encrypts=encrypts)))
        return Identity(key, (leaf, *self._path()))

    def _path(self) -> tuple[x509.Certificate, ...]:
        return (self.x509, *self.issuer._path()) if self.issuer else ()

    def _begin(
        self,
        subject: x509.Name,
        key: CertificatePublicKeyTypes,
        days: float,
        backdated: timedelta = _BACKDATED,
    ) -> x509.CertificateBuilder:
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now - backdated)
            .not_valid_after(self.now + timedelta(days=days))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(issuer_key, critical=False)
        )

    def sign(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        """Return the certificate that a builder describes, signed with the key of the authority.

        The builder must already have the name of the authority as issuer.
        """
        return builder.sign(self.key, _digest(self.key))


def _digest(key: CertificateIssuerPrivateKeyTypes) -> hashes.SHA256 | hashes.SHA384 | None:
    """Return the hash function with which a key signs certificates.

    Return None for a key of another type than RSA and ECDSA, such as Ed25519 or ML-DSA: such a key
    signs the data itself, without a separate hash function.
    """
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP384R1):
        return hashes.SHA384()  # CA/B Forum Baseline Requirements 7.1.3.2.2
    # The others, such as Ed25519 and ML-DSA, sign the data itself.
    hashed = isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey))
    return hashes.SHA256() if hashed else None


def _as_authority(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    return builder.add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    ).add_extension(_usage(authority=True), critical=True)


def _as_server(
    builder: x509.CertificateBuilder, names: Sequence[str], *, encrypts: bool
) -> x509.CertificateBuilder:
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False, encrypts=encrypts), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(list(map(_san, names))), critical=False)
    )


def _usage(*, authority: bool, encrypts: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=encrypts,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _san(name: str) -> x509.GeneralName:
    if is_address(name):  # an exception for each of 10,000 names would take long
        with suppress(ValueError):  # it only ends in a number, such as 1.2.3.999
            return x509.IPAddress(ipaddress.ip_address(name))
    return x509.DNSName(name)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
