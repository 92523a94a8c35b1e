"""Generate key pairs on a PKCS#11 token, which they never leave."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from certpin.errors import TokenError
from certpin.hsm.key import CURVES, TokenKey, verified_key
from certpin.hsm.module import closed_on_failure, find_token, log_in, translated
from certpin.hsm.uri import TokenURI

if TYPE_CHECKING:
    from pkcs11 import Session

    from certpin.hsm.module import AskPIN
    from certpin.x509.keys import KeyAlgorithm

_ID_BYTES = 16


def generate_key(uri: str, pin: AskPIN, algorithm: KeyAlgorithm) -> TokenKey:
    """Generate a key pair on a token, and open it.

    The key can only sign. It is sensitive and not extractable (PKCS#11 v2.40 section 4.9).

    Args:
        uri: a PKCS#11 URI with the token, and the label of the new key (``object``). Without an
            ``id`` one is generated.
        pin: called as by ``open_key``.
        algorithm: the algorithm of the key.

    Raises:
        TokenError: the token can't be used, or has an object with this label or ID: nothing is
            overwritten.
    """
    parsed = TokenURI.parse(uri)
    _need_label(parsed)
    token = find_token(parsed)
    with closed_on_failure(log_in(token, parsed, pin, writing=True)) as session:
        return _generate_and_open(parsed, session, algorithm)


def open_or_generate_key(uri: str, pin: AskPIN, algorithm: KeyAlgorithm) -> tuple[TokenKey, bool]:
    """Open the key that a PKCS#11 URI names, or generate it if the token doesn't have it.

    Returns:
        The key, and True if it is new.

    Raises:
        TokenError: the token or the key can't be used. The PIN is tried only once.
    """
    parsed = TokenURI.parse(uri)
    token = find_token(parsed)
    with closed_on_failure(log_in(token, parsed, pin, writing=True)) as session:
        if _exists(parsed, session):
            return verified_key(parsed, session), False
        _need_label(parsed)
        return _generate_and_open(parsed, session, algorithm), True


def destroy_key(key: TokenKey) -> None:
    """Delete the private and the public key from the token.

    Args:
        key: a key of ``generate_key``: only its session may write.

    Raises:
        TokenError: the token refuses it.
    """
    from pkcs11 import Attribute

    with translated(str(key.uri)):
        for item in list(key._session.get_objects({Attribute.ID: key.uri.id})):
            item.destroy()


def _generate_and_open(uri: TokenURI, session: Session, algorithm: KeyAlgorithm) -> TokenKey:
    with translated(session.token.label):
        _refuse_existing(uri, session)
        named = replace(uri, id=uri.id or secrets.token_bytes(_ID_BYTES))
        pair = _generate(session, algorithm, named)
        try:
            _refuse_extractable(pair[1])
            return verified_key(named, session)
        except BaseException:
            for item in pair:
                item.destroy()
            raise


def _need_label(uri: TokenURI) -> None:
    if not uri.label:
        raise TokenError("a new key needs a label", fix="add object=LABEL to the URI")


def _exists(uri: TokenURI, session: Session) -> bool:
    from pkcs11 import Attribute, ObjectClass

    names = {Attribute.LABEL: uri.label, Attribute.ID: uri.id}
    named = {attribute: value for attribute, value in names.items() if value}
    with translated(session.token.label):
        return any(session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY, **named}))


def _refuse_existing(uri: TokenURI, session: Session) -> None:
    from pkcs11 import Attribute

    names = {Attribute.LABEL: uri.label, Attribute.ID: uri.id}
    for attribute, value in names.items():
        if value and any(session.get_objects({attribute: value})):
            raise TokenError(
                f"the token already has an object that is called {uri}: it is not overwritten",
                fix="give the new key another label: object=LABEL",
            )


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
        {Attribute.EC_PARAMS: CURVES[algorithm]},
        local=True,
    )
    mechanism = Mechanism.EC_EDWARDS_KEY_PAIR_GEN if edwards else Mechanism.EC_KEY_PAIR_GEN
    return domain.generate_keypair(mechanism=mechanism, **options)


def _refuse_extractable(private: Any) -> None:
    """Raise ``TokenError`` if a generated key is extractable or not sensitive."""
    from pkcs11 import Attribute

    if private[Attribute.EXTRACTABLE] or not private[Attribute.SENSITIVE]:
        raise TokenError(
            "the token generated a key that can be extracted", fix="check its settings"
        )
