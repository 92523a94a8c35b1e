"""Keys in Google Cloud KMS, on a server of the tests (``tests/servers/google_kms.py``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from certpin.errors import TokenError
from certpin.kms import open_service_key
from certpin.x509.signing import verify_signature
from tests.kms.large._publishing import require_followed
from tests.servers.google_kms import KEY, GoogleKMS, google_kms

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[GoogleKMS]:
    with google_kms(monkeypatch) as server:
        yield server


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [
        ("EC_SIGN_P256_SHA256", "EC P-256"),
        ("EC_SIGN_P384_SHA384", "EC P-384"),
        ("RSA_SIGN_PKCS1_2048_SHA256", "RSA 2048"),
    ],
)
def test_a_key_signs(google: GoogleKMS, algorithm: str, kind: str) -> None:
    key = open_service_key(f"gcpkms:{google.make(algorithm)}")
    assert key.key.key == kind
    assert verify_signature(key.public_key, key.sign(b"data"), b"data")
    assert google.calls == ["GetPublicKey", "AsymmetricSign", "AsymmetricSign"]


@pytest.mark.parametrize(
    "algorithm",
    ["RSA_SIGN_PSS_2048_SHA256", "RSA_SIGN_PKCS1_4096_SHA512", "EC_SIGN_SECP256K1_SHA256"],
)
def test_a_key_with_another_algorithm_is_refused(google: GoogleKMS, algorithm: str) -> None:
    with pytest.raises(TokenError, match="verify only ECDSA on P-256") as caught:
        open_service_key(f"gcpkms:{google.make(algorithm)}")
    assert "EC_SIGN_P256_SHA256" in caught.value.fix
    assert google.calls == ["GetPublicKey"]


def test_a_client_follows_a_set_that_a_key_signed(
    google: GoogleKMS, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    require_followed(f"gcpkms:{google.make()}", tmp_path, monkeypatch)


def test_a_wrong_signature_is_refused(google: GoogleKMS) -> None:
    google.broken = True
    with pytest.raises(TokenError, match="signature that is not valid"):
        open_service_key(f"gcpkms:{google.make()}")


def test_refusals_have_a_fix(google: GoogleKMS) -> None:
    with pytest.raises(TokenError, match="NOT_FOUND") as caught:
        open_service_key(f"gcpkms:{KEY.format('missing')}")
    assert "name of the key" in caught.value.fix
    google.denied = True
    with pytest.raises(TokenError, match="PERMISSION_DENIED") as caught:
        open_service_key(f"gcpkms:{google.make()}")
    assert "cloudkms.signer" in caught.value.fix


def test_missing_credentials_have_a_fix(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(TokenError, match="DefaultCredentialsError") as caught:
        open_service_key(f"gcpkms:{KEY.format('online')}")
    assert "OIDC" in caught.value.fix
