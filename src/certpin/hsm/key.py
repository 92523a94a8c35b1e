"""A private key that stays on its token: its public half, and its signatures."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from certpin.errors import TokenError
from certpin.hsm import public
from certpin.hsm.module import closed_on_failure, find_token, log_in, translated
from certpin.hsm.uri import TokenURI
from certpin.x509 import printable
from certpin.x509.keys import PublicKey
from certpin.x509.signing import digest_of, verify_signature

if TYPE_CHECKING:
    from types import TracebackType

    from pkcs11 import Session

    from certpin.hsm.module import AskPIN
    from certpin.x509.signing import SignerPublicKey

_CHALLENGE_BYTES = 32


@dataclass(frozen=True, eq=False)
class TokenKey:
    """A key on a token, and the session that may use it.

    It is closed by ``close()`` or at the end of ``with``: the token then forgets the PIN. Where
    several keys of one token are open, the one that was opened first is closed last, since they
    share its login (PKCS#11 v2.40 usage guide, section 2.6). Safe to share between threads.
    """

    uri: TokenURI
    public_key: SignerPublicKey
    _session: Session = field(repr=False)
    _private: Any = field(repr=False)

    @cached_property
    def half(self) -> PublicKey:
        """The public half, as certpin has those of files: with its digest, and in words."""
        return PublicKey(public.spki(self.public_key), "key on a token")

    @property
    def spki(self) -> bytes:
        """The SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7) as DER: what a pin is the hash of."""
        return self.half.spki

    def sign(self, data: bytes) -> bytes:
        """Sign bytes of any length, on the token.

        ECDSA as DER (Ecdsa-Sig-Value, RFC 3279 section 2.2.3), with SHA-256 for P-256 and SHA-384
        for P-384; RSA PKCS#1 v1.5 with SHA-256 (RFC 8017 section 8.2); Ed25519 (RFC 8032). Raises
        ``TokenError``, also where the public key does not verify what the token has signed.
        """
        with translated(self._session.token.label):
            signature = _sign(self._private, self.public_key, data)
        if not verify_signature(self.public_key, signature, data):
            raise TokenError(
                f"the public key that the token has for {self.uri} is not that of its private key",
                fix="somebody may have put another one there: do not pin it. Make a new key",
            )
        return signature

    def close(self) -> None:
        """Log out. The key cannot be used after that."""
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
    """Log in to a token, and open the key that a URI names there.

    ``pin`` is called with the token's label, once, unless the URI has ``pin-source``. Public
    objects of a token can be replaced without a PIN; so the private key signs a challenge, and a
    public key that does not verify it is refused. Raises ``TokenError``, and nothing else.
    """
    parsed = TokenURI.parse(uri)
    token = find_token(parsed)
    with closed_on_failure(log_in(token, parsed, pin)) as session:
        return proven(parsed, session)


def proven(uri: TokenURI, session: Session) -> TokenKey:
    """The key that a URI names, after it has signed a challenge. Raises ``TokenError``."""
    with translated(session.token.label):
        private = _only(uri, session)
        half = public.half_of(private, session)
    key = TokenKey(uri, half, session, private)
    key.sign(os.urandom(_CHALLENGE_BYTES))
    return key


def _only(uri: TokenURI, session: Session) -> Any:
    from pkcs11 import Attribute, ObjectClass

    wanted: dict[Any, Any] = {Attribute.CLASS: ObjectClass.PRIVATE_KEY}
    if uri.label is not None:
        wanted[Attribute.LABEL] = uri.label
    if uri.id is not None:
        wanted[Attribute.ID] = uri.id
    found: list[Any] = list(session.get_objects(wanted))
    if not found:
        raise TokenError(
            f"there is no private key {uri}",
            fix="compare it with what is there: pkcs11-tool --login --list-objects",
        )
    if len(found) > 1:
        ids = ", ".join(f"id={''.join(f'%{byte:02X}' for byte in each.id)}" for each in found)
        raise TokenError(
            f"{len(found)} private keys are {uri}", fix=f"say which one: {printable(ids)}"
        )
    return found[0]


def _sign(private: Any, half: SignerPublicKey, data: bytes) -> bytes:
    """ECDSA signs the digest here: few tokens hash for it (CKM_ECDSA_SHA256 is optional)."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from pkcs11 import Mechanism

    if isinstance(half, ec.EllipticCurvePublicKey):
        raw = private.sign(digest_of(half, data), mechanism=Mechanism.ECDSA)
        return public.ecdsa_value(raw)
    rsa_key = isinstance(half, rsa.RSAPublicKey)
    mechanism = Mechanism.SHA256_RSA_PKCS if rsa_key else Mechanism.EDDSA
    return bytes(private.sign(data, mechanism=mechanism))
