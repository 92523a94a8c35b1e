"""Cheap parameters of Argon2: the one way to lower them, and only here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from argon2.profiles import CHEAPEST

from certpin_watch.auth import passwords
from tests.watch.auth._kit import Clock, House

if TYPE_CHECKING:
    from certpin_watch.store import Store


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let hashes cost nothing."""
    monkeypatch.setattr(passwords, "PASSWORD_HASHER", passwords.Hasher(CHEAPEST))
    monkeypatch.setattr(passwords, "TOKEN_HASHER", passwords.Hasher(CHEAPEST))


@pytest.fixture
def house(sqlite_store: Store) -> House:
    """A watch on the loopback, with an empty store."""
    return House(sqlite_store, Clock())
