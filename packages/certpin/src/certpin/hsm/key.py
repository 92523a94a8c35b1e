"""A private key on a PKCS#11 token: generate and open it, read its public key, and sign with it.

The private key never leaves the token. The public key that a token stores can be replaced without
the token's PIN, so certpin uses a public key only after it has verified a signature of the private
key.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from certpin.errors import TokenError
from certpin.hsm.module import closed_on_failure, find_token, log_in, translated
from certpin.hsm.uri import TokenURI
from certpin.support.text import printable
from certpin.x509.keys import PublicKey, spki_of
from certpin.x509.signing import digest_of, verify_signature

if TYPE_CHECKING:
    from types import TracebackType

    from pkcs11 import PrivateKey, Session

    from certpin.hsm.module import AskPIN
    from certpin.x509.keys import KeyAlgorithm
    from certpin.x509.signing import SignerPublicKey

_CHALLENGE_BYTES = 32
_ID_BYTES = 16  # of a new key without an ID in its URI

# The parameters of each curve as DER: an OID (RFC 5480 section 2.1.1.1, RFC 8410 section 3).
_CURVES = {
    "p256": bytes.fromhex("06082a8648ce3d030107"),
    "p384": bytes.fromhex("06052b81040022"),
    "ed25519": bytes.fromhex("06032b6570"),
}
_EDWARDS_NAME = b"\x13\x0cedwards25519"  # or a name (PKCS#11 v3.0 section 2.3.10)

_SUPPORTED = "P-256, P-384, RSA with at least 2048 bits, and Ed25519 are supported"
_MIN_RSA_BITS = 2048  # CA/B Forum Baseline Requirements 6.1.5; OpenSSL's security level 2


@dataclass(frozen=True, eq=False)
class TokenKey:
    """A key pair on a PKCS#11 token, with an open session of the token's user.

    ``close()``, or the end of ``with``, logs out of the token. All open keys of one token share one
    login (PKCS#11 v2.40 usage guide, section 2.6). So if several keys of a token are open, close
    the key that was opened first after all the others. Several threads can use a key at the same
    time.

    Attributes:
        uri: the PKCS#11 URI of the key.
        public_key: the public key, as an object of ``cryptography``.
    """

    uri: TokenURI
    public_key: SignerPublicKey
    _session: Session = field(repr=False)
    _private: Any = field(repr=False)

    @cached_property
    def key(self) -> PublicKey:
        """The public key as certpin's ``PublicKey``, the class of keys that are read from files."""
        return PublicKey(spki_of(self.public_key), "key on a token")

    @property
    def spki(self) -> bytes:
        """The public key as DER (SubjectPublicKeyInfo, RFC 5280 section 4.1.2.7).

        The pin of the key is the SHA-256 of these bytes.
        """
        return self.key.spki

    def sign(self, data: bytes) -> bytes:
        """Sign data of any length on the token, and verify the signature.

        Returns:
            The signature. For ECDSA it is DER (Ecdsa-Sig-Value, RFC 3279 section 2.2.3), with
            SHA-256 for P-256 and SHA-384 for P-384. RSA signs by PKCS#1 v1.5 with SHA-256 (RFC 8017
            section 8.2), and Ed25519 by RFC 8032.

        Raises:
            TokenError: the token failed, or the signature does not verify with the public key.
        """
        with translated(self._session.token.label):
            signature = _sign(self._private, self.public_key, data)
        if not verify_signature(self.public_key, signature, data):
            raise TokenError(
                f"the token's public key for {self.uri} does not belong to its private key",
                fix="it may have been replaced: do not pin it. Generate a new key",
            )
        return signature

    def close(self) -> None:
        """Log out of the token. The key can't be used any more."""
        with translated(self._session.token.label):
            self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_key(uri: str, pin: AskPIN) -> TokenKey:
    """Log in to a token, and open the key that a PKCS#11 URI names.

    The private key signs a random challenge. The key is refused if this signature does not verify
    with the token's public key, because public objects of a token can be replaced without its PIN.

    Args:
        uri: a PKCS#11 URI (RFC 7512).
        pin: a function that takes the name of a token and returns its PIN. It is called once,
            or not at all if the URI has ``pin-source``.

    Returns:
        The key with an open session. The caller closes it.

    Raises:
        TokenError: the URI, the token, the PIN or the key can't be used.
    """
    parsed = TokenURI.parse(uri)
    token = find_token(parsed)
    with closed_on_failure(log_in(token, parsed, pin)) as session:
        return _verified_key(parsed, session)


def generate_key(uri: str, pin: AskPIN, algorithm: KeyAlgorithm) -> TokenKey:
    """Generate a key pair on a token, and open it.

    The private key can only sign. It is sensitive and not extractable (PKCS#11 v2.40 section 4.9).

    Args:
        uri: a PKCS#11 URI with the token, and the label of the new key (``object``). If it has no
            ``id``, a random ID is generated.
        pin: a function that takes the name of a token and returns its PIN.
        algorithm: the algorithm of the key.

    Returns:
        The new key with an open session. The caller closes it.

    Raises:
        TokenError: the token can't be used, or already has an object with this label or ID.
            Existing objects are never overwritten.
    """
    parsed = TokenURI.parse(uri)
    _need_label(parsed)
    token = find_token(parsed)
    with closed_on_failure(log_in(token, parsed, pin, writing=True)) as session:
        return _generate_and_open(parsed, session, algorithm)


def open_or_generate_key(uri: str, pin: AskPIN, algorithm: KeyAlgorithm) -> tuple[TokenKey, bool]:
    """Open the key that a PKCS#11 URI names, or generate it if the token doesn't have it.

    Args:
        uri: a PKCS#11 URI with the token and the label of the key (``object``), and perhaps its
            ``id``.
        pin: a function that takes the name of a token and returns its PIN. It is called at most
            once.
        algorithm: the algorithm of a new key.

    Returns:
        The key, and True if it was generated.

    Raises:
        TokenError: the token or the key can't be used.
    """
    parsed = TokenURI.parse(uri)
    token = find_token(parsed)
    with closed_on_failure(log_in(token, parsed, pin, writing=True)) as session:
        if _exists(parsed, session):
            return _verified_key(parsed, session), False
        _need_label(parsed)
        return _generate_and_open(parsed, session, algorithm), True


def destroy_key(key: TokenKey) -> None:
    """Delete a private key and its public key from the token.

    Args:
        key: a key that ``generate_key`` or ``open_or_generate_key`` returned. A key that
            ``open_key`` returned can't be deleted, because its session is read-only.

    Raises:
        TokenError: the token refuses to delete the objects.
    """
    from pkcs11 import Attribute

    with translated(str(key.uri)):
        for item in list(key._session.get_objects({Attribute.ID: key.uri.id})):
            item.destroy()


def _verified_key(uri: TokenURI, session: Session) -> TokenKey:
    """Open the key pair that ``uri`` names, and verify its signature of a random challenge.

    The returned key uses ``session``, the session of the token after the login. Raises
    ``TokenError`` if the key can't be used or the signature is wrong.
    """
    with translated(session.token.label):
        private = _private_key(uri, session)
        public_key = _public_key_of(private, session)
    key = TokenKey(uri, public_key, session, private)
    key.sign(os.urandom(_CHALLENGE_BYTES))
    return key


def _private_key(uri: TokenURI, session: Session) -> Any:
    from pkcs11 import Attribute, ObjectClass, SignMixin

    wanted: dict[Any, Any] = {Attribute.CLASS: ObjectClass.PRIVATE_KEY}
    if uri.label is not None:
        wanted[Attribute.LABEL] = uri.label
    if uri.id is not None:
        wanted[Attribute.ID] = uri.id
    found: list[Any] = list(session.get_objects(wanted))
    if not found:
        raise TokenError(
            f"there is no private key {uri}",
            fix="list the objects of the token: pkcs11-tool --login --list-objects",
        )
    if len(found) > 1:
        ids = ", ".join(f"id={''.join(f'%{byte:02X}' for byte in key.id)}" for key in found)
        raise TokenError(
            f"{len(found)} private keys match {uri}", fix=f"add one of these: {printable(ids)}"
        )
    if not isinstance(found[0], SignMixin):  # python-pkcs11 gives it to keys with CKA_SIGN
        raise TokenError(
            f"the private key {uri} may not sign (CKA_SIGN)", fix="take a key that may sign"
        )
    return found[0]


def _sign(private: Any, public_key: SignerPublicKey, data: bytes) -> bytes:
    """Sign data with a private key on the token, and return the signature (ECDSA: as DER).

    ``private`` is the object of the private key. ``public_key`` gives the algorithm. For ECDSA the
    data is hashed here and not on the token, because few tokens support CKM_ECDSA_SHA256.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from pkcs11 import Mechanism

    if isinstance(public_key, ec.EllipticCurvePublicKey):
        raw = private.sign(digest_of(public_key, data), mechanism=Mechanism.ECDSA)
        return _ecdsa_signature(raw)
    rsa_key = isinstance(public_key, rsa.RSAPublicKey)
    mechanism = Mechanism.SHA256_RSA_PKCS if rsa_key else Mechanism.EDDSA
    return bytes(private.sign(data, mechanism=mechanism))


def _public_key_of(private: PrivateKey, session: Session) -> SignerPublicKey:
    """Return the public key that a token stores for one of its private keys.

    ``session`` is an open session of the token. The public key is found by the ID of the private
    key, or by its label if it has no ID. Raises ``TokenError`` if there is not exactly one such
    public key, or if the public key can't be read.
    """
    from pkcs11 import Attribute, ObjectClass

    name = {Attribute.ID: private.id} if private.id else {Attribute.LABEL: private.label}
    kind = {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.KEY_TYPE: private.key_type}
    found: list[Any] = list(session.get_objects({**kind, **name}))
    if len(found) != 1:
        raise TokenError(
            "the token has no public key for that private key"
            if not found
            else "the token has several public keys for that private key",
            fix="give both objects of the key the same unique ID",
        )
    try:
        return _parse_public_key(found[0])
    except (ValueError, TypeError, LookupError) as exc:
        raise TokenError("the token's public key cannot be read", fix=_SUPPORTED) from exc


def _ecdsa_signature(raw: bytes) -> bytes:
    """Return an ECDSA signature of a token as DER (RFC 3279 section 2.2.3).

    ``raw`` is the signature as the token returns it: two integers of equal size (PKCS#11 v2.40
    section 2.3.1).
    """
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    size = len(raw) // 2
    return encode_dss_signature(
        int.from_bytes(raw[:size], "big"), int.from_bytes(raw[size:], "big")
    )


def _parse_public_key(found: Any) -> SignerPublicKey:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from pkcs11 import Attribute, KeyType

    if found.key_type == KeyType.RSA:
        exponent = int.from_bytes(found[Attribute.PUBLIC_EXPONENT], "big")
        modulus = int.from_bytes(found[Attribute.MODULUS], "big")
        if modulus.bit_length() < _MIN_RSA_BITS:
            raise ValueError("the RSA key is too short")
        return rsa.RSAPublicNumbers(exponent, modulus).public_key()
    parameters = found[Attribute.EC_PARAMS]
    point = _octets(found[Attribute.EC_POINT])
    if found.key_type == KeyType.EC_EDWARDS and parameters in {_CURVES["ed25519"], _EDWARDS_NAME}:
        return ed25519.Ed25519PublicKey.from_public_bytes(point)
    curves = {_CURVES["p256"]: ec.SECP256R1(), _CURVES["p384"]: ec.SECP384R1()}
    return ec.EllipticCurvePublicKey.from_encoded_point(curves[parameters], point)


def _octets(value: bytes) -> bytes:
    """Return the bytes of an elliptic curve point from ``value``, a DER OCTET STRING of a token.

    See PKCS#11 v2.40 section 2.3.3. Raises ``ValueError`` if the DER is not an OCTET STRING.
    """
    from cryptography.hazmat import asn1

    return asn1.decode_der(bytes, value)


def _generate_and_open(uri: TokenURI, session: Session, algorithm: KeyAlgorithm) -> TokenKey:
    with translated(session.token.label):
        _refuse_existing(uri, session)
        named = replace(uri, id=uri.id or secrets.token_bytes(_ID_BYTES))
        pair = _generate(session, algorithm, named)
        try:
            _refuse_extractable(pair[1])
            return _verified_key(named, session)
        except BaseException:
            for item in pair:
                item.destroy()
            raise


def _need_label(uri: TokenURI) -> None:
    if not uri.label:
        raise TokenError("a new key needs a label", fix="add object=LABEL to the URI")


def _exists(uri: TokenURI, session: Session) -> bool:
    from pkcs11 import Attribute, ObjectClass

    wanted = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, **_names(uri)}
    with translated(session.token.label):
        return any(session.get_objects(wanted))


def _refuse_existing(uri: TokenURI, session: Session) -> None:
    for attribute, value in _names(uri).items():
        if any(session.get_objects({attribute: value})):
            raise TokenError(
                f"the token already has an object that is called {uri}: it is not overwritten",
                fix="give the new key another label: object=LABEL",
            )


def _names(uri: TokenURI) -> dict[Any, Any]:
    """Return the PKCS#11 attributes by which a URI names a key: its label, its ID, or both.

    The result is a dict from the attribute to its value, to search the token for the key.
    """
    from pkcs11 import Attribute

    names = {Attribute.LABEL: uri.label, Attribute.ID: uri.id}
    return {attribute: value for attribute, value in names.items() if value}


def _generate(session: Session, algorithm: KeyAlgorithm, uri: TokenURI) -> tuple[Any, Any]:
    from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag

    options: dict[str, Any] = {
        "id": uri.id,
        "label": uri.label,
        "store": True,
        "capabilities": MechanismFlag.SIGN | MechanismFlag.VERIFY,
        "private_template": {
            Attribute.PRIVATE: True,
            Attribute.SENSITIVE: True,
            Attribute.EXTRACTABLE: False,
        },
    }
    if algorithm.startswith("rsa"):
        return session.generate_keypair(KeyType.RSA, int(algorithm.removeprefix("rsa")), **options)
    edwards = algorithm == "ed25519"
    domain = session.create_domain_parameters(
        KeyType.EC_EDWARDS if edwards else KeyType.EC,
        {Attribute.EC_PARAMS: _CURVES[algorithm]},
        local=True,
    )
    mechanism = Mechanism.EC_EDWARDS_KEY_PAIR_GEN if edwards else Mechanism.EC_KEY_PAIR_GEN
    return domain.generate_keypair(mechanism=mechanism, **options)


def _refuse_extractable(private: Any) -> None:
    """Raise ``TokenError`` if a generated key (``private``) is extractable or not sensitive."""
    from pkcs11 import Attribute

    if private[Attribute.EXTRACTABLE] or not private[Attribute.SENSITIVE]:
        raise TokenError(
            "the token generated a key that can be extracted", fix="check its settings"
        )
