"""Logins with OpenID Connect: the browser goes to the provider, and returns with a code.

The browser keeps one secret in a cookie, and three values are derived from it: ``state`` proves
that this is the browser that was sent to the provider, ``nonce`` proves that the ID token belongs
to this login, and the PKCE verifier proves that this client requested the code. So the service
stores nothing for logins that are never finished. None of the three values reveals another.

authlib makes the requests of OAuth 2.0 (RFC 6749, with PKCE, RFC 7636); ``id_token`` verifies the
tokens. No value that a browser sends decides which server is contacted.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import math
import ssl
import time
from base64 import b64encode, urlsafe_b64encode
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import quote, quote_plus, unquote, urlencode, urlsplit

from certpin.errors import InputError
from certpin_watch.addresses import local_path
from certpin_watch.auth.id_token import LEEWAY, ExpectedClaims, UnknownKeyError, verified_claims
from certpin_watch.auth.sessions import new_secret

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping
    from datetime import datetime

    from authlib.integrations.httpx_client import AsyncOAuth2Client

    from certpin_watch.settings import OpenIDSettings

Value = TypeVar("Value")

CALLBACK = "/login/openid/callback"
LOGIN_SECONDS = 600  # that a user may take at the provider
_RECHECK = "again"
_MIN_SECRET = 43  # characters of 256 bits
_MAX_CODE = 4096  # characters
# RFC 6749, 4.1.2.1 and 5.2; OpenID Connect Core 1.0, 3.1.2.6. Other codes may contain anything.
_ERROR_CODES = frozenset(
    {
        *("invalid_request", "invalid_client", "invalid_grant", "invalid_scope"),
        *("unauthorized_client", "unsupported_grant_type", "unsupported_response_type"),
        *("access_denied", "server_error", "temporarily_unavailable"),
    }
)
_MAX_BYTES = 256 * 1024  # of a discovery document or a key set
_TIMEOUT = 10.0  # seconds for each step of a request, and to fetch a document
_BASIC, _POST = "client_secret_basic", "client_secret_post"
_FRESH = 3600.0  # seconds for which both documents are kept
_FAILURE_FRESH = 10.0  # seconds for which a failed fetch is not repeated
_KEYS_FRESH = 60.0  # seconds between two fetches of the key set because of an unknown key

# The provider must prompt the user (OpenID Connect Core 1.0, 3.1.2.6).
_INTERACTION = frozenset(
    {"login_required", "interaction_required", "consent_required", "account_selection_required"}
)
# The provider fails, and does not refuse the user (RFC 6749, 4.1.2.1).
_TEMPORARY = frozenset({"server_error", "temporarily_unavailable"})


class InteractionRequiredError(InputError):
    """The OpenID provider can't confirm the user without prompting for a login.

    The browser is then sent to the login page, where the user can log in again.
    """


class UserRefusedError(InputError):
    """The OpenID provider does not confirm the user.

    The login fails, and a session that the provider had to confirm ends.
    """


@dataclass(frozen=True)
class PendingLogin:
    """A login at an OpenID provider that the browser has not finished yet.

    Attributes:
        secret: a random secret, from which ``state``, ``nonce`` and ``verifier`` are derived.
        next: the URL path of the page to redirect to at the end.
        at: when the login began, in Unix seconds.
        recheck: True if the browser already has a session, and the provider is asked to confirm its
            user without a prompt (``prompt=none``, OpenID Connect Core 1.0, 3.1.2.1).
    """

    secret: str = field(repr=False)
    next: str
    at: int
    recheck: bool = False

    @classmethod
    def new(cls, next_path: str, now: datetime, *, recheck: bool = False) -> PendingLogin:
        """Create a login with a new random secret.

        ``next_path`` is the URL path of the page to redirect to at the end of the login.
        ``recheck`` is True if the provider only has to confirm the user of an existing session.
        """
        return cls(new_secret(), local_path(next_path), int(now.timestamp()), recheck)

    @classmethod
    def from_cookie(cls, text: str, now: datetime) -> PendingLogin:
        """Decode the login in the cookie of a browser that returns from the provider.

        ``text`` is the value of the cookie.

        Raises:
            InputError: the cookie is missing, invalid or too old.
        """
        secret, _, rest = text.partition(".")
        moment, _, rest = rest.partition(".")
        recheck, _, path = rest.partition(".")
        if len(secret) < _MIN_SECRET or not moment.isdecimal() or len(moment) > 12:
            raise InputError("this browser did not begin to sign in, or has no cookies")
        if not -LEEWAY <= int(now.timestamp()) - int(moment) <= LOGIN_SECONDS:
            raise InputError("the sign-in took too long")
        return cls(secret, local_path(unquote(path)), int(moment), recheck == _RECHECK)

    @property
    def cookie(self) -> str:
        """The value of the cookie in which the browser keeps this login."""
        recheck = _RECHECK if self.recheck else ""
        return f"{self.secret}.{self.at}.{recheck}.{quote(self.next, safe='')}"

    @property
    def state(self) -> str:
        """The ``state`` parameter: proves that this browser began the login (RFC 6749, 10.12)."""
        return self._derived(b"state")

    @property
    def nonce(self) -> str:
        """The ``nonce``: it binds the ID token to this login (OpenID Connect Core 1.0, 15.5.2)."""
        return self._derived(b"nonce")

    @property
    def verifier(self) -> str:
        """The PKCE verifier, which proves that this client requested the code (RFC 7636)."""
        return self._derived(b"verifier")

    def _derived(self, label: bytes) -> str:
        digest = hmac.digest(self.secret.encode(), b"certpin openid " + label, "sha256")
        return urlsafe_b64encode(digest).decode().rstrip("=")


@dataclass(frozen=True)
class ProviderMetadata:
    """The fields of a provider's discovery document that the service uses.

    OpenID Connect Discovery 1.0, section 3, defines the document. ``names_issuer`` is True if the
    provider adds its issuer to each response (RFC 9207). ``end_session_endpoint`` is empty if the
    provider has none. ``auth_method`` is the way in which the client proves its identity at the
    token endpoint: ``client_secret_basic``, or ``client_secret_post``.
    """

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    end_session_endpoint: str
    names_issuer: bool
    auth_method: str


class _SharedDocument(Generic[Value]):
    """A document of the OpenID provider, with a cache that all logins share.

    If several logins need the document at the same time, it is requested once. If the request
    fails, all of them fail.

    Args:
        fetch: requests the document; raises ``InputError`` if that fails.
    """

    def __init__(self, fetch: Callable[[], Awaitable[Value]]) -> None:
        self._fetch = fetch
        self._found: tuple[float, Value] | None = None
        self._failed: tuple[float, str] | None = None
        self._fetching = asyncio.Lock()

    def cached(self, max_age: float = math.inf) -> Value | None:
        """Return the document if it was fetched in the last ``max_age`` seconds, else None."""
        found = self._found
        return found[1] if found is not None and _age(found[0]) <= max_age else None

    async def get(self, max_age: float = _FRESH) -> Value:
        """Return the document, from the cache if it was fetched in the last ``max_age`` seconds.

        Otherwise, request it from the provider. If a request failed a moment ago, raise the error
        of this request instead.

        Raises:
            InputError: the document is unavailable or invalid.
        """
        if (known := self.cached(max_age)) is not None:
            return known
        async with self._fetching:
            if (known := self.cached(max_age)) is not None:
                return known
            if self._failed is not None and _age(self._failed[0]) <= _FAILURE_FRESH:
                raise InputError(self._failed[1])
            try:
                found = await self._fetch()
            except InputError as exc:
                self._failed = (time.monotonic(), exc.problem)
                raise
            self._found, self._failed = (time.monotonic(), found), None
            return found


class OpenIDProvider:
    """The service's client of an OpenID provider: the requests of a login and a logout.

    The provider's documents are cached for an hour.
    """

    def __init__(self, settings: OpenIDSettings) -> None:
        self.settings = settings
        self._metadata = _SharedDocument(self._fetch_metadata)
        self._keys = _SharedDocument(self._fetch_keys)

    async def metadata(self) -> ProviderMetadata:
        """Return the provider's discovery document, from the cache or the provider.

        Raises:
            InputError: the document is unavailable or invalid.
        """
        return await self._metadata.get()

    async def login_address(self, login: PendingLogin, redirect_uri: str) -> str:
        """Return the provider's URL to which the browser is redirected for a login.

        ``redirect_uri`` is the address to which the provider sends the browser back.

        Raises:
            InputError: the discovery document is unavailable or invalid.
        """
        metadata = await self.metadata()
        async with self._client(redirect_uri) as client:
            url, _ = client.create_authorization_url(
                metadata.authorization_endpoint,
                state=login.state,
                nonce=login.nonce,
                code_verifier=login.verifier,
                **({"prompt": "none"} if login.recheck else {}),
            )
        return str(url)

    async def redeem(
        self, code: str, login: PendingLogin, redirect_uri: str, now: datetime
    ) -> dict[str, Any]:
        """Exchange a code for an ID token at the provider, verify the token, and return its claims.

        Args:
            code: the code with which the browser returned.
            login: the login that the browser began.
            redirect_uri: the address to which the provider sent the browser back.
            now: the current time.

        Raises:
            InputError: the provider refused the code, or the token is invalid. The message contains
                no secret.
        """
        metadata = await self.metadata()
        with _as_input_error("the code could not be redeemed"):
            async with self._client(redirect_uri, metadata.auth_method) as client:
                answer = await client.fetch_token(
                    metadata.token_endpoint,
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=login.verifier,
                )
        text = answer.get("id_token")
        if not isinstance(text, str):
            raise InputError("the provider sent no ID token")
        expected = ExpectedClaims(self.settings, login.nonce, now)
        try:
            return verified_claims(text, await self._keys.get(), expected)
        except UnknownKeyError:
            return verified_claims(text, await self._keys.get(_KEYS_FRESH), expected)

    def logout_address(self, back: str) -> str:
        """Return the URL that ends the user's session at the OpenID provider, or an empty text.

        It is empty if the provider has no such URL, or if this process has not read the provider's
        documents yet, because a logout does not wait for the provider. ``back`` is the address to
        which the provider redirects the browser afterwards.
        """
        metadata = self._metadata.cached()
        end = metadata.end_session_endpoint if metadata else ""
        words = {"client_id": self.settings.client_id, "post_logout_redirect_uri": back}
        return f"{end}{'&' if '?' in end else '?'}{urlencode(words)}" if end else ""

    async def _fetch_metadata(self) -> ProviderMetadata:
        address = f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration"
        return _metadata(await self._fetch(address), self.settings.issuer)

    async def _fetch_keys(self) -> dict[str, Any]:
        return await self._fetch((await self.metadata()).jwks_uri)

    async def _fetch(self, address: str) -> dict[str, Any]:
        """Fetch a JSON object of limited size from the provider. Redirects are not followed.

        Raises:
            InputError: the address can't be read, or has no JSON object.
        """
        with _as_input_error(f"{address} could not be read"):
            async with (
                asyncio.timeout(_TIMEOUT),
                self._client() as client,
                client.stream("GET", address, withhold_token=True) as answer,
            ):
                answer.raise_for_status()
                data = b""
                async for part in answer.aiter_bytes():
                    data += part
                    if len(data) > _MAX_BYTES:
                        raise ValueError("too large")
            found = json.loads(data)
        if not isinstance(found, dict):
            raise InputError(f"{address} is not a JSON object")
        return found

    @cached_property
    def _context(self) -> ssl.SSLContext:
        # Made once: loading the authorities takes milliseconds, in which no request is answered.
        return ssl.create_default_context(cafile=self.settings.ca_file)

    def _client(
        self, redirect_uri: str | None = None, auth_method: str = _BASIC
    ) -> AsyncOAuth2Client:
        from authlib.integrations.httpx_client import AsyncOAuth2Client

        settings = self.settings
        return AsyncOAuth2Client(
            client_id=settings.client_id,
            client_secret=settings.client_secret.reveal(),
            token_endpoint_auth_method=_add_basic if auth_method == _BASIC else auth_method,
            scope=" ".join(settings.scopes),
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
            verify=self._context,
            timeout=_TIMEOUT,
            follow_redirects=False,
        )


def _add_basic(
    client: Any, method: str, uri: str, headers: dict[str, str], body: str
) -> tuple[str, dict[str, str], str]:
    """Add the client's ID and secret to a request, in the way named ``client_secret_basic``.

    This replaces a function of authlib that does not form-encode the ID and the secret, as RFC
    6749, 2.3.1, requires. Without the encoding, the provider misreads an ID with a colon, or a
    secret with a percent or plus sign.

    ``client`` is authlib's client. All other arguments are parts of the request.

    Returns:
        The URL, the headers and the body of the request. Only the headers are changed.
    """
    del method
    pair = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"
    headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    return uri, headers, body


def code_of(
    answer: Mapping[str, str], login: PendingLogin, metadata: ProviderMetadata, issuer: str
) -> str:
    """Check the query with which the browser returns from the provider, and return the code in it.

    ``state`` is checked first: if it is wrong, the query doesn't come from the provider, and no
    other parameter is used.

    Args:
        answer: the query of the browser's request, by parameter.
        login: the pending login in the browser's cookie.
        metadata: the provider's metadata.
        issuer: the issuer in the settings.

    Raises:
        InteractionRequiredError: the provider can't confirm the user without a prompt.
        UserRefusedError: the provider refuses the user.
        InputError: the query is invalid, or the provider fails.
    """
    state = answer.get("state", "")
    if not hmac.compare_digest(state.encode(errors="replace"), login.state.encode()):
        raise InputError("the answer is not for this browser")
    # RFC 9207, 2.4: another provider's answer must not be taken for this one's.
    named = answer.get("iss")
    if named != issuer and (named is not None or metadata.names_issuer):
        raise InputError("the answer is from another provider")
    if "error" in answer:
        if login.recheck and answer["error"] in _INTERACTION:
            raise InteractionRequiredError("the provider needs to prompt the user")
        if answer["error"] in _TEMPORARY:
            raise InputError("the provider is unavailable")
        raise UserRefusedError(f"the provider refused{_error_code(answer['error'])}")
    if not (code := answer.get("code", "")) or len(code) > _MAX_CODE:
        raise InputError("the answer has no code")
    return code


@contextmanager
def _as_input_error(problem: str) -> Iterator[None]:
    """Convert errors of the HTTP client in the block to an ``InputError``.

    ``problem`` becomes the text of the error, with the registered error code of the provider, if it
    sent one. The text of the HTTP client's error is left out: it can contain a code, or an address
    with a code.
    """
    # Imported here, because only services with a provider need them.
    from authlib.common.errors import AuthlibBaseError
    from httpx2 import HTTPError, InvalidURL

    try:
        yield
    except (AuthlibBaseError, HTTPError, InvalidURL, OSError, ValueError) as exc:
        code = _error_code(getattr(exc, "error", None)) or f" ({type(exc).__name__})"
        raise InputError(f"{problem}{code}") from None


def _error_code(code: object) -> str:
    """Return a registered error code of OAuth 2.0 as text: a space, and the code in brackets.

    The text is empty if ``code`` is not a registered code.
    """
    return f" ({code})" if isinstance(code, str) and code in _ERROR_CODES else ""


def _metadata(document: dict[str, Any], issuer: str) -> ProviderMetadata:
    """Check a provider's discovery document, and return the fields that are used.

    The issuer in the document must be exactly ``issuer`` (OpenID Connect Discovery 1.0, 4.3).

    Raises:
        InputError: the issuer differs, an address is missing or not https, or the provider accepts
            no client secret.
    """
    if document.get("issuer") != issuer:
        raise InputError("the provider's name for itself differs from access.oidc.issuer")
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        if not _is_https(document.get(name)):
            raise InputError(f"the provider's {name} is not an https address")
    end = document.get("end_session_endpoint")
    return ProviderMetadata(
        authorization_endpoint=str(document["authorization_endpoint"]),
        token_endpoint=str(document["token_endpoint"]),
        jwks_uri=str(document["jwks_uri"]),
        end_session_endpoint=str(end) if _is_https(end) else "",
        names_issuer=document.get("authorization_response_iss_parameter_supported") is True,
        auth_method=_auth_method(document.get("token_endpoint_auth_methods_supported")),
    )


def _auth_method(supported: object) -> str:
    """Return how the client proves its identity at the token endpoint of the provider.

    The result is ``client_secret_basic``, which RFC 6749, 2.3.1, prefers, if the provider's list
    has it, else ``client_secret_post``. If the list is missing, the result is
    ``client_secret_basic`` (OpenID Connect Discovery 1.0, 3). If the provider doesn't accept it
    then, it refuses the request.

    Args:
        supported: the list of methods in the provider's discovery document. ``null``, an empty list
            and values of another type count as a missing list, because some providers write these.

    Raises:
        InputError: the provider's list has neither method.
    """
    methods = supported if isinstance(supported, list) and supported else [_BASIC]
    for method in (_BASIC, _POST):
        if method in methods:
            return method
    raise InputError(f"the provider accepts neither {_BASIC} nor {_POST} at its token endpoint")


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
