"""The copy of an SQLite file before a migration: a complete snapshot, or no file."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert

from certpin.errors import ConfigError, StoreError
from certpin_watch.store import schema
from certpin_watch.store.connections import path_of
from certpin_watch.store.schema import copy_sqlite
from certpin_watch.store.tables.service import SILENCES
from tests.watch.store._rows import fill

if TYPE_CHECKING:
    from pathlib import Path

    from certpin_watch.store import Store


@pytest.fixture
def source(sqlite_store: Store) -> Path:
    """Return the file of a database in use, with rows."""
    fill(sqlite_store)
    return path_of(sqlite_store.engine)


def test_a_copy_is_one_file_readable_by_its_owner_only(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    copy_sqlite(source, target)
    assert target.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(target)) as copy:
        assert copy.execute("SELECT count(*) FROM silences").fetchone() == (3,)
        assert copy.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert list(tmp_path.glob("*copy.db?*")) == []


@pytest.mark.slow
def test_a_copy_is_a_snapshot_while_others_write(sqlite_store: Store, tmp_path: Path) -> None:
    """Rows are inserted in pairs: a copy with an odd number would not be a snapshot."""
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            for _ in range(20):
                number += 2
                with sqlite_store.write() as connection:
                    for host in (number, number + 1):
                        row = {"rule": "r", "host": str(host), "who": "", "why": "x" * 2000}
                        connection.execute(insert(SILENCES), row | {"since": 1, "until": 1})

    writer = threading.Thread(target=write)
    writer.start()
    rows = []
    try:
        for number in range(5):
            target = tmp_path / f"{number}.db"
            copy_sqlite(path_of(sqlite_store.engine), target)
            with closing(sqlite3.connect(target)) as copy:
                rows += copy.execute("SELECT count(*) FROM silences").fetchone()
    finally:
        stop.set()
        writer.join()
    assert [count % 2 for count in rows] == [0] * 5
    assert rows == sorted(rows)


def test_a_damaged_file_is_not_copied(source: Path, sqlite_store: Store, tmp_path: Path) -> None:
    sqlite_store.close()
    data = bytearray(source.read_bytes())
    data[4096 * 3 : 4096 * 4] = b"\x55" * 4096
    source.write_bytes(data)
    with pytest.raises(StoreError) as refused:
        copy_sqlite(source, tmp_path / "copy.db")
    assert refused.value.reason == "damaged"
    assert not (tmp_path / "copy.db").exists()


def test_a_copy_never_replaces_a_database_in_use(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="in use"):
        copy_sqlite(source, source)
    for target in (tmp_path / "no" / "copy.db", tmp_path):
        with pytest.raises(ConfigError, match="cannot be written"):
            copy_sqlite(source, target)


def test_a_copy_that_another_process_writes_is_not_touched(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    with schema.replaced_file(target) as part:
        part.write_bytes(b"theirs")
        with pytest.raises(StoreError) as refused:
            copy_sqlite(source, target)
    assert refused.value.reason == "busy"
    assert target.read_bytes() == b"theirs"
