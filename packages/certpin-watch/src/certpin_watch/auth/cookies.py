"""Cookies. By TLS they have the prefix that keeps neighbours from planting them."""

from __future__ import annotations

import secrets
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.datastructures import Headers, MutableHeaders

    from certpin_watch.auth.origin import Origin

SESSION = "certpin"  # who is signed in
FORM = "certpin-form"  # the forms of who is not
LOGIN = "certpin-login"  # a sign-on on its way to an OpenID provider and back
_LONGEST = 1024  # characters of a value that is looked at


def new_secret() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(32)


def get(headers: Headers, name: str, origin: Origin) -> str:
    """The value of a cookie; empty if there is none. By TLS, only one with the prefix counts."""
    try:
        jar = SimpleCookie("; ".join(headers.getlist("cookie")))
    except CookieError:
        return ""
    found = jar.get(_name(name, origin))
    return found.value if found is not None and len(found.value) <= _LONGEST else ""


def put(
    headers: MutableHeaders, name: str, value: str, origin: Origin, seconds: int | None = None
) -> None:
    """Give a cookie to the browser; an empty value takes it away.

    ``__Host-`` (RFC 6265bis, 4.1.3.2): Secure, for this host alone. Lax, and not Strict: the link
    of an alert in somebody's mail, and the way back from a provider, have to find the session.
    What changes something is a POST, which Lax does not send from elsewhere.
    """
    parts = [f"{_name(name, origin)}={value}", "Path=/", "HttpOnly", "SameSite=Lax"]
    if not value:
        seconds = 0
    if seconds is not None:
        parts.append(f"Max-Age={seconds}")
    if origin.is_secure:
        parts.append("Secure")
    headers.append("set-cookie", "; ".join(parts))


def _name(name: str, origin: Origin) -> str:
    """By plain http, which there is on the loopback alone, browsers take none with the prefix."""
    return f"__Host-{name}" if origin.is_secure else name
