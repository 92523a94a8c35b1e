"""Keys in Azure Key Vault, on a server of the tests (``tests/servers/azure_keys.py``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from certpin.errors import TokenError
from certpin.kms import open_service_key
from certpin.x509.signing import verify_signature
from tests.kms.large._publishing import require_followed
from tests.servers.azure_keys import SECRET, TOKEN, AzureKeys, azure_keys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from certpin.lab import Authority


@pytest.fixture
def azure(monkeypatch: pytest.MonkeyPatch, root: Authority, tmp_path: Path) -> Iterator[AzureKeys]:
    with azure_keys(monkeypatch, root, tmp_path) as server:
        yield server


@pytest.mark.parametrize("curve", ["P-256", "P-384"])
def test_a_key_signs(azure: AzureKeys, curve: str) -> None:
    key = open_service_key(azure.make("online", curve))
    assert key.key.key == f"EC {curve}"
    assert verify_signature(key.public_key, key.sign(b"data"), b"data")


def test_the_version_of_the_uri_is_read(azure: AzureKeys) -> None:
    """securesystemslib's own import reads the newest version."""
    first, second = azure.make("online"), azure.make("online")
    assert open_service_key(first).spki != open_service_key(second).spki


@pytest.mark.parametrize("kind", ["P-521", "RSA"])
def test_a_key_that_clients_do_not_verify_is_refused(azure: AzureKeys, kind: str) -> None:
    with pytest.raises(TokenError, match=kind) as caught:
        open_service_key(azure.make("online", kind))
    assert "P-256" in caught.value.fix
    assert not any(request.endswith("/sign") for request in azure.requests)


def test_a_client_follows_a_set_that_a_key_signed(
    azure: AzureKeys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "publisher"
    folder.mkdir()
    require_followed(azure.make("online"), folder, monkeypatch)


def test_a_wrong_signature_is_refused(azure: AzureKeys) -> None:
    azure.broken = True
    with pytest.raises(TokenError, match="signature that is not valid"):
        open_service_key(azure.make("online"))


def test_refusals_have_a_fix_and_no_secret(
    azure: AzureKeys, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    uri = azure.make("online")
    with pytest.raises(TokenError, match="KeyNotFound"):
        open_service_key(f"{uri[:-32]}{'0' * 32}")
    azure.refusal = "Forbidden"
    with pytest.raises(TokenError, match="Forbidden") as refused:
        open_service_key(uri)
    assert "Key Vault Crypto User" in refused.value.fix
    monkeypatch.setenv("IDENTITY_HEADER", "another")
    with pytest.raises(TokenError, match="ClientAuthenticationError") as unknown:
        open_service_key(uri)
    said = f"{refused.value}{unknown.value}{capfd.readouterr()}"
    assert not any(secret in said for secret in (SECRET, TOKEN, "another"))


def test_a_server_can_not_ask_for_the_token_of_another(azure: AzureKeys) -> None:
    azure.resource = "https://vault.azure.net"
    with pytest.raises(TokenError):
        open_service_key(azure.make("online"))
    assert "GET /identity" not in azure.requests
