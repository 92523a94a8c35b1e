"""Requests that another site makes a browser send (CSRF). Two tests, and both have to hold.

1. The browser says where a request comes from: ``Sec-Fetch-Site``, which no page can forge, or
   ``Origin`` where an old one does not have it. A request that changes something has to come from
   the watch's own pages.
2. A form brings a token along that is derived from the secret of the cookie: no other site can
   read the page or the cookie, and so nobody else knows it. It is a synchroniser token that needs
   no place of its own: who has the session has the token, and a new session has a new one.

Each has failed somewhere by itself: proxies strip headers; a neighbour under the same domain can
plant a cookie where the ``__Host-`` prefix cannot be used (http on the loopback).
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.datastructures import Headers

FIELD = "csrf"
HEADER = "x-csrf-token"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})  # RFC 9110, 9.2.1


def token_of(secret: str) -> str:
    """The token that goes with a cookie."""
    return hmac.digest(secret.encode(), b"certpin csrf", "sha256").hex() if secret else ""


def is_right(expected: str, brought: str) -> bool:
    """Whether it is the token. Without a cookie there is none, and nothing is right."""
    if not expected:
        return False
    # Digests of both, which compare_digest takes whatever a stranger sends.
    ours, theirs = (hashlib.sha256(each.encode(errors="replace")) for each in (expected, brought))
    return hmac.compare_digest(ours.digest(), theirs.digest())


def is_own(headers: Headers, own: str) -> bool:
    """Whether the browser says that the request comes from this very origin.

    A client that says nothing is no browser of today; it still needs the token.
    """
    if (site := headers.get("sec-fetch-site")) is not None:
        return site == "same-origin"
    if (origin := headers.get("origin")) is not None:
        return origin.lower() == own
    return True
