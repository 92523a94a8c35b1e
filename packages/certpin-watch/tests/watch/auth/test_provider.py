"""Check the service's requests to an OpenID Connect provider, and the tokens of the provider.

Every wrong token or document is refused.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from certpin.errors import InputError
from certpin_watch.auth import openid as module
from certpin_watch.auth.id_token import ExpectedClaims, verified_claims
from certpin_watch.auth.openid import OpenIDProvider
from certpin_watch.secret import Secret
from certpin_watch.settings import AuthSettings, OpenIDSettings
from tests.servers.oidc import CLIENT_ID, CLIENT_SECRET
from tests.watch.auth._openid import KEY, PUBLIC, ROLES, log_in, refusal_of, set_claims

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lab import Authority
    from tests.servers.oidc import Provider
    from tests.watch.auth._kit import Service

pytestmark = pytest.mark.slow  # each test uses the provider


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"nonce": "another"}, "does not belong to this browser"),
        ({"nonce": None}, "does not belong to this browser"),
        ({"aud": "another"}, "not for here"),
        ({"aud": None}, "not for here"),
        ({"aud": [CLIENT_ID, "another"]}, "several clients"),
        ({"azp": "another"}, "another client"),
        ({"iss": "https://evil.example"}, "not for here"),
        ({"iss": None}, "not for here"),
        ({"sub": None}, "not for here"),
        ({"exp": -3600}, "not for now"),
        ({"exp": None}, "not for here"),
        ({"iat": 3600}, "not for now"),
        ({"iat": -3600}, "is old"),
    ],
    ids=str,
)
def test_id_token_with_a_wrong_claim_is_refused(
    openid_service: Service, provider: Provider, root: Authority, claims: dict[str, Any], why: str
) -> None:
    provider.change = set_claims(**claims)
    assert why in refusal_of(openid_service, provider, root)


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_unsigned_and_symmetric_id_tokens_are_refused(
    openid_service: Service, provider: Provider, root: Authority, algorithm: str
) -> None:
    provider.algorithm = algorithm
    assert "algorithm that is not accepted" in refusal_of(openid_service, provider, root)


def test_id_token_of_an_unpublished_key_is_refused(
    openid_service: Service, provider: Provider, root: Authority
) -> None:
    provider.key = RSAKey.generate_key(2048, auto_kid=True)
    assert "not signed by a key of the provider" in refusal_of(openid_service, provider, root)
    theirs = provider.published[0]
    forged: Any = provider.key.as_dict(private=True) | {"kid": theirs.kid}
    provider.key = RSAKey.import_key(forged)
    assert "not signed by a key of the provider" in refusal_of(openid_service, provider, root)


def test_new_key_of_the_provider_is_fetched(
    openid_service: Service, provider: Provider, root: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert log_in(openid_service, provider, root)[1].status_code == 303
    provider.key, provider.algorithm = ECKey.generate_key("P-256", auto_kid=True), "ES256"
    provider.published.append(provider.key)
    assert (
        log_in(openid_service, provider, root)[1].status_code == 403
    )  # the key set was fetched a moment ago
    monkeypatch.setattr(module, "_KEYS_FRESH", -1.0)
    assert log_in(openid_service, provider, root)[1].status_code == 303
    assert provider.asked.count("keys") == 2
    assert provider.asked.count("discovery") == 1


@pytest.mark.parametrize("has_key_ids", [True, False])
def test_replaced_key_of_the_provider_is_fetched(
    openid_service: Service,
    provider: Provider,
    root: Authority,
    monkeypatch: pytest.MonkeyPatch,
    has_key_ids: bool,
) -> None:
    """The new key has the ID of the old one, or none has an ID (OpenID Connect Core 1.0, 10.1)."""
    provider.has_key_ids = has_key_ids
    assert log_in(openid_service, provider, root)[1].status_code == 303
    other: Any = RSAKey.generate_key(2048).as_dict(private=True) | {"kid": provider.key.kid}
    provider.key = RSAKey.import_key(other)
    provider.published = [provider.key]
    assert "not signed by a key of the provider" in refusal_of(openid_service, provider, root)
    assert provider.asked.count("keys") == 1  # the key set was fetched a moment ago
    monkeypatch.setattr(module, "_KEYS_FRESH", -1.0)
    assert log_in(openid_service, provider, root)[1].status_code == 303
    assert provider.asked.count("keys") == 2


def test_credentials_of_the_client_are_form_encoded(
    openid_service: Service, provider: Provider, root: Authority
) -> None:
    oidc = openid_service.settings.access.oidc
    assert oidc is not None
    provider.client_id = "https://watch.bank.example"
    wrong = replace(oidc, client_id=provider.client_id, client_secret=Secret("another"))
    right = replace(wrong, client_secret=oidc.client_secret)
    settings = {"listen": ("0.0.0.0", 8460), "public_url": PUBLIC}
    made = openid_service.with_settings(**settings, access=AuthSettings(oidc=wrong))
    assert refusal_of(made, provider, root) == "the code could not be redeemed (invalid_client)"
    made = openid_service.with_settings(**settings, access=AuthSettings(oidc=right))
    assert log_in(made, provider, root)[1].status_code == 303


@pytest.mark.parametrize(
    ("methods", "takes_post"),
    [
        (["client_secret_post"], True),
        (["private_key_jwt", "client_secret_post"], True),
        (["client_secret_post", "client_secret_basic"], False),
        (None, False),
        ([], False),
        ("client_secret_basic", False),
    ],
    ids=str,
)
def test_client_secret_is_sent_as_the_provider_accepts_it(
    openid_service: Service,
    provider: Provider,
    root: Authority,
    methods: object,
    takes_post: bool,
) -> None:
    provider.metadata = {"token_endpoint_auth_methods_supported": methods}
    provider.takes_post = takes_post
    assert log_in(openid_service, provider, root)[1].status_code == 303
    [form] = provider.redeemed
    assert ("client_secret" in form) == takes_post == (not form["authorization"])


def test_concurrent_logins_share_a_fetch_and_its_failure(
    openid_service: Service, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    oidc = openid_service.settings.access.oidc
    assert oidc is not None
    client = OpenIDProvider(oidc)

    async def ask() -> list[Any]:
        return await asyncio.gather(*(client.metadata() for _ in range(9)), return_exceptions=True)

    async def story() -> None:
        provider.metadata = {"issuer": None}
        assert {type(error) for error in [*await ask(), *await ask()]} == {InputError}
        assert provider.asked == ["discovery"]
        provider.metadata = {}
        monkeypatch.setattr(module, "_FAILURE_FRESH", -1.0)
        assert {found.names_issuer for found in await ask()} == {True}
        assert provider.asked == ["discovery"] * 2

    asyncio.run(story())


def test_provider_that_sends_without_end_is_given_up(
    openid_service: Service, root: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TIMEOUT", 0.5)
    oidc = openid_service.settings.access.oidc
    assert oidc is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*root.issue("localhost").write(tmp_path))

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        with suppress(OSError):
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.01)

    async def story() -> None:
        async with await asyncio.start_server(send, "127.0.0.1", 0, ssl=context) as server:
            port = server.sockets[0].getsockname()[1]
            client = OpenIDProvider(replace(oidc, issuer=f"https://localhost:{port}"))
            with pytest.raises(InputError, match="TimeoutError"):
                await client.metadata()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"iss": "https://evil.example"}, "(invalid_claim: iss)"),
        ({"aud": "another"}, "(invalid_claim: aud)"),
        ({"sub": None}, "(missing_claim: sub)"),
        ({"iat": 120}, "iat, 120 s ahead)"),
        ({"nbf": 120}, "nbf, 120 s ahead)"),
        ({"exp": -120}, "exp, 120 s ago)"),
        ({"iat": -3600}, "the ID token is old (iat, 3600 s ago)"),
        ({"exp": "soon"}, "(invalid_claim: exp)"),
        ({"iat": 10**400}, "iat)"),
        ({"iat": math.inf}, "iat)"),
        ({"iat": math.nan}, "iat)"),
    ],
    ids=str,
)
def test_the_log_names_the_wrong_claim(claims: dict[str, Any], why: str) -> None:
    now = datetime(2027, 3, 1, tzinfo=UTC)
    at = int(now.timestamp())
    good = {"iss": "https://id", "aud": CLIENT_ID, "sub": "1", "iat": 0, "exp": 300, "nonce": "n"}
    found = {
        name: at + value if isinstance(value, int | float) else value
        for name, value in (good | claims).items()
        if value is not None
    }
    token = jwt.encode({"alg": "RS256"}, found, KEY)
    settings = OpenIDSettings("https://id", CLIENT_ID, Secret(CLIENT_SECRET), ROLES)
    keys: Any = KeySet([KEY]).as_dict(private=False)
    with pytest.raises(InputError) as caught:
        verified_claims(token, keys, ExpectedClaims(settings, "n", now))
    assert caught.value.problem.endswith(why)


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example"},
        {"issuer": None},
        {"token_endpoint": "http://id.bank.example/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"padding": "x" * 300_000},
        {"token_endpoint_auth_methods_supported": ["private_key_jwt", "none"]},
    ],
    ids=lambda metadata: str(metadata)[:60],
)
def test_provider_with_wrong_metadata_is_not_used(
    openid_service: Service, provider: Provider, metadata: dict[str, Any]
) -> None:
    provider.metadata = metadata
    assert openid_service.browser(PUBLIC, "192.0.2.9").get("/login/openid").status_code == 403
    assert not provider.redeemed


def test_provider_with_an_untrusted_certificate_is_not_used(
    openid_service: Service, provider: Provider, tmp_path: Path
) -> None:
    from certpin.lab import Authority as Another

    (tmp_path / "ca.pem").write_bytes(Another("Somebody else").pem)
    assert openid_service.browser(PUBLIC, "192.0.2.9").get("/login/openid").status_code == 403
    assert "ConnectError" in openid_service.audit_log()[-1][3]
    assert not provider.asked
