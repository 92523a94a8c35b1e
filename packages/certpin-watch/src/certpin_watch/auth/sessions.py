"""Sessions: cookies, how a session starts and continues, and CSRF tokens of forms.

A session's cookie has 256 random bits; ``store.accounts`` has its SHA-256. A request that another
site makes a browser send (CSRF) must pass two checks:

1. ``is_same_origin``: the browser names the sending site in ``Sec-Fetch-Site``, which
   no page can forge, or in ``Origin`` if it is an old browser.
2. ``is_csrf_token``: the form contains a token that is derived from the secret of the cookie. Other
   sites can read neither the page nor the cookie. The token needs no storage, and a new session has
   a new one.

Either check has failed in practice: proxies remove headers, and a neighbour under the same domain
can plant a cookie if the ``__Host-`` prefix can't be used (http on the loopback).
"""

from __future__ import annotations

import hmac
import secrets
from hashlib import sha256
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING

from certpin.x509 import printable
from certpin_watch.store import accounts
from certpin_watch.store.accounts import Session, SessionOwner

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection
    from starlette.datastructures import Headers, MutableHeaders

    from certpin_watch.origin import Origin
    from certpin_watch.settings import AuthSettings

SESSION_COOKIE = "certpin"
FORM_COOKIE = "certpin-form"  # for forms of browsers without a session
LOGIN_COOKIE = "certpin-login"  # a login that is under way at an OpenID provider
CSRF_FIELD = "csrf"
CSRF_HEADER = "x-csrf-token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})  # RFC 9110, 9.2.1

_MAX_COOKIE = 1024  # characters of a value
_MAX_AGENT = 120  # characters of a User-Agent
_USE_RECORDED_EACH = 60  # seconds


def new_secret() -> str:
    """Return 256 random bits as text, for a cookie."""
    return secrets.token_urlsafe(32)


def digest_of(secret: str) -> bytes:
    """Return the SHA-256 of a cookie's secret, under which the session is stored."""
    return sha256(secret.encode()).digest()


def begin_session(
    connection: Connection,
    owner: SessionOwner,
    settings: AuthSettings,
    now: datetime,
    *,
    source: str,
    agent: str,
) -> str:
    """Store a new session with a new secret. A cookie that the browser sent is never reused.

    Args:
        connection: a write transaction.
        owner: the user to whom the session belongs.
        settings: the table ``[access]``, with the durations after which a session ends.
        now: the current time.
        source: the network of the client.
        agent: the ``User-Agent`` of the browser.

    Returns:
        The value of the cookie.
    """
    secret, at = new_secret(), int(now.timestamp())
    agent = printable(agent[:_MAX_AGENT])[:_MAX_AGENT]
    end = at + settings.session_seconds
    session = Session(digest_of(secret), owner, source, agent, at, at, end)
    accounts.add_session(connection, session, settings)
    return secret


def continue_session(
    connection: Connection, old: Session, owner: SessionOwner, now: datetime
) -> str:
    """Replace the cookie of a session, and store the provider's current user name and role.

    Returns:
        The value of the new cookie. The session ends when it would have ended before.
    """
    secret = new_secret()
    accounts.renew_session(connection, old, digest_of(secret), owner, now)
    return secret


def is_use_recorded(session: Session, now: datetime) -> bool:
    """Return True if a use of the session was stored within the last minute."""
    return now.timestamp() - session.seen_at < _USE_RECORDED_EACH


def get_cookie(headers: Headers, name: str, origin: Origin) -> str:
    """Return the value of a request's cookie; empty if there is none.

    Over TLS, only a cookie with the ``__Host-`` prefix counts.
    """
    try:
        jar = SimpleCookie("; ".join(headers.getlist("cookie")))
    except CookieError:
        return ""
    found = jar.get(_cookie_name(name, origin))
    return found.value if found is not None and len(found.value) <= _MAX_COOKIE else ""


def set_cookie(
    headers: MutableHeaders, name: str, value: str, origin: Origin, seconds: int | None = None
) -> None:
    """Add a Set-Cookie header to a response; an empty value deletes the cookie.

    ``__Host-`` (RFC 6265bis, 4.1.3.2): Secure, and only for this host. The cookie is Lax, not
    Strict, because the link to an alert in a mail, and the way back from a provider, need the
    session. Changes are POST requests, with which other sites send no Lax cookie.

    Args:
        headers: the response's headers.
        name: the cookie's name without ``__Host-``.
        value: the cookie's value.
        origin: the request's origin, which decides about the prefix.
        seconds: after which the browser deletes it; None for the end of the browser's session.
    """
    parts = [f"{_cookie_name(name, origin)}={value}", "Path=/", "HttpOnly", "SameSite=Lax"]
    if not value:
        seconds = 0
    if seconds is not None:
        parts.append(f"Max-Age={seconds}")
    if origin.is_secure:
        parts.append("Secure")
    headers.append("set-cookie", "; ".join(parts))


def csrf_token(secret: str) -> str:
    """Derive the CSRF token from the secret of a cookie; empty for an empty secret."""
    return hmac.digest(secret.encode(), b"certpin csrf", "sha256").hex() if secret else ""


def is_csrf_token(expected: str, received: str) -> bool:
    """Return True if the received CSRF token is the expected one, and that is not empty."""
    if not expected:
        return False
    # Digests, because compare_digest does not accept every text that a client may send.
    ours, theirs = (sha256(text.encode(errors="replace")) for text in (expected, received))
    return hmac.compare_digest(ours.digest(), theirs.digest())


def is_same_origin(headers: Headers, own_origin: str) -> bool:
    """Return True unless the browser reports that another origin sent the request.

    A client without both headers isn't a current browser; it still needs the token.
    """
    if (site := headers.get("sec-fetch-site")) is not None:
        return site == "same-origin"
    if (origin := headers.get("origin")) is not None:
        return origin.lower() == own_origin
    return True


def _cookie_name(name: str, origin: Origin) -> str:
    """Return the cookie's name, with the ``__Host-`` prefix over TLS.

    Browsers accept the prefix only there; plain http is for the loopback.
    """
    return f"__Host-{name}" if origin.is_secure else name
