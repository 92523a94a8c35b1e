"""Keys in Vault's transit engine, on a server of the tests (``tests/servers/vault.py``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import hvac
import pytest
import requests

from certpin.errors import TokenError
from certpin.kms import open_service_key
from certpin.kms.failures import translated
from certpin.kms.uri import ServiceURI
from certpin.x509.signing import verify_signature
from tests.servers._run import free_port
from tests.servers.vault import TOKEN, Vault, vault

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def hv(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    with vault(monkeypatch) as server:
        yield server


@pytest.mark.parametrize(
    ("kind", "described"), [("ecdsa-p256", "EC P-256"), ("ed25519", "Ed25519")]
)
def test_a_key_signs(hv: Vault, kind: str, described: str) -> None:
    hv.make("online", kind)
    key = open_service_key("hv:online/1")
    assert key.key.key == described
    assert verify_signature(key.public_key, key.sign(b"data"), b"data")
    assert hv.requests[0] == "GET /v1/transit/keys/online"
    assert {*hv.requests[1:]} == {"POST /v1/transit/sign/online"}


def test_the_version_of_the_uri_is_used(hv: Vault) -> None:
    hv.make("online", versions=2)
    first, second = open_service_key("hv:online/1"), open_service_key("hv:online/2")
    assert first.spki != second.spki
    assert verify_signature(first.public_key, first.sign(b"data"), b"data")
    with pytest.raises(TokenError, match="no version 3") as caught:
        open_service_key("hv:online/3")
    assert "newest version is 2" in caught.value.fix


def test_a_key_that_vault_would_sign_with_another_hash_is_refused(hv: Vault) -> None:
    """securesystemslib leaves the hash to Vault, which takes SHA-256; P-384 needs SHA-384."""
    hv.make("online", "ecdsa-p384")
    with pytest.raises(TokenError, match="ecdsa-p384") as caught:
        open_service_key("hv:online/1")
    assert "ecdsa-p256" in caught.value.fix
    assert len(hv.requests) == 1


def test_a_wrong_signature_is_refused(hv: Vault) -> None:
    hv.make("online")
    hv.broken = True
    with pytest.raises(TokenError, match="signature that is not valid"):
        open_service_key("hv:online/1")


@pytest.mark.parametrize(
    ("token", "name", "code"),
    [("hvs.wrong-token", "online", "Forbidden"), (TOKEN, "missing", "InvalidPath")],
)
def test_a_refusal_names_the_key_and_no_token(
    hv: Vault, monkeypatch: pytest.MonkeyPatch, token: str, name: str, code: str
) -> None:
    hv.make("online")
    monkeypatch.setenv("VAULT_TOKEN", token)
    with pytest.raises(TokenError, match=f"hv:{name}/1: {code}") as caught:
        open_service_key(f"hv:{name}/1")
    assert token not in f"{caught.value}{caught.value.fix}"


def test_an_unreachable_service_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_ADDR", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("VAULT_TOKEN", TOKEN)
    with pytest.raises(TokenError, match="ConnectionError") as caught:
        open_service_key("hv:online/1")
    assert "network" in caught.value.fix


@pytest.mark.parametrize(
    ("raised", "fix"),
    [
        (requests.exceptions.ReadTimeout(), "network"),
        (requests.exceptions.SSLError(), "VAULT_CACERT"),
        (requests.exceptions.ProxyError(), "HTTPS_PROXY"),
        (hvac.exceptions.VaultDown(), "unseal"),
        (hvac.exceptions.RateLimitExceeded(), "wait"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_failure_of_the_connection_is_no_missing_permission(raised: Exception, fix: str) -> None:
    with pytest.raises(TokenError) as caught, translated(ServiceURI.parse("hv:online/1")):
        raise raised
    assert fix in caught.value.fix


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"type": "ecdsa-p256"},
        {"type": "ecdsa-p256", "keys": {"1": {}}},
        {"type": "ecdsa-p256", "keys": {"1": {"public_key": "-----BEGIN"}}},
        {"type": "ed25519", "keys": {"1": {"public_key": "!"}}},
        {"type": "ed25519", "keys": {"1": {"public_key": "AAAA"}}},
        {"type": "ed25519", "keys": 7},
    ],
)
def test_an_invalid_answer_is_refused(
    hv: Vault, monkeypatch: pytest.MonkeyPatch, answer: dict[str, object]
) -> None:
    hv.make("online")
    monkeypatch.setattr(hv, "read", lambda _: answer)
    with pytest.raises(TokenError, match="Vault can't be used"):
        open_service_key("hv:online/1")
