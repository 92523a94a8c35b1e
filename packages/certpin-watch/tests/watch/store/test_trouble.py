"""Whether the store takes what is written, and keeps it: nobody sees that by reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from certpin.errors import StoreError
from certpin_watch.store.failures import StoreHealth, store_error
from certpin_watch.store.postgresql import risky_settings

if TYPE_CHECKING:
    from certpin_watch.store import Store


def _fail(trouble: StoreHealth, reason: str) -> None:
    with pytest.raises(StoreError), trouble.record_write():
        raise store_error(reason)


def test_a_write_that_fails_is_a_trouble_until_one_goes_through_and_a_while_longer() -> None:
    now = [0.0]
    trouble = StoreHealth(lambda: now[0])
    said = [trouble.reason]
    _fail(trouble, "full")
    now[0] = 3600
    said.append(trouble.reason)  # nothing was written since
    _fail(trouble, "full")
    with trouble.record_write():
        pass  # a small one, which may go through where a large one does not
    said.append(trouble.reason)
    now[0] += 11
    said.append(trouble.reason)
    assert said == ["", "full", "full", ""]


def test_what_reading_tells_too_is_none_of_its_business() -> None:
    trouble = StoreHealth()
    for reason in ("away", "busy", "schema"):
        _fail(trouble, reason)
    assert not trouble.reason


def test_after_damage_nothing_is_written(sqlite_store: Store) -> None:
    with pytest.raises(StoreError), sqlite_store.read():
        raise store_error("damaged")
    with pytest.raises(StoreError) as caught, sqlite_store.write():
        pytest.fail("the block of the transaction was entered")
    assert caught.value.reason == "damaged"
    assert "restore a back-up" in caught.value.fix


def test_settings_of_postgresql_that_may_lose_reports_are_told(postgres_store: Store) -> None:
    """The one of the tests runs without ``fsync``."""
    with postgres_store.read() as connection:
        (found,) = risky_settings(connection)
    assert found.startswith("PostgreSQL runs with fsync = off")


def test_those_of_sqlite_are_the_watchs_own(sqlite_store: Store) -> None:
    with sqlite_store.read() as connection:
        assert risky_settings(connection) == ()
