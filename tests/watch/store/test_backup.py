"""Back-up and restore: everything, between both databases, whole or not at all."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert, select

from certpin.errors import ConfigError, StoreError
from certpin.watch.store import back_up, copying, migrate, open_store, restore, schema
from certpin.watch.store.on_sqlite import path_of
from certpin.watch.store.tables import METADATA
from certpin.watch.store.tables.alerts import SILENCES
from certpin.watch.store.tables.leases import LEASES
from tests.watch._sums import assert_sums_are_right
from tests.watch.store._first import make_first
from tests.watch.store._rows import fill, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from certpin.watch.store import Store

TABLES = len(METADATA.tables) - sum(bool(each.info) for each in METADATA.tables.values())


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Store]:
    """An empty store in a file, as ``migrate`` makes it."""
    with closing(open_store(f"sqlite:///{tmp_path / 'watch.db'}")) as store:
        migrate(store)
        yield store


@pytest.fixture
def postgres_store(new_database: Callable[[], str]) -> Iterator[Store]:
    """An empty store in PostgreSQL, as ``migrate`` makes it."""
    with closing(open_store(new_database())) as store:
        migrate(store)
        yield store


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Store]:
    """Where a back-up is put: a file that is not there yet."""
    with closing(open_store(f"sqlite:///{tmp_path / 'new.db'}")) as store:
        yield store


def _url(store: Store) -> str:
    return store.engine.url.render_as_string(hide_password=False)


# ── Whole ─────────────────────────────────────────────────────────────────────────────────────


def test_a_move_to_postgresql_and_back_keeps_every_row(
    sqlite_store: Store, new_database: Callable[[], str], empty: Store, tmp_path: Path
) -> None:
    fill(sqlite_store, 1200)  # more than two batches
    there, back = tmp_path / "there.db", tmp_path / "back.db"
    assert back_up(sqlite_store, there).rows == 1200 * TABLES
    with closing(open_store(new_database())) as moved:
        assert restore(moved, there).rows == 1200 * TABLES
        assert rows_of(moved) == rows_of(sqlite_store)
        assert back_up(moved, back).rows == 1200 * TABLES
    restore(empty, back)
    assert rows_of(empty) == rows_of(sqlite_store)


def test_new_rows_get_new_numbers_after_a_restore(
    store: Store, sqlite_store: Store, tmp_path: Path
) -> None:
    source = tmp_path / "source.db"
    with closing(open_store(f"sqlite:///{source}")) as other:
        migrate(other)
        fill(other)
        back_up(other, tmp_path / "b.db")
    restore(store, tmp_path / "b.db")
    row = dict.fromkeys(("rule", "host", "who", "why"), "x") | {"since": 1, "until": 2}
    with store.write() as connection:
        connection.execute(insert(SILENCES), row)
        numbers = connection.execute(select(SILENCES.c.id)).scalars().all()
    assert sorted(numbers) == [1, 2, 3, 4]


def test_a_back_up_is_for_its_owner_alone_and_has_no_leases(store: Store, tmp_path: Path) -> None:
    fill(store)
    done = back_up(store, tmp_path / "b.db")
    assert done.path.stat().st_mode & 0o777 == 0o600
    assert done.size == done.path.stat().st_size
    with closing(sqlite3.connect(done.path)) as copy:
        assert copy.execute("SELECT count(*) FROM leases").fetchone() == (0,)
        assert copy.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert [each.name for each in tmp_path.glob(".*")] == []


@pytest.mark.slow
def test_a_back_up_is_of_one_moment_while_others_write(store: Store, tmp_path: Path) -> None:
    """Rows come in pairs: a back-up with an odd number of them would be of two moments."""
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            for _ in range(20):
                number += 2
                with store.write() as connection:
                    for each in (number, number + 1):
                        row = {"rule": "r", "host": str(each), "who": "", "why": "x" * 2000}
                        connection.execute(insert(SILENCES), row | {"since": 1, "until": 1})

    writer = threading.Thread(target=write)
    writer.start()
    try:
        rows = [back_up(store, tmp_path / "b.db").rows for _ in range(5)]
    finally:
        stop.set()
        writer.join()
    assert [count % 2 for count in rows] == [0] * 5
    assert rows == sorted(rows)


def test_an_older_back_up_is_migrated_on_the_way(
    new_database: Callable[[], str], tmp_path: Path
) -> None:
    """Of either database, into PostgreSQL."""
    for number, url in enumerate((f"sqlite:///{tmp_path / 'old.db'}", new_database())):
        with closing(open_store(url)) as old:
            tables = make_first(old)
            before = rows_of(old, tables)
            back_up(old, tmp_path / f"{number}.db")
        with closing(open_store(new_database())) as new:
            assert restore(new, tmp_path / f"{number}.db").revision == schema.latest()
            tables.remove(tables.tables["report_days"])  # in the sums that there are now
            del before["report_days"]
            assert rows_of(new, tables) == before
            assert_sums_are_right(new)


# ── Refused ───────────────────────────────────────────────────────────────────────────────────


def test_data_is_replaced_only_by_force(store: Store, tmp_path: Path) -> None:
    fill(store, 2)
    back_up(store, tmp_path / "b.db")
    kept = rows_of(store)
    fill_more = {"rule": "new", "host": "", "who": "", "why": "", "since": 1, "until": 2}
    with store.write() as connection:
        connection.execute(insert(SILENCES), {**fill_more, "id": 77})
    changed = rows_of(store)
    with pytest.raises(ConfigError, match="data already"):
        restore(store, tmp_path / "b.db")
    assert rows_of(store) == changed
    assert restore(store, tmp_path / "b.db", force=True).replaced
    assert rows_of(store) == kept
    with store.read() as connection:
        assert connection.execute(select(LEASES)).all() == []


def test_a_restore_that_fails_changes_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store)
    before = rows_of(store)
    back_up(store, tmp_path / "b.db")

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("certpin.watch.store.restoring._number_on", fail)
    with pytest.raises(ZeroDivisionError):
        restore(store, tmp_path / "b.db", force=True)
    assert rows_of(store) == before


def _damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096 * 3 : 4096 * 4] = b"\x55" * 4096
    path.write_bytes(data)


def _run(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_text("no database" * 500),
        lambda path: path.write_bytes(b""),
        lambda path: path.unlink(),
        _damage,
        lambda path: _run(path, "UPDATE silences SET since = 'yesterday'"),
        lambda path: _run(path, "UPDATE certificates SET der = 'text'"),
        lambda path: _run(path, "UPDATE certpin_schema SET version_num = '9999'"),
        lambda path: _run(path, "DROP TABLE certpin_schema"),
        lambda path: _run(path, "DROP TABLE silences"),
        lambda path: _run(path, "ALTER TABLE silences ADD COLUMN colour TEXT"),
    ],
    ids=["text", "empty", "gone", "page", "number", "bytes", "newer", "bare", "less", "more"],
)
def test_a_file_that_is_no_back_up_is_refused(
    sqlite_store: Store, empty: Store, tmp_path: Path, spoil: Callable[[Path], Any]
) -> None:
    fill(sqlite_store)
    back_up(sqlite_store, tmp_path / "b.db")
    spoil(tmp_path / "b.db")
    with pytest.raises((ConfigError, StoreError)) as refused:
        restore(empty, tmp_path / "b.db")
    assert refused.value.fix
    assert not path_of(empty.engine).exists()


def test_a_text_that_postgresql_cannot_have_is_replaced(
    sqlite_store: Store, postgres_store: Store, tmp_path: Path
) -> None:
    row = {"rule": "a\0b", "host": "", "who": "", "why": "", "since": 1, "until": 2}
    with sqlite_store.write() as connection:
        connection.execute(insert(SILENCES), row)
    back_up(sqlite_store, tmp_path / "b.db")
    restore(postgres_store, tmp_path / "b.db")
    with postgres_store.read() as connection:
        assert connection.execute(select(SILENCES.c.rule)).scalar() == "a\ufffdb"


def test_the_database_itself_and_one_in_use_are_no_target(
    sqlite_store: Store, empty: Store, tmp_path: Path
) -> None:
    migrate(empty)
    with pytest.raises(ConfigError, match="in use"):
        back_up(sqlite_store, path_of(empty.engine))
    sqlite_store.close()
    with pytest.raises(ConfigError, match="itself"):
        back_up(sqlite_store, tmp_path / "watch.db")


def test_a_back_up_that_somebody_else_writes_is_left_alone(
    sqlite_store: Store, tmp_path: Path
) -> None:
    target = tmp_path / "b.db"
    with copying.written_whole(target) as part:
        part.write_bytes(b"theirs")
        with pytest.raises(StoreError) as refused:
            back_up(sqlite_store, target)
    assert refused.value.reason == "busy"
    assert target.read_bytes() == b"theirs"


def test_what_a_database_is_not_cannot_be_backed_up(tmp_path: Path, empty: Store) -> None:
    with pytest.raises(ConfigError, match="no database"):
        back_up(empty, tmp_path / "b.db")
    path_of(empty.engine).touch()
    with pytest.raises(StoreError, match="no tables yet"):
        back_up(empty, tmp_path / "b.db")
    assert not (tmp_path / "b.db").exists()


def test_a_target_that_cannot_be_written_is_told(sqlite_store: Store, tmp_path: Path) -> None:
    for target in (tmp_path / "no" / "b.db", tmp_path):
        with pytest.raises(ConfigError, match="cannot be written"):
            back_up(sqlite_store, target)
