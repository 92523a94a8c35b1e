"""The engine on real databases."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert, select, func

from certpin.watch.store.on_sqlite import path_of
from certpin.watch.store.tables.leases import LEASES

if TYPE_CHECKING:
    from certpin.watch.store import Store

LEASE = {"name": "a", "holder": "b", "until": 1}


def test_what_is_written_is_read(store: Store) -> None:
    with store.write() as connection:
        connection.execute(insert(LEASES), LEASE)
    with store.read() as connection:
        assert connection.execute(select(func.count()).select_from(LEASES)).scalar_one() == 1


def test_a_block_that_raises_wrote_nothing(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.write() as connection:
        connection.execute(insert(LEASES), LEASE)
        raise ZeroDivisionError
    with store.read() as connection:
        assert connection.execute(select(LEASES)).all() == []
