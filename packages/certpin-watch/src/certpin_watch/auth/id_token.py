"""ID tokens: their verification (OpenID Connect Core 1.0, 3.1.3.7). No I/O.

1. The token is signed with an algorithm of the settings: never ``none``, never one with a shared
   secret.
2. The key that signed it is in the provider's key set. If the token names a key (``kid``), only
   that key is accepted.
3. ``iss`` is the provider, ``aud`` is this client, and so is ``azp`` if it is present.
4. The token has not expired (``exp``), and was issued neither in the future nor long ago (``iat``).
5. ``nonce`` is the value that the service chose when it redirected this browser to the provider.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from certpin.errors import InputError
from certpin_watch.permissions import highest_role

if TYPE_CHECKING:
    from datetime import datetime

    from joserfc.jwk import Key

    from certpin_watch.settings import OpenIDSettings

LEEWAY = 60  # seconds by which two clocks may differ
MAX_AGE = 600  # seconds between the signing and the use of a token
_MAX_TIME = 1e12  # seconds since 1970
_MAX_KEYS = 50
_MAX_TEXT = 64 * 1024  # characters
_KEY_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC"}


class UnknownKeyError(InputError):
    """An ID token is signed with a key that is not in the fetched key set of the provider.

    The provider has possibly added or replaced the key since the key set was fetched.
    """

    def __init__(self) -> None:
        super().__init__("the ID token is not signed by a key of the provider")


@dataclass(frozen=True)
class ExpectedClaims:
    """The values that an ID token is checked against: settings of the provider, nonce, and time."""

    settings: OpenIDSettings
    nonce: str
    now: datetime


def verified_claims(text: str, key_set: dict[str, Any], expected: ExpectedClaims) -> dict[str, Any]:
    """Verify an ID token, and return its claims.

    Args:
        text: the encoded token.
        key_set: the provider's key set (RFC 7517).
        expected: the values with which the claims must agree.

    Raises:
        UnknownKeyError: the token's key is not in the key set.
        InputError: the token is not valid for this client, browser and time.
    """
    from joserfc import jwt
    from joserfc.errors import BadSignatureError, JoseError

    if len(text) > _MAX_TEXT:
        raise InputError("the ID token is too large")
    algorithms = list(expected.settings.algorithms)
    candidates = _candidates(_header(text), key_set, expected.settings)
    for key in candidates:
        try:
            claims = jwt.decode(text, key, algorithms=algorithms).claims
        except BadSignatureError:
            continue
        except (JoseError, ValueError, TypeError) as exc:
            raise InputError(f"the ID token is unreadable ({type(exc).__name__})") from None
        _check(claims, expected)
        return claims
    # Without key IDs, and under an ID that stays, only this shows that the key was replaced.
    raise UnknownKeyError


def role_of(claims: dict[str, Any], settings: OpenIDSettings) -> str | None:
    """Return the highest role that the settings give to a user's groups.

    The result is None if the settings give no role to any of the groups.

    Args:
        claims: the claims of the user's ID token.
        settings: the OpenID settings. ``claim`` is the name of the claim that lists the groups, and
            ``roles`` maps groups to roles.
    """
    found = claims.get(settings.claim)
    groups = found if isinstance(found, list) else [found]
    names = (group for group in groups if isinstance(group, str))
    return highest_role(settings.roles[name] for name in names if name in settings.roles)


def name_of(claims: dict[str, Any]) -> str:
    """Return the name to display for a user, from the claims of an ID token.

    It is ``openid:`` and the first of these claims that is present: ``email`` (unless the provider
    states that it is not verified), ``preferred_username``, ``name``, ``sub``. NOT an identifier:
    the user is identified by ``sub``.
    """
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
        raise InputError(f"the ID token is unreadable ({type(exc).__name__})") from None


def _candidates(
    header: dict[str, Any], key_set: dict[str, Any], settings: OpenIDSettings
) -> list[Key]:
    """Return the keys in a key set that could have signed a token.

    The keys have the type for the token's algorithm, the use "sig" or none, and the key ID
    (``kid``) in the token's header, if it has one.

    Args:
        header: the header of the token.
        key_set: the provider's key set (RFC 7517).
        settings: the OpenID settings, with the accepted algorithms.

    Raises:
        InputError: the algorithm is not accepted.
        UnknownKeyError: the key set has no such key.
    """
    from joserfc.errors import JoseError
    from joserfc.jwk import JWKRegistry

    algorithm = header.get("alg")
    if algorithm not in settings.algorithms:
        raise InputError("the ID token is signed with an algorithm that is not accepted")
    wanted, kid = _KEY_TYPES[str(algorithm)[:2]], header.get("kid")
    entries = key_set.get("keys")
    found: list[Key] = []
    for entry in (entries if isinstance(entries, list) else [])[:_MAX_KEYS]:
        if not isinstance(entry, dict) or entry.get("kty") != wanted:
            continue
        if entry.get("use", "sig") != "sig" or (kid is not None and entry.get("kid") != kid):
            continue
        try:
            found.append(JWKRegistry.import_key(entry))
        except (JoseError, ValueError, TypeError, KeyError):
            continue  # an unreadable key can't have signed a valid token
    if not found:
        raise UnknownKeyError
    return found


def _check(claims: dict[str, Any], expected: ExpectedClaims) -> None:
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
        reason = f"{exc.error}: {exc.claim}{_offset(claims.get(exc.claim), now)}"
        raise InputError(f"the ID token is not for now, or not for here ({reason})") from None
    if claims.get("azp", settings.client_id) != settings.client_id:
        raise InputError("the ID token was issued to another client")
    if isinstance(claims["aud"], list) and len(claims["aud"]) > 1 and "azp" not in claims:
        raise InputError("the ID token is for several clients, and names none of them (azp)")
    if not claims["iat"] >= now - MAX_AGE:  # NaN, too
        raise InputError(f"the ID token is old (iat{_offset(claims['iat'], now)})")
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not hmac.compare_digest(
        nonce.encode(errors="replace"), expected.nonce.encode()
    ):
        raise InputError("the ID token does not belong to this browser's request")


def _offset(value: object, now: int) -> str:
    """Return by how much the time in a claim differs from ``now``, as text for the log.

    For example, the text is ``, 90 s ahead``. ``value`` is the value of the claim, from an ID token
    that was refused. The result is empty if it is no time.
    """
    if not isinstance(value, int | float) or not abs(value) < _MAX_TIME:
        return ""
    seconds = round(value - now)
    return f", {abs(seconds)} s {'ahead' if seconds > 0 else 'ago'}"
