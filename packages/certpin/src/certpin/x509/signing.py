"""Sign with private keys, verify signatures, and make certificate signing requests (RFC 2986).

certpin uses one signature algorithm for each kind of key (``FileKey.sign`` lists them).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Protocol

from certpin.errors import HostError, InputError, KeyParseError
from certpin.x509 import certificate, der, keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.hazmat.primitives.hashes import HashAlgorithm
    from cryptography.x509 import GeneralName

    from certpin.x509.certificate import Passphrase

    SignerPublicKey = EllipticCurvePublicKey | RSAPublicKey | Ed25519PublicKey

_HOW_TO_OPEN = "set CERTPIN_PASSPHRASE, or use a terminal"
_USABLE = "P-256, P-384, RSA and Ed25519 keys are usable"

_VERSION = b"\x02\x01\x00"  # v1(0)
_LONGEST_COMMON_NAME = 64  # RFC 5280 appendix A.1: ub-common-name
_NULL = b"\x05\x00"

# extensionRequest (RFC 2985 section 5.4.2) and subjectAltName (RFC 5280 section 4.2.1.6), as DER.
_EXTENSION_REQUEST = bytes.fromhex("06092a864886f70d01090e")
_ALTERNATIVE_NAME = bytes.fromhex("0603551d11")

# RFC 5758 section 3.2, RFC 4055 section 5, RFC 8410 section 3: only RSA has parameters, a NULL.
_ECDSA = {
    "sha256": bytes.fromhex("06082a8648ce3d040302"),
    "sha384": bytes.fromhex("06082a8648ce3d040303"),
}
_RSA_SHA256 = bytes.fromhex("06092a864886f70d01010b")
_ED25519 = bytes.fromhex("06032b6570")


class Signer(Protocol):
    """A private key that can sign: in memory, on a token, or in a key service."""

    @property
    def public_key(self) -> SignerPublicKey:
        """The public key, as an object of ``cryptography``."""

    @property
    def spki(self) -> bytes:
        """The SubjectPublicKeyInfo of the public key as DER."""

    def sign(self, data: bytes) -> bytes:
        """Return the signature of ``data``, bytes of any length."""


@dataclass(frozen=True)
class FileKey:
    """A private key that was read from a file, with its public key.

    ``spki`` is the public key as SubjectPublicKeyInfo in DER.
    """

    public_key: SignerPublicKey
    spki: bytes
    _private: Any = field(repr=False, compare=False)

    def sign(self, data: bytes) -> bytes:
        """Return the signature of ``data``, bytes of any length.

        The type of the key decides the algorithm: ECDSA, RSA with PKCS#1 v1.5, or Ed25519. ECDSA
        with P-384 uses SHA-384; RSA and P-256 use SHA-256.
        """
        from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

        public = self.public_key
        algorithm: tuple[Any, ...] = ()
        if isinstance(public, ec.EllipticCurvePublicKey):
            algorithm = (ec.ECDSA(hash_for(public)),)
        elif isinstance(public, rsa.RSAPublicKey):
            algorithm = (padding.PKCS1v15(), hash_for(public))
        return bytes(self._private.sign(data, *algorithm))


def file_key(data: bytes, passphrase: Passphrase) -> FileKey:
    """Read the private key of a file: PEM, DER or PKCS#12.

    Args:
        data: the content of the file.
        passphrase: a function that returns the passphrase, called if the key is encrypted.

    Returns:
        The key. Not checked: that it belongs to a certificate in the same file.

    Raises:
        PassphraseError: the key is encrypted, and its passphrase is missing or wrong. For encrypted
            PKCS#12, it is a ``KeyParseError``.
        KeyParseError: the file has no private key that can be read; or certpin doesn't sign with
            this kind of key. An RSA-PSS key is refused, because it would become a plain RSA key
            with a different pin.
    """
    key = _load(data, passphrase)
    if not is_signing_key(key.public_key) or _is_pss(data, key.spki):
        raise KeyParseError("this kind of key signs no certificate request here", fix=_USABLE)
    return key


def _load(data: bytes, passphrase: Passphrase) -> FileKey:
    """Return the private key in PEM, DER or PKCS#12 data.

    The function ``passphrase`` is called only if no key can be read without a passphrase. For PEM,
    the data must also contain an encrypted key. Other data can be encrypted PKCS#12 or have no key:
    certpin can't distinguish these, and calls the function for both.

    Raises:
        MissingPassphraseError: a key is encrypted, and ``passphrase`` returned None.
        PassphraseError: the passphrase is wrong, or the key is damaged.
        KeyParseError: the data has no private key that can be read. This error is also raised for
            PKCS#12 if its passphrase is missing or wrong.
    """
    pem = b"-----BEGIN " in data
    key, encrypted = _try(data)
    secret = passphrase() if key is None and (encrypted or not pem) else None
    if secret is not None:
        key, _ = _try(data, secret)
    if key is not None:
        return key
    if not encrypted:
        raise KeyParseError(
            "there is no private key in it that can be read",
            fix="give the file of a private key, as PEM, DER or PKCS#12; for an encrypted one, "
            + _HOW_TO_OPEN,
        )
    if secret is None:
        raise keys.MissingPassphraseError("its private key is encrypted", fix=_HOW_TO_OPEN)
    raise keys.PassphraseError(
        "the passphrase of its private key is wrong, or the key is damaged",
        fix="check the passphrase",
    )


def _try(data: bytes, *secret: bytes) -> tuple[FileKey | None, bool]:
    """Read the private key in ``data``, and find out if a key needs a passphrase.

    Args:
        data: the content of a file.
        secret: the passphrase, if there is one.

    Returns:
        First the key, or None if no key can be read. Second a flag: True if there is a key that
        needs a passphrase. But the flag is False for encrypted PKCS#12, which can't be
        distinguished from data without a key.
    """
    from cryptography.exceptions import InternalError, UnsupportedAlgorithm

    from certpin.x509.rehearsal import KeyLimitError, is_short, within_limits

    short = is_short(data)
    readers = (
        [(_from_pem, short)]
        if b"-----BEGIN " in data
        else [(_from_der, short), (_from_pkcs12, False)]
    )
    encrypted = False
    for read, quick in readers:
        try:
            return within_limits(read, data, *secret, short=quick), encrypted
        except KeyLimitError:
            raise
        except TypeError:  # it needs a passphrase
            encrypted = True
        except (ValueError, UnsupportedAlgorithm, InternalError):
            continue
    return None, encrypted


def _from_pem(data: bytes, secret: bytes | None = None) -> FileKey:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return _file_key(load_pem_private_key(data, secret))


def _from_der(data: bytes, secret: bytes | None = None) -> FileKey:
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    return _file_key(load_der_private_key(data, secret))


def _from_pkcs12(data: bytes, secret: bytes | None = None) -> FileKey:
    from cryptography.hazmat.primitives.serialization import pkcs12

    private = pkcs12.load_pkcs12(data, secret).key
    if private is None:
        raise ValueError("no key in it")
    return _file_key(private)


def _file_key(private: PrivateKeyTypes) -> FileKey:
    public: Any = private.public_key()
    return FileKey(public, keys.spki_of(public), private)


def _is_pss(data: bytes, plain: bytes) -> bool:
    """Return True if the file contents ``data`` have an unencrypted RSA-PSS private key.

    The caller refuses such a key, because ``cryptography`` reads it as plain RSA. ``plain`` is the
    SubjectPublicKeyInfo that ``cryptography`` writes for the key. Return False if certpin can't
    read ``data``.
    """
    try:
        items = certificate.read_items(data)
    except InputError:
        return False
    private = [item.spki for item in items if getattr(item, "source", "") == "private key"]
    return any(spki != plain for spki in private)


def is_signing_key(key: Any) -> bool:
    """Return True if certpin can sign with this kind of key: P-256, P-384, RSA or Ed25519."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.curve.name in {"secp256r1", "secp384r1"}
    return isinstance(key, rsa.RSAPublicKey | ed25519.Ed25519PublicKey)


def hash_for(key: EllipticCurvePublicKey | RSAPublicKey) -> HashAlgorithm:
    """Return the hash algorithm for signatures with a key: SHA-384 for P-384, otherwise SHA-256.

    See the CA/B Forum Baseline Requirements, section 7.1.3.2.2.
    """
    from cryptography.hazmat.primitives import hashes

    return hashes.SHA384() if key.key_size == 384 else hashes.SHA256()


def digest_of(key: EllipticCurvePublicKey, data: bytes) -> bytes:
    """Return the hash of ``data`` that ECDSA signs with this key, for tokens that don't hash."""
    return hashlib.new(hash_for(key).name, data).digest()


def verify_signature(key: SignerPublicKey, signature: bytes, data: bytes) -> bool:
    """Return True if the signature of ``data`` is valid for this public key.

    The algorithm is the one that certpin uses for the type of the key: see ``FileKey.sign``.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(hash_for(key)))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, padding.PKCS1v15(), hash_for(key))
        else:
            key.verify(signature, data)
    except InvalidSignature:
        return False
    return True


def new_request(key: Signer, names: Sequence[str]) -> bytes:
    """Make a certificate signing request (CSR), sign it, and verify its signature.

    The first name is also the common name if it has at most 64 characters, because clients such as
    lego and many private authorities need one.

    Args:
        key: the key that signs the request; the request contains its public key.
        names: normalised hosts, with or without ``*.``, and IP addresses.

    Returns:
        The request as DER.

    Raises:
        HostError: there is no name.
        KeyParseError: the signature is not valid.
        TokenError: a key on a token or in a service can't sign.
    """
    from cryptography.x509 import load_der_x509_csr

    if not names:
        raise HostError("a certificate needs a name", fix="give a host")
    attribute = _sequence(_EXTENSION_REQUEST, _set(_sequence(_alternative_names(names))))
    info = _sequence(_VERSION, _subject(names[0]), key.spki, der.element(b"\xa0", attribute))
    signature = der.bit_string(key.sign(info))
    request = _sequence(info, _algorithm(key.public_key), signature)
    if not load_der_x509_csr(request).is_signature_valid:
        raise KeyParseError("the key has made a signature that is not valid for it")
    return request


def _subject(name: str) -> bytes:
    from cryptography.x509 import Name, NameAttribute, NameOID

    attributes = (
        [NameAttribute(NameOID.COMMON_NAME, name)] if len(name) <= _LONGEST_COMMON_NAME else []
    )
    return Name(attributes).public_bytes()


def _alternative_names(names: Sequence[str]) -> bytes:
    """Return the subjectAltName extension of a CSR with these names, as DER.

    It is not critical, because the authority decides that for the certificate.
    """
    from cryptography.x509 import SubjectAlternativeName

    value = SubjectAlternativeName(list(map(_general_name, names))).public_bytes()
    return _sequence(_ALTERNATIVE_NAME, der.element(b"\x04", value))


def _general_name(name: str) -> GeneralName:
    from cryptography.x509 import DNSName, IPAddress

    try:
        return IPAddress(ip_address(name))
    except ValueError:
        return DNSName(name)


def _algorithm(key: SignerPublicKey) -> bytes:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    if isinstance(key, ec.EllipticCurvePublicKey):
        return _sequence(_ECDSA[hash_for(key).name])
    if isinstance(key, rsa.RSAPublicKey):
        return _sequence(_RSA_SHA256, _NULL)
    return _sequence(_ED25519)


def _sequence(*parts: bytes) -> bytes:
    return der.element(b"\x30", b"".join(parts))


def _set(content: bytes) -> bytes:
    return der.element(b"\x31", content)
