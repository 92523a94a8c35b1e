"""An OpenID provider: where it is asked, with which keys it signs, and what a code is worth.

authlib makes the requests of OAuth 2.0 (RFC 6749, with PKCE, RFC 7636); what comes back is judged
in ``id_token.py``. Nothing that a visitor sends decides who is asked.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from certpin.errors import InputError
from certpin_watch.auth import id_token

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from authlib.integrations.httpx_client import AsyncOAuth2Client

    from certpin_watch.auth.openid_flow import Begun
    from certpin_watch.auth.openid_settings import Settings

PATIENCE = 10.0  # seconds for each step of a request
MOST_BYTES = 256 * 1024  # of a discovery document or a set of keys
_FRESH = 3600.0  # seconds that both are kept
_ASKED_AGAIN = 60.0  # seconds between two looks for a key that is new


@dataclass(frozen=True)
class Metadata:
    """What certpin needs of a discovery document (OpenID Connect Discovery 1.0, 3)."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    end_session_endpoint: str
    says_issuer: bool  # it names itself in each answer (RFC 9207)


class Provider:
    """One provider. Its documents are fetched when they are needed, and kept for a while."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._metadata: tuple[float, Metadata] | None = None
        self._keys: tuple[float, dict[str, Any]] | None = None
        self._asking = asyncio.Lock()

    async def metadata(self) -> Metadata:
        """Its discovery document. Raises ``InputError``: it cannot be had, or is not its own."""
        async with self._asking:
            if self._metadata is None or _age(self._metadata[0]) > _FRESH:
                address = f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration"
                found = _metadata(await self._fetch(address), self.settings.issuer)
                self._metadata = (time.monotonic(), found)
            return self._metadata[1]

    async def address(self, begun: Begun, redirect_uri: str) -> str:
        """Where the browser is sent."""
        metadata = await self.metadata()
        async with self._client(redirect_uri) as client:
            url, _ = client.create_authorization_url(
                metadata.authorization_endpoint,
                state=begun.state,
                nonce=begun.nonce,
                code_verifier=begun.verifier,
                **({"prompt": "none"} if begun.again else {}),
            )
        return str(url)

    async def redeem(
        self, code: str, begun: Begun, redirect_uri: str, now: datetime
    ) -> dict[str, Any]:
        """The claims of who signed in. Raises ``InputError``, in which is no secret."""
        metadata = await self.metadata()
        with _told("the code could not be redeemed"):
            async with self._client(redirect_uri) as client:
                answer = await client.fetch_token(
                    metadata.token_endpoint,
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=begun.verifier,
                )
        text = answer.get("id_token")
        if not isinstance(text, str):
            raise InputError("the provider sent no ID token")
        expected = id_token.Expected(self.settings, begun.nonce, now)
        try:
            return id_token.claims_of(text, await self._key_set(), expected)
        except id_token.UnknownKeyError:
            return id_token.claims_of(text, await self._key_set(anew=True), expected)

    async def logout_address(self, back: str) -> str:
        """Where to sign out at the provider, too; empty if it has no such place."""
        try:
            end = (await self.metadata()).end_session_endpoint
        except InputError:
            return ""
        words = {"client_id": self.settings.client_id, "post_logout_redirect_uri": back}
        return f"{end}{'&' if '?' in end else '?'}{urlencode(words)}" if end else ""

    async def _key_set(self, *, anew: bool = False) -> dict[str, Any]:
        metadata = await self.metadata()
        async with self._asking:
            kept = _ASKED_AGAIN if anew else _FRESH
            if self._keys is None or _age(self._keys[0]) > kept:
                self._keys = (time.monotonic(), await self._fetch(metadata.jwks_uri))
            return self._keys[1]

    async def _fetch(self, address: str) -> dict[str, Any]:
        """A JSON object, if it is not too large. No redirect is followed."""
        with _told(f"{address} could not be read"):
            async with (
                self._client() as client,
                client.stream("GET", address, withhold_token=True) as answer,
            ):
                answer.raise_for_status()
                data = b""
                async for part in answer.aiter_bytes():
                    data += part
                    if len(data) > MOST_BYTES:
                        raise ValueError("too large")
            found = json.loads(data)
        if not isinstance(found, dict):
            raise InputError(f"{address} is no JSON object")
        return found

    def _client(self, redirect_uri: str | None = None) -> AsyncOAuth2Client:
        from authlib.integrations.httpx_client import AsyncOAuth2Client

        settings = self.settings
        return AsyncOAuth2Client(
            client_id=settings.client_id,
            client_secret=settings.client_secret.reveal(),
            scope=" ".join(settings.scopes),
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
            verify=ssl.create_default_context(cafile=settings.ca_file),
            timeout=PATIENCE,
            follow_redirects=False,
        )


@contextmanager
def _told(problem: str) -> Iterator[None]:
    """Turn what a client raises into an error that says no more than it should.

    The text of an exception is left out: there may be a code or an address with one in it.
    """
    expected: tuple[type[Exception], ...] = (*_client_errors(), OSError, ValueError)
    try:
        yield
    except expected as exc:
        raise InputError(f"{problem} ({type(exc).__name__})") from None


def _client_errors() -> tuple[type[Exception], ...]:
    """What authlib raises, and the HTTP client under it."""
    from authlib.common.errors import AuthlibBaseError
    from httpx2 import HTTPError, InvalidURL

    return AuthlibBaseError, HTTPError, InvalidURL


def _metadata(document: dict[str, Any], issuer: str) -> Metadata:
    """Discovery 1.0, 4.3: the issuer in it must be the very one that was asked for."""
    if document.get("issuer") != issuer:
        raise InputError("the provider calls itself otherwise than access.oidc.issuer does")
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        if not _is_https(document.get(name)):
            raise InputError(f"the provider's {name} is no https address")
    end = document.get("end_session_endpoint")
    return Metadata(
        authorization_endpoint=str(document["authorization_endpoint"]),
        token_endpoint=str(document["token_endpoint"]),
        jwks_uri=str(document["jwks_uri"]),
        end_session_endpoint=str(end) if _is_https(end) else "",
        says_issuer=document.get("authorization_response_iss_parameter_supported") is True,
    )


def _is_https(address: object) -> bool:
    if not isinstance(address, str) or not address.isprintable():
        return False
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname)


def _age(since: float) -> float:
    return time.monotonic() - since
