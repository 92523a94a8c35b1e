"""A small OpenID provider with TLS on loopback, which a test can make return false tokens.

It is a real server (granian) with real keys, which are generated when it starts. The settings of
``Provider`` decide the result of the next sign-in. None of the provider is certpin's code.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import secrets
import threading
import time
from base64 import b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus, urlencode

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from starlette.applications import Starlette
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.servers._run import LOOPBACK, accepts, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from starlette.requests import Request

CLIENT_ID, CLIENT_SECRET = "certpin", "the client's secret: p%2Fq+r"
_DEADLINE = 30.0


def _as_they_are(claims: dict[str, Any]) -> None:
    """Leave the claims as they are: the default of ``Provider.change``."""


@dataclass
class Provider:
    """An OpenID provider with responses that a test can change.

    ``change`` is called with the claims of each token, and may alter them; ``algorithm`` and
    ``key`` are those of the token's signature, and ``has_key_ids`` is False for a provider that
    names no keys. With ``takes_post``, the client's secret has to be in the form of a token
    request, and not in the header ``Authorization``. ``asked``, ``redeemed`` and ``prompts``
    record the requests.
    """

    issuer: str
    key: RSAKey | ECKey = field(default_factory=lambda: RSAKey.generate_key(2048, auto_kid=True))
    published: list[RSAKey | ECKey] = field(default_factory=list)
    algorithm: str = "RS256"
    has_key_ids: bool = True
    takes_post: bool = False
    client_id: str = CLIENT_ID
    groups: object = ("staff",)
    change: Callable[[dict[str, Any]], None] = _as_they_are
    metadata: dict[str, Any] = field(default_factory=dict)
    answer: dict[str, str] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    redeemed: list[dict[str, str]] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    signed_in: bool = True
    ahead: int = 0  # seconds by which its clock is wrong

    def __post_init__(self) -> None:
        self.published = [self.key]

    def app(self) -> Starlette:
        """Return the provider as an ASGI application."""
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._discovery),
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
                Route("/keys", self._keys),
            ]
        )

    async def _discovery(self, request: Request) -> Response:
        self.asked.append("discovery")
        return JSONResponse(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
                "end_session_endpoint": f"{self.issuer}/logout",
                "authorization_response_iss_parameter_supported": True,
                **self.metadata,
            }
        )

    async def _keys(self, request: Request) -> Response:
        self.asked.append("keys")
        entries: Any = KeySet(list(self.published)).as_dict(private=False)["keys"]
        hidden = set() if self.has_key_ids else {"kid"}
        keys = [{name: entry[name] for name in entry.keys() - hidden} for entry in entries]
        return JSONResponse({"keys": keys})

    async def _authorize(self, request: Request) -> Response:
        """Redirect the browser back with a code: every user is signed in at once.

        If the request has ``prompt=none`` and ``signed_in`` is False, which stands for a browser
        without a session at the provider, redirect with the error ``login_required`` instead.
        """
        asked = dict(request.query_params)
        self.prompts.append(asked.get("prompt", ""))
        if asked.get("prompt") == "none" and not self.signed_in:
            no = {"error": "login_required", "state": asked["state"], "iss": self.issuer}
            return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(no)}", 302)
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        answer = {"code": code, "state": asked["state"], "iss": self.issuer, **self.answer}
        words = urlencode({name: text for name, text in answer.items() if text})
        return RedirectResponse(f"{asked['redirect_uri']}?{words}", 302)

    async def _token(self, request: Request) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}
        authorization = request.headers.get("authorization", "")
        self.redeemed.append({**form, "authorization": authorization})
        if self.takes_post:
            client = form.get("client_id", ""), form.get("client_secret", "")
            has_one = not authorization  # RFC 6749, 2.3: one method in a request
        else:
            client, has_one = _client_of(authorization), "client_secret" not in form
        if not has_one or client != (self.client_id, CLIENT_SECRET):
            return JSONResponse({"error": "invalid_client"}, 401)
        asked = self.codes.pop(form["code"], None)  # a code is valid once
        if asked is None or not _is_verified(asked, form):
            return JSONResponse({"error": "invalid_grant"}, 400)
        return JSONResponse(
            {"access_token": "a", "token_type": "Bearer", "id_token": self._signed(asked["nonce"])}
        )

    def _signed(self, nonce: str) -> str:
        now = int(time.time()) + self.ahead
        claims = {
            "iss": self.issuer,
            "sub": "248289761001",
            "aud": self.client_id,
            "iat": now,
            "exp": now + 300,
            "nonce": nonce,
            "email": "anna@bank.example",
            "groups": self.groups,
        }
        self.change(claims)
        header = {"alg": self.algorithm} | ({"kid": self.key.kid} if self.has_key_ids else {})
        if self.algorithm in {"none", "HS256"}:
            return self._forged(header, claims)
        return jwt.encode(header, claims, self.key, algorithms=[self.algorithm])

    def _forged(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        """Return a token that signing libraries refuse to make (RFC 8725, 2.1).

        It is unsigned, or authenticated by an HMAC with the public key as its secret.
        """
        text = f"{_base64(json.dumps(header).encode())}.{_base64(json.dumps(claims).encode())}"
        if self.algorithm == "none":
            return f"{text}."
        public = self.key.as_pem(private=False)
        return f"{text}.{_base64(hmac.digest(public, text.encode(), 'sha256'))}"


def _base64(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def _client_of(authorization: str) -> tuple[str, str]:
    """Return the ID and secret in a header, which are form-encoded (RFC 6749, 2.3.1)."""
    name, _, secret = b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
    return unquote_plus(name), unquote_plus(secret)


def _is_verified(asked: dict[str, str], form: dict[str, str]) -> bool:
    """Return True if a token request fits the authorization request of its code.

    The PKCE verifier (RFC 7636, 4.6) and the redirect address (RFC 6749, 4.1.3) have to match.

    Args:
        asked: the parameters of the authorization request.
        form: the fields of the token request.
    """
    digest = sha256(form.get("code_verifier", "").encode()).digest()
    challenge = _base64(digest)
    return (
        asked.get("code_challenge_method") == "S256"
        and asked.get("code_challenge") == challenge
        and asked.get("redirect_uri") == form.get("redirect_uri")
    )


@contextlib.contextmanager
def oidc_provider(certificate: Path, key: Path) -> Iterator[Provider]:
    """Run an OpenID provider with this certificate for ``localhost`` while the block runs."""
    port = free_port()
    provider = Provider(f"https://localhost:{port}")
    with serving(provider.app(), port, certificate, key):
        yield provider


@contextlib.contextmanager
def serving(app: Any, port: int, certificate: Path, key: Path) -> Iterator[None]:
    """Run an ASGI application on granian with TLS, in a thread, while the block runs."""
    from granian.constants import Interfaces
    from granian.server.embed import Server

    server = Server(
        app,
        address=LOOPBACK,
        port=port,
        interface=Interfaces.ASGI,
        ssl_cert=certificate,
        ssl_key=key,
        log_enabled=False,
    )
    loop = asyncio.new_event_loop()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(server.serve())
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    until = time.monotonic() + _DEADLINE
    while not accepts(port):
        assert time.monotonic() < until, "granian does not listen"
        assert thread.is_alive(), "granian ended"
        time.sleep(0.02)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(server.stop)
        thread.join(_DEADLINE)
