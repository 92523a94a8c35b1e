"""A sign-on on its way: the browser is sent to the provider, and comes back with a code.

The browser keeps one secret in a cookie, and everything else follows from it: ``state`` (is this
the browser that was sent away?), ``nonce`` (is the token an answer to it?) and the PKCE verifier
(is this who asked for the code?). So nothing is stored here, and strangers who begin a thousand
sign-ons leave nothing behind. None of the three says anything of another.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from certpin.errors import InputError
from certpin_watch.auth.cookies import new_secret
from certpin_watch.auth.id_token import LEEWAY
from certpin_watch.auth.refusal import local_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from certpin_watch.auth.provider import Metadata

MINUTES = 10  # that somebody may take at the provider
CALLBACK = "/login/openid/callback"
_AGAIN = "again"
_FEWEST = 43  # characters of a secret with 256 bits
_LONGEST_CODE = 4096


# OpenID Connect Core 1.0, 3.1.2.6: it cannot be said without asking them.
_ASKS = frozenset(
    {"login_required", "interaction_required", "consent_required", "account_selection_required"}
)


class AskingError(InputError):
    """The provider does not know any more who that is, or wants to ask them."""


@dataclass(frozen=True)
class Begun:
    """A sign-on: what the cookie holds, and where to go when it is done.

    ``again``: the browser has a session, and the provider is to say without asking anybody
    (``prompt=none``, OpenID Connect Core 1.0, 3.1.2.1) who that still is.
    """

    secret: str = field(repr=False)
    next: str
    at: int
    again: bool = False

    @classmethod
    def new(cls, next_path: str, now: datetime, *, again: bool = False) -> Begun:
        """One that begins now."""
        return cls(new_secret(), local_path(next_path), int(now.timestamp()), again)

    @classmethod
    def from_cookie(cls, text: str, now: datetime) -> Begun:
        """The one that a browser comes back with. Raises ``InputError``."""
        secret, _, rest = text.partition(".")
        moment, _, rest = rest.partition(".")
        again, _, path = rest.partition(".")
        if len(secret) < _FEWEST or not moment.isdecimal() or len(moment) > 12:
            raise InputError("this browser did not begin to sign in, or has no cookies")
        if not -LEEWAY <= int(now.timestamp()) - int(moment) <= MINUTES * 60:
            raise InputError("the sign-in took too long")
        return cls(secret, local_path(unquote(path)), int(moment), again == _AGAIN)

    @property
    def cookie(self) -> str:
        """What the browser keeps."""
        how = _AGAIN if self.again else ""
        return f"{self.secret}.{self.at}.{how}.{quote(self.next, safe='')}"

    @property
    def state(self) -> str:
        """Proves that the browser that comes back is the one that left (RFC 6749, 10.12)."""
        return self._derived(b"state")

    @property
    def nonce(self) -> str:
        """Binds the token to it (OpenID Connect Core 1.0, 15.5.2)."""
        return self._derived(b"nonce")

    @property
    def verifier(self) -> str:
        """Proves who asked for the code (RFC 7636)."""
        return self._derived(b"verifier")

    def _derived(self, label: bytes) -> str:
        digest = hmac.digest(self.secret.encode(), b"certpin openid " + label, "sha256")
        return urlsafe_b64encode(digest).decode().rstrip("=")


def code_of(answer: Mapping[str, str], begun: Begun, metadata: Metadata, issuer: str) -> str:
    """The code that the browser brings back. Raises ``InputError``, of which ``AskingError``.

    The state is looked at first: without it, nothing else in the address is anybody's word.
    """
    state = answer.get("state", "")
    if not hmac.compare_digest(state.encode(errors="replace"), begun.state.encode()):
        raise InputError("the answer is not for this browser")
    # RFC 9207, 2.4: another provider's answer must not be taken for this one's.
    said = answer.get("iss")
    if said != issuer and (said is not None or metadata.says_issuer):
        raise InputError("the answer is from another provider")
    if "error" in answer:
        if begun.again and answer["error"] in _ASKS:
            raise AskingError("the provider wants to ask them")
        raise InputError("the provider refused")
    if not (code := answer.get("code", "")) or len(code) > _LONGEST_CODE:
        raise InputError("the answer has no code")
    return code
