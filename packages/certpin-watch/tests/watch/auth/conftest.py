"""Fixtures for tests of access control.

Argon2 runs with cheap parameters, which no setting allows, to save time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from argon2.profiles import CHEAPEST

from certpin_watch.auth import credentials
from certpin_watch.secret import Secret
from certpin_watch.settings import AuthSettings, OpenIDSettings
from tests.servers.oidc import CLIENT_ID, CLIENT_SECRET, Provider, oidc_provider
from tests.watch.auth._kit import Clock, Service
from tests.watch.auth._openid import KEY, PUBLIC, ROLES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from certpin.lab import Authority
    from certpin_watch.store import Store


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the Argon2 parameters for passwords and tokens by the cheapest ones."""
    monkeypatch.setattr(credentials, "PASSWORD_HASHER", credentials.Hasher(CHEAPEST))
    monkeypatch.setattr(credentials, "TOKEN_HASHER", credentials.Hasher(CHEAPEST))


@pytest.fixture
def service(sqlite_store: Store) -> Service:
    """Return a service on the loopback, with an empty store."""
    return Service(sqlite_store, Clock())


@pytest.fixture(scope="module")
def real_provider(root: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    certificate, key = root.issue("localhost").write(tmp_path_factory.mktemp("oidc"))
    with oidc_provider(certificate, key) as provider:
        yield provider


@pytest.fixture
def provider(real_provider: Provider) -> Provider:
    """Return the OpenID Connect provider, reset to its initial behaviour."""
    real_provider.__init__(real_provider.issuer, KEY)  # type: ignore[misc]  # as it was made
    return real_provider


@pytest.fixture
def openid_service(
    service: Service, provider: Provider, root: Authority, tmp_path: Path
) -> Service:
    """Return a service with a public URL. Its users sign in through the provider."""
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(root.pem)
    oidc = OpenIDSettings(provider.issuer, CLIENT_ID, Secret(CLIENT_SECRET), ROLES, ca_file=bundle)
    return service.with_settings(
        listen=("0.0.0.0", 8460), public_url=PUBLIC, access=AuthSettings(oidc=oidc)
    )
