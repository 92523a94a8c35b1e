"""Sessions, their cookies, and forms with their CSRF tokens.

A session's cookie has 256 random bits; ``store.sessions`` has its SHA-256. In an attack by CSRF,
another site makes the browser send a request to the service. So a request that changes something
must pass two checks. Requests of programs with a token need no check.

1. ``is_same_origin``: the browser names the sending site in ``Sec-Fetch-Site``, which no page can
   forge, or in ``Origin`` if it is an old browser.
2. ``is_csrf_token``: the form contains a token that is derived from the secret of the cookie. Other
   sites can read neither the page nor the cookie. The token needs no storage, and a new session has
   a new one.

One check would not be enough, because each has failed in practice: proxies remove headers, and
another site under the same domain can set a cookie for the service, if the ``__Host-`` prefix can't
be used (http on the loopback).
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from hashlib import sha256
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from certpin.support.text import printable
from certpin_watch.store.sessions import Session, SessionOwner, add_session, renew_session

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection
    from starlette.datastructures import Headers, MutableHeaders
    from starlette.types import Message, Receive

    from certpin_watch.addresses import Origin
    from certpin_watch.settings import AuthSettings

SESSION_COOKIE = "certpin"
FORM_COOKIE = "certpin-form"  # for forms of browsers without a session
LOGIN_COOKIE = "certpin-login"  # a login that is under way at an OpenID provider
CSRF_FIELD = "csrf"
CSRF_HEADER = "x-csrf-token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})  # RFC 9110, 9.2.1

MAX_BODY = 64 * 1024  # bytes of a form
_MAX_COOKIE = 1024  # characters of a value
_MAX_AGENT = 120  # characters of a User-Agent
_BODY_SECONDS = 10.0  # until a body must be complete
_MAX_FIELDS = 100
_BODY_TYPES = {"", "application/x-www-form-urlencoded"}


def new_secret() -> str:
    """Return 256 random bits as text, for a cookie."""
    return secrets.token_urlsafe(32)


def digest_of(secret: str) -> bytes:
    """Return the SHA-256 of the secret in a cookie; the session is stored under this digest."""
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
    """Store a new session with a new secret, and return the value of its cookie.

    The secret is always new: a cookie that the browser sent is never used.

    Args:
        connection: a write transaction.
        owner: the user to whom the session belongs.
        settings: the table ``[access]``, with the durations after which a session ends.
        now: the current time.
        source: the network of the client.
        agent: the ``User-Agent`` of the browser.
    """
    secret, at = new_secret(), int(now.timestamp())
    agent = printable(agent[:_MAX_AGENT])[:_MAX_AGENT]
    end = at + settings.session_seconds
    session = Session(digest_of(secret), owner, source, agent, at, at, end)
    add_session(connection, session, settings)
    return secret


def continue_session(
    connection: Connection, old: Session, owner: SessionOwner, now: datetime
) -> str:
    """Replace the cookie of a session, and update the stored name and role of its user.

    The time at which the session ends does not change.

    Args:
        connection: a write transaction.
        old: the session as it is stored.
        owner: the user, with the name and role that the OpenID provider states now.
        now: the current time.

    Returns:
        The value of the new cookie.
    """
    secret = new_secret()
    renew_session(connection, old, digest_of(secret), owner, now)
    return secret


def get_cookie(headers: Headers, name: str, origin: Origin) -> str:
    """Return the value of a cookie in a request; empty if it is missing, invalid or too long.

    Over TLS, only a cookie with the prefix ``__Host-`` counts.

    Args:
        headers: the request's headers.
        name: the cookie's name without ``__Host-``.
        origin: the request's origin, which shows if the browser used TLS.
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

    If the browser used TLS, the name gets the prefix ``__Host-`` (RFC 6265bis, 4.1.3.2). Browsers
    send such a cookie only over TLS, and only to this host.

    The cookie has ``SameSite=Lax``. ``Strict`` would remove the session from requests that another
    site causes, such as a link to an alert in a mail or the redirect of an OpenID provider. ``Lax``
    is enough, because browsers don't send such a cookie with POST requests of other sites, and all
    changes are POST requests.

    Args:
        headers: the response's headers.
        name: the cookie's name without ``__Host-``.
        value: the cookie's value.
        origin: the request's origin, which shows if the browser used TLS.
        seconds: the seconds after which the browser deletes the cookie; None for the end of the
            browser's session.
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
    """Return True if the received CSRF token is the expected one, and is not empty.

    The comparison takes the same time for all tokens, so it reveals nothing about the expected one.
    """
    if not expected:
        return False
    # Digests, because compare_digest does not accept every text that a client may send.
    ours, theirs = (sha256(text.encode(errors="replace")) for text in (expected, received))
    return hmac.compare_digest(ours.digest(), theirs.digest())


def is_same_origin(headers: Headers, own_origin: str) -> bool:
    """Return False if the browser states that a page of another origin sent the request, else True.

    The browser states this in ``Sec-Fetch-Site`` or ``Origin``. If the request has neither header,
    the result is True: such a client isn't a current browser, and only the CSRF token protects the
    request. ``own_origin`` is the origin of this service's pages.
    """
    if (site := headers.get("sec-fetch-site")) is not None:
        return site == "same-origin"
    if (origin := headers.get("origin")) is not None:
        return origin.lower() == own_origin
    return True


def _cookie_name(name: str, origin: Origin) -> str:
    """Return the full name of a cookie: with the prefix ``__Host-`` if the browser used TLS.

    ``origin`` shows if the browser used TLS. Browsers accept the prefix only over TLS. Plain http
    is used only on the loopback.
    """
    return f"__Host-{name}" if origin.is_secure else name


async def read_body(
    receive: Receive, content_type: str = "", seconds: float = _BODY_SECONDS
) -> tuple[bytes | HTTPStatus, Receive]:
    """Read the body of a request, with limits on its size and time. Only form data is accepted.

    Starlette's own parser of forms is not enough. It would write a multipart form to the disk
    without a limit, and decode it with the character set that the form names: some of Python's
    decoders fail, and some produce lone surrogates. Without the time limit, a body that never
    arrives would occupy one of the server's connections, which reports of clients need too.

    Args:
        receive: the request's ASGI ``receive``.
        content_type: the Content-Type of the body.
        seconds: the time within which the body must be complete.

    Returns:
        The body, or the HTTP status to refuse it with; and a ``receive`` that returns the body
        again.
    """
    try:
        async with asyncio.timeout(seconds):
            body = await _read(receive)
    except TimeoutError:
        return HTTPStatus.REQUEST_TIMEOUT, receive
    if isinstance(body, HTTPStatus):
        return body, receive
    if body and content_type.partition(";")[0].strip().lower() not in _BODY_TYPES:
        return HTTPStatus.UNSUPPORTED_MEDIA_TYPE, receive
    return body, _again(body, receive)


async def _read(receive: Receive) -> bytes | HTTPStatus:
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return HTTPStatus.BAD_REQUEST  # incomplete: the client disconnected, or broke HTTP
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        if not message.get("more_body"):
            return body


def _again(body: bytes, receive: Receive) -> Receive:
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay


def is_forged(headers: Headers, body: bytes, own_origin: str, csrf: str) -> bool:
    """Return True if another site has possibly caused a request that changes something (CSRF).

    The result is True if ``is_same_origin`` or ``is_csrf_token`` fails. The CSRF token of the
    request is in a header if a script sent it, else in a field of the form.

    Args:
        headers: the request's headers.
        body: the request's body, a form.
        own_origin: the scheme and host under which the browser knows the service.
        csrf: the token that this browser's forms contain.
    """
    if not is_same_origin(headers, own_origin):
        return True
    received = headers.get(CSRF_HEADER)
    return not is_csrf_token(csrf, _field(body, CSRF_FIELD) if received is None else received)


def _field(body: bytes, name: str) -> str:
    """Return the value of a field of a submitted form; empty if it is missing, or occurs twice.

    ``body`` is the form as the browser sent it, and ``name`` the name of the field. The result is
    empty, too, if the form can't be read.
    """
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=_MAX_FIELDS)
    except ValueError:
        return ""
    values = fields.get(name, [])
    return values[0] if len(values) == 1 else ""
