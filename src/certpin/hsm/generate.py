"""A new key, made on a token: it was never anywhere else, and never leaves."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from certpin.errors import TokenError
from certpin.hsm.key import TokenKey, proven
from certpin.hsm.module import closed_on_failure, find_token, log_in, translated
from certpin.hsm.uri import TokenURI

if TYPE_CHECKING:
    from pkcs11 import Session

    from certpin.hsm.module import AskPIN
    from certpin.x509.keys import KeyAlgorithm

_ID_BYTES = 16
# The parameters of a curve, as DER (RFC 5480 section 2.1.1.1, RFC 8410 section 3).
_CURVES = {
    "p256": bytes.fromhex("06082a8648ce3d030107"),
    "p384": bytes.fromhex("06052b81040022"),
    "ed25519": bytes.fromhex("06032b6570"),
}


def generate_key(uri: str, pin: AskPIN, algorithm: KeyAlgorithm) -> TokenKey:
    """Make a key on a token, under the label (``object``) of a URI, and open it.

    It signs, and does nothing else; it is sensitive and not extractable (PKCS#11 v2.40 section
    4.9). An ``id`` is made where the URI has none. ``pin`` is called as ``open_key`` calls it.
    Raises ``TokenError``, also where the token has something of that label or id already: nothing
    is overwritten, and no two keys have one name.
    """
    parsed = TokenURI.parse(uri)
    _need_label(parsed)
    token = find_token(parsed)
    with closed_on_failure(log_in(token, parsed, pin, writing=True)) as session:
        return _made(parsed, session, algorithm)


def open_or_generate_key(uri: str, pin: AskPIN, algorithm: KeyAlgorithm) -> tuple[TokenKey, bool]:
    """Open the key that a URI names, or make it where the token has none; and whether it is new.

    The PIN is tried once for both. Raises ``TokenError``.
    """
    parsed = TokenURI.parse(uri)
    token = find_token(parsed)
    with closed_on_failure(log_in(token, parsed, pin, writing=True)) as session:
        if _is_there(parsed, session):
            return proven(parsed, session), False
        _need_label(parsed)
        return _made(parsed, session, algorithm), True


def destroy_key(key: TokenKey) -> None:
    """Take both halves of a key from its token, for whoever made it and cannot keep it.

    Only a key of ``generate_key`` has a session that may write. Raises ``TokenError``.
    """
    from pkcs11 import Attribute

    with translated(str(key.uri)):
        for each in list(key._session.get_objects({Attribute.ID: key.uri.id})):
            each.destroy()


def _made(uri: TokenURI, session: Session, algorithm: KeyAlgorithm) -> TokenKey:
    with translated(session.token.label):
        _refuse_known(uri, session)
        named = replace(uri, id=uri.id or secrets.token_bytes(_ID_BYTES))
        pair = _generate(session, algorithm, named)
        try:
            _refuse_extractable(pair[1])
            return proven(named, session)
        except BaseException:
            for each in pair:
                each.destroy()
            raise


def _need_label(uri: TokenURI) -> None:
    if not uri.label:
        raise TokenError("a new key needs a label", fix="add object=LABEL to the URI")


def _is_there(uri: TokenURI, session: Session) -> bool:
    from pkcs11 import Attribute, ObjectClass

    wanted = {Attribute.LABEL: uri.label, Attribute.ID: uri.id}
    named = {attribute: value for attribute, value in wanted.items() if value}
    with translated(session.token.label):
        return any(session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY, **named}))


def _refuse_known(uri: TokenURI, session: Session) -> None:
    from pkcs11 import Attribute

    names = {Attribute.LABEL: uri.label, Attribute.ID: uri.id}
    for attribute, value in names.items():
        if value and any(session.get_objects({attribute: value})):
            raise TokenError(
                f"the token has something that is called {uri} already: nothing is overwritten",
                fix="give the new key another label: object=LABEL",
            )


def _generate(session: Session, algorithm: KeyAlgorithm, uri: TokenURI) -> tuple[Any, Any]:
    from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag

    words: dict[str, Any] = {
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
        return session.generate_keypair(KeyType.RSA, int(algorithm.removeprefix("rsa")), **words)
    edwards = algorithm == "ed25519"
    domain = session.create_domain_parameters(
        KeyType.EC_EDWARDS if edwards else KeyType.EC,
        {Attribute.EC_PARAMS: _CURVES[algorithm]},
        local=True,
    )
    mechanism = Mechanism.EC_EDWARDS_KEY_PAIR_GEN if edwards else Mechanism.EC_KEY_PAIR_GEN
    return domain.generate_keypair(mechanism=mechanism, **words)


def _refuse_extractable(private: Any) -> None:
    """A token may ignore what it was asked for. Raises ``TokenError``."""
    from pkcs11 import Attribute

    if private[Attribute.EXTRACTABLE] or not private[Attribute.SENSITIVE]:
        raise TokenError(
            "the token made a key that can be taken out of it", fix="look into its settings"
        )
