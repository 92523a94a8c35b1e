"""Who signed in: an ID token, judged (OpenID Connect Core 1.0, 3.1.3.7). No I/O.

1. Signed with an algorithm of the settings: never ``none``, never one with a shared secret.
2. By a key of the provider's set, the one that it names if it names one.
3. ``iss`` is the provider, ``aud`` this client, and ``azp``, if it is there, too.
4. Not past ``exp``, not from the future, and not from long ago (``iat``).
5. ``nonce`` is the one that this browser was sent away with.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from certpin.errors import InputError
from certpin_watch.auth.roles import highest

if TYPE_CHECKING:
    from datetime import datetime

    from joserfc.jwk import Key

    from certpin_watch.auth.openid_settings import Settings

LEEWAY = 60  # seconds by which two clocks may differ
OLDEST = 600  # seconds between the signing and the use of a token
MOST_KEYS = 50
_LONGEST = 64 * 1024
_KEY_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC"}


class UnknownKeyError(InputError):
    """The provider has a key that the set does not have (yet)."""


@dataclass(frozen=True)
class Expected:
    """What a token has to be for."""

    settings: Settings
    nonce: str
    now: datetime


def claims_of(text: str, key_set: dict[str, Any], expected: Expected) -> dict[str, Any]:
    """The claims of a token. Raises ``InputError``; ``UnknownKeyError`` if its key is not there."""
    from joserfc import jwt
    from joserfc.errors import BadSignatureError, JoseError

    if len(text) > _LONGEST:
        raise InputError("the ID token is too large")
    algorithms = list(expected.settings.algorithms)
    candidates = _candidates(_header(text), key_set, expected.settings)
    for key in candidates:
        try:
            claims = jwt.decode(text, key, algorithms=algorithms).claims
        except BadSignatureError:
            continue
        except (JoseError, ValueError, TypeError) as exc:
            raise InputError(f"the ID token cannot be read ({type(exc).__name__})") from None
        _refuse(claims, expected)
        return claims
    raise InputError("the ID token is not signed by a key of the provider")


def role_of(claims: dict[str, Any], settings: Settings) -> str | None:
    """The highest role that the groups of the settings give; ``None`` for none, who stays out."""
    found = claims.get(settings.claim)
    groups = found if isinstance(found, list) else [found]
    names = (each for each in groups if isinstance(each, str))
    return highest(settings.roles[each] for each in names if each in settings.roles)


def name_of(claims: dict[str, Any]) -> str:
    """How people call them; ``sub`` is who they are. An address that is not theirs is no name."""
    claims = {**claims, "email": None} if claims.get("email_verified") is False else claims
    for claim in ("email", "preferred_username", "name", "sub"):
        if isinstance(name := claims.get(claim), str) and name:
            return f"openid:{name[:100]}"
    return "openid:"


def _header(text: str) -> dict[str, Any]:
    from joserfc import jws
    from joserfc.errors import JoseError

    try:
        return dict(jws.extract_compact(text.encode()).headers())
    except (JoseError, ValueError, TypeError) as exc:
        raise InputError(f"the ID token cannot be read ({type(exc).__name__})") from None


def _candidates(header: dict[str, Any], key_set: dict[str, Any], settings: Settings) -> list[Key]:
    """The keys that may have signed: those of the right kind, and of the right name."""
    from joserfc.errors import JoseError
    from joserfc.jwk import JWKRegistry

    algorithm = header.get("alg")
    if algorithm not in settings.algorithms:
        raise InputError("the ID token is signed with an algorithm that is not accepted")
    wanted, kid = _KEY_TYPES[str(algorithm)[:2]], header.get("kid")
    entries = key_set.get("keys")
    found: list[Key] = []
    for entry in (entries if isinstance(entries, list) else [])[:MOST_KEYS]:
        if not isinstance(entry, dict) or entry.get("kty") != wanted:
            continue
        if entry.get("use", "sig") != "sig" or (kid is not None and entry.get("kid") != kid):
            continue
        try:
            found.append(JWKRegistry.import_key(entry))
        except (JoseError, ValueError, TypeError, KeyError):
            continue  # a key that nobody can read has signed nothing for us
    if not found:
        raise UnknownKeyError("the ID token is not signed by a key of the provider")
    return found


def _refuse(claims: dict[str, Any], expected: Expected) -> None:
    from joserfc.errors import ClaimError
    from joserfc.jwt import JWTClaimsRegistry

    settings, now = expected.settings, int(expected.now.timestamp())
    registry = JWTClaimsRegistry(
        now=now,
        leeway=LEEWAY,
        iss={"essential": True, "value": settings.issuer},
        aud={"essential": True, "value": settings.client_id},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
    )
    try:
        registry.validate(claims)
    except ClaimError as exc:
        raise InputError(f"the ID token is not for now, or not for here ({exc.error})") from None
    if claims.get("azp", settings.client_id) != settings.client_id:
        raise InputError("the ID token was made for another client")
    if isinstance(claims["aud"], list) and len(claims["aud"]) > 1 and "azp" not in claims:
        raise InputError("the ID token is for several clients, and does not say for which")
    if claims["iat"] < now - OLDEST:
        raise InputError("the ID token is old")
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not hmac.compare_digest(
        nonce.encode(errors="replace"), expected.nonce.encode()
    ):
        raise InputError("the ID token is not an answer to this browser")
