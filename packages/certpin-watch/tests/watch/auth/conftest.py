"""Fixtures for tests of access control.

Argon2 runs with cheap parameters, which no setting allows, to save time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from argon2.profiles import CHEAPEST

from certpin_watch.auth import credentials
from tests.watch.auth._kit import Clock, Service

if TYPE_CHECKING:
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
