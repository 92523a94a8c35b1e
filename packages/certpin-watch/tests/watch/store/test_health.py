"""Check how the store reports failed writes, and database settings that may lose stored data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from certpin.errors import StoreError
from certpin_watch.store.connections import risky_settings
from certpin_watch.store.engine import StoreHealth, store_error

if TYPE_CHECKING:
    from certpin_watch.store import Store


def _fail(health: StoreHealth, reason: str) -> None:
    with pytest.raises(StoreError), health.record_write():
        raise store_error(reason)


def test_a_failed_write_counts_until_a_later_write_and_ten_seconds() -> None:
    now = [0.0]
    health = StoreHealth(lambda: now[0])
    reasons = [health.reason]
    _fail(health, "full")
    now[0] = 3600
    reasons.append(health.reason)  # nothing was written since then
    _fail(health, "full")
    with health.record_write():
        pass  # a small write, which may succeed when a large one fails
    reasons.append(health.reason)
    now[0] += 11
    reasons.append(health.reason)
    assert reasons == ["", "full", "full", ""]


def test_failures_that_reads_show_are_not_recorded() -> None:
    health = StoreHealth()
    for reason in ("away", "busy", "schema"):
        _fail(health, reason)
    assert not health.reason


def test_after_damage_nothing_is_written(sqlite_store: Store) -> None:
    with pytest.raises(StoreError), sqlite_store.read():
        raise store_error("damaged")
    with pytest.raises(StoreError) as caught, sqlite_store.write():
        pytest.fail("the block of the transaction was entered")
    assert caught.value.reason == "damaged"
    assert "restore a back-up" in caught.value.fix


def test_risky_settings_of_postgresql_are_reported(postgres_store: Store) -> None:
    """The server of the tests runs without ``fsync``."""
    with postgres_store.read() as connection:
        (found,) = risky_settings(connection)
    assert found.startswith("PostgreSQL runs with fsync = off")


def test_sqlite_has_no_risky_settings(sqlite_store: Store) -> None:
    with sqlite_store.read() as connection:
        assert risky_settings(connection) == ()
