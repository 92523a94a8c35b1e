"""Transactions, connections, addresses and errors, on real databases."""

from __future__ import annotations

import sqlite3
import stat
import threading
import traceback
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy import create_engine, func, insert, select, text
from sqlalchemy.exc import DataError, IntegrityError, OperationalError

from certpin.errors import ConfigError, StoreError
from certpin_watch.store import engine, open_store
from certpin_watch.store.connections import connect, path_of
from certpin_watch.store.tables import METADATA
from certpin_watch.store.tables.service import AUDIT, LEASES
from tests.servers._run import free_port
from tests.servers.postgres import postgres

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from certpin_watch.store import Store

SECRET = "hunter2"
LEASE = {"name": "sweep", "holder": SECRET, "until": 1, "term": 1}
COUNT = select(func.count()).select_from(LEASES)


def _count(store: Store) -> int:
    with store.read() as connection:
        return connection.execute(COUNT).scalar_one()


def _add(store: Store, **changed: Any) -> None:
    with store.write() as connection:
        connection.execute(insert(LEASES), {**LEASE, **changed})


def _refused(store: Store, statement: str = "SELECT 1") -> StoreError:
    with pytest.raises(StoreError) as refused, store.read() as connection:
        connection.execute(text(statement))
    assert refused.value.fix
    return refused.value


def test_a_block_that_raises_writes_nothing(store: Store) -> None:
    def half() -> None:
        with store.write() as connection:
            connection.execute(insert(LEASES), LEASE)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert _count(store) == 0


def test_a_read_sees_one_snapshot(store: Store) -> None:
    with store.read() as connection:
        assert connection.execute(COUNT).scalar_one() == 0
        _add(store)
        assert connection.execute(COUNT).scalar_one() == 0
    assert _count(store) == 1


def test_a_read_changes_nothing(store: Store) -> None:
    with pytest.raises(StoreError, match="cannot be written to"), store.read() as connection:
        connection.execute(insert(LEASES), LEASE)
    _add(store)  # maybe on the same connection of the pool
    assert _count(store) == 1


def test_threads_write_one_after_the_other(store: Store) -> None:
    def work(number: int) -> None:
        for turn in range(5):
            _add(store, name=f"{number}-{turn}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _count(store) == 30


def test_a_writer_that_waits_too_long_gets_busy(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BUSY", 0.01)
    with sqlite_store.write(), pytest.raises(StoreError) as refused:
        _add(sqlite_store)
    assert refused.value.reason == "busy"


def test_sqlite_is_durable_and_overwrites_deleted_data(sqlite_store: Store) -> None:
    wanted = {
        "journal_mode": "wal", "synchronous": 2, "fullfsync": 1, "auto_vacuum": 2,
        "secure_delete": 1, "foreign_keys": 1, "trusted_schema": 0,
    }  # fmt: skip
    with sqlite_store.read() as connection:
        found = {name: connection.execute(text(f"PRAGMA {name}")).scalar() for name in wanted}
    assert found == wanted


def test_postgresql_is_durable_and_has_timeouts(
    postgres_store: Store,
) -> None:
    wanted = {"synchronous_commit": "on", "statement_timeout": "30s", "lock_timeout": "20s"}
    with postgres_store.read() as connection:
        found = {name: connection.execute(text(f"SHOW {name}")).scalar() for name in wanted}
    assert found == wanted


def test_a_new_connection_does_not_wait_for_the_writer(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sqlite_store.write():
        monkeypatch.setattr("certpin_watch.store.connections.BUSY", 0.0)
        with closing(connect(path_of(sqlite_store.engine))) as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    with closing(connect(path_of(sqlite_store.engine))) as connection:
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)


def test_a_new_file_is_readable_by_its_owner_only(sqlite_store: Store) -> None:
    path = path_of(sqlite_store.engine)
    _add(sqlite_store)
    files = [path, *path.parent.glob("watch.db-*")]
    assert len(files) == 3
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


@pytest.mark.parametrize(
    ("mode", "name", "warning"),
    [
        (0o640, "watch.db", ""),
        (0o644, "watch.db", "with access to its folder can read the database"),
        (0o666, "watch.db", "with access to its folder can read and change the database"),
        (0o644, "watch.db-wal", "with access to its folder can read the database"),
    ],
)
def test_a_file_that_every_user_can_read_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, name: str, warning: str
) -> None:
    """A restore with ``cp`` gives such a mode, and SQLite gives it to the files beside it."""
    path = tmp_path / name
    path.touch()
    path.chmod(mode)
    for _ in range(2):
        open_store("sqlite:///watch.db", folder=tmp_path).close()
    assert caplog.text.count(f"{path}: every user {warning}") == bool(warning)
    assert (f"chmod 600 {path}" in caplog.text) == bool(warning)


def test_a_relative_path_is_relative_to_the_folder_of_the_settings(tmp_path: Path) -> None:
    with closing(open_store("sqlite:///watch.db", folder=tmp_path)) as store:
        METADATA.create_all(store.engine)
    assert (tmp_path / "watch.db").exists()


@pytest.mark.parametrize("change", ["delete", "replace", "move"])
def test_a_file_that_is_gone_is_neither_read_nor_written(
    sqlite_store: Store, caplog: pytest.LogCaptureFixture, change: str
) -> None:
    _add(sqlite_store)
    path = path_of(sqlite_store.engine)
    other = path.with_name("other.db")
    other.touch()
    moved = path.rename(path.with_name("moved.db"))
    if change == "replace":
        other.rename(path)
    for _ in range(2):
        assert _refused(sqlite_store).reason == "replaced"
        with pytest.raises(StoreError):
            _add(sqlite_store, name="lost")
    assert path.exists() == (change == "replace")
    (line,) = [record.getMessage() for record in caplog.records]
    assert "deleted or replaced" in line
    assert "fix: restart the service" in line
    if change == "move":
        moved.rename(path)
        assert _count(sqlite_store) == 1


def test_a_missing_folder_is_reported_as_unwritable(tmp_path: Path) -> None:
    path = tmp_path / "shut" / "watch.db"
    path.parent.mkdir()
    with closing(open_store(f"sqlite:///{path}")) as store:
        path.parent.rmdir()  # root may write to every folder, so it is removed instead
        assert _refused(store).reason == "unwritable"


def test_a_file_that_is_not_a_database_is_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database" * 100)
    with closing(open_store(f"sqlite:///{path}")) as store:
        assert _refused(store).reason == "damaged"
    assert path.read_text() == "not a database" * 100


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://", "sqlite:///:memory:", "sqlite:////no/such/folder/watch.db", "sqlite:////tmp",
        "sqlite:///watch.db?mode=ro", "mysql://hunter2@host/watch", "watch.db", "",
        "postgresql://watch:hun@ter2@127.0.0.1/watch", "postgresql://watch:x@127.0.0.1:hunter2/w",
        "postgresql://watch:hunter2@db.bank.example/watch",
        "postgresql://watch:hunter2@127.0.0.1,db.bank.example/watch",
        "postgresql://watch:hunter2@db.localhost/watch",
    ],
)  # fmt: skip
def test_an_invalid_address_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        open_store(url)
    assert refused.value.key == "store"
    shown = "".join(traceback.format_exception(refused.value))
    assert "hunter2" not in shown
    assert "ter2" not in shown


@pytest.mark.parametrize("host", ["localhost", "[::1]:5432", "", "127.0.0.1"])
def test_a_database_on_this_machine_needs_no_tls(host: str) -> None:
    open_store(f"postgresql://watch@{host}/watch").close()


def test_an_address_with_sslmode_is_accepted() -> None:
    open_store("postgresql://watch@db.bank.example/watch?sslmode=verify-full").close()


def test_an_unreachable_server_is_away_and_no_password_is_shown() -> None:
    url = f"postgresql://watch:{SECRET}@127.0.0.1:{free_port()}/watch"
    with closing(open_store(url)) as store:
        refused = _refused(store)
    assert refused.reason == "away"
    assert SECRET not in "".join(traceback.format_exception(refused))


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ('FATAL:  password authentication failed for user "zoe"', "wrong user or password"),
        ("fe_sendauth: no password supplied", "the address has no password"),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "zoe"', "pg_hba.conf is for"),
        ('FATAL:  role "zoe" does not exist', "it has no such user"),
        ('FATAL:  role "zoe" is not permitted to log in', "the database cannot be reached"),
        ('FATAL:  database "bank" does not exist', "the server has no such database"),
        ("server does not support SSL, but SSL was required", "the server has no TLS"),
        ("SSL error: certificate verify failed", "sslrootcert does not verify"),
        ('server certificate for "db" does not match host name "zoe"', "for another name"),
        ("Connection refused", "nothing listens at its host and port"),
        ("failed to resolve host 'zoe': [Errno -2]", "name resolution failed"),
        ("connection timeout expired", "does not answer in time"),
        ("FATAL:  the database system is starting up", "is starting"),
        ("FATAL:  andere Sprache (zoe)", "cannot be reached, or refuses the login"),
    ],
)
def test_a_failed_connection_has_its_cause_and_no_name(message: str, problem: str) -> None:
    orig = psycopg.OperationalError(f"connection failed: {message}")
    with pytest.raises(StoreError) as refused, engine.translated_errors():
        raise OperationalError("", None, orig)
    assert refused.value.reason == "away"
    assert problem in refused.value.problem
    assert refused.value.fix
    assert "zoe" not in str(refused.value)


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("foo=1", "the option foo of the address: PostgreSQL has no such option"),
        ("pooler=session", "the option pooler of the address: not transaction"),
        ("sslmode=verify-ful", "the option sslmode of the address: not one of disable, allow"),
        ("sslmode=verify-full&sslrootcert=/nope", "sslrootcert of the address: there is no file"),
    ],
)
def test_a_mistake_in_the_options_of_an_address_names_the_option(query: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as refused:
        open_store(f"postgresql://watch:{SECRET}@127.0.0.1/watch?{query}")
    assert SECRET not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize("option", ["channel_binding=x", "connect_timeout=x", "keepalives_idle=x"])
def test_an_invalid_value_of_an_option_is_not_temporary(postgres_port: int, option: str) -> None:
    url = f"postgresql://postgres@127.0.0.1:{postgres_port}/postgres?{option}"
    with closing(open_store(url)) as store:
        refused = _refused(store)
    assert refused.reason == "address"
    assert option.partition("=")[0] in refused.problem


@pytest.mark.parametrize("kind", ["ROLE", "DATABASE"])
def test_a_connection_over_a_limit_is_busy(new_database: Callable[[], str], kind: str) -> None:
    url = new_database()
    name = "zoe" if kind == "ROLE" else url.rpartition("/")[2]
    with closing(open_store(url)) as store, store.write() as connection:
        connection.execute(text("DROP ROLE IF EXISTS zoe"))
        connection.execute(text("CREATE ROLE zoe LOGIN"))
        connection.execute(text(f"ALTER {kind} {name} CONNECTION LIMIT 0"))
    with closing(open_store(url.replace("postgres@", "zoe@"))) as store:
        refused = _refused(store)
    assert refused.reason == "busy"
    assert refused.problem == "the database permits no more connections"
    assert "max_connections" in str(refused.fix)


@pytest.mark.parametrize(
    "message",
    [
        "FATAL:  sorry, too many clients already",
        "FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute",
        "FATAL:  no more connections allowed (max_client_conn)",
    ],
)
def test_a_server_without_a_free_connection_is_busy(message: str) -> None:
    with pytest.raises(StoreError) as refused, engine.translated_errors():
        raise OperationalError("", None, psycopg.OperationalError(message))
    assert refused.value.reason == "busy"
    assert "no more connections" in refused.value.problem


_PREPARED = text("SELECT count(*) FROM pg_prepared_statements")


def _repeat(store: Store) -> int:
    """Execute a statement so often that psycopg prepares it. Return the number of prepared ones."""
    with store.read() as connection:
        return max(int(connection.execute(_PREPARED).scalar_one()) for _ in range(10))


def test_behind_a_pooler_in_transaction_mode_no_statement_is_prepared(
    new_database: Callable[[], str],
) -> None:
    url = new_database()
    with closing(open_store(url)) as store:
        assert _repeat(store) > 0
    with closing(open_store(f"{url}?pooler=transaction&connect_timeout=5")) as store:
        assert _repeat(store) == 0


# As SQL in a block, because psycopg notices the statement itself.
_OTHER_SESSIONS = {
    "without our statements": "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$",
    "with other statements": "DO $$ BEGIN FOR i IN 0..50 LOOP "
    "EXECUTE format('PREPARE _pg3_%s AS SELECT 1', i); END LOOP; END $$",
}


@pytest.mark.parametrize("session", _OTHER_SESSIONS)
def test_a_pooler_in_transaction_mode_is_recognised(postgres_store: Store, session: str) -> None:
    """It gives a transaction another session, with other prepared statements."""

    def use() -> None:
        with postgres_store.read() as connection:
            if session == "without our statements":
                for _ in range(10):
                    connection.execute(_PREPARED)
            connection.exec_driver_sql(_OTHER_SESSIONS[session])
            for _ in range(10):
                connection.execute(_PREPARED)

    with pytest.raises(StoreError) as refused:
        use()
    assert refused.value.reason == "pooler"
    assert "pooler=transaction" in str(refused.value.fix)


def test_a_missing_database_is_away(new_database: Callable[[], str]) -> None:
    with closing(open_store(new_database() + "x")) as store:
        assert (
            _refused(store).reason == "away"
        )  # libpq has no more specific code when connecting fails


@pytest.mark.slow
def test_a_server_that_stops_in_a_transaction_and_returns() -> None:
    with postgres() as port:
        store = open_store(f"postgresql://postgres@127.0.0.1:{port}/postgres")
        assert _refused(store, "SELECT pg_terminate_backend(pg_backend_pid())").reason == "away"
        with store.read() as connection:
            assert connection.execute(text("SELECT 1")).scalar() == 1
    assert _refused(store).reason == "away"
    store.close()


def test_a_slow_statement_is_busy(postgres_store: Store) -> None:
    slow = "SELECT set_config('statement_timeout', '50', true); SELECT pg_sleep(60)"
    assert _refused(postgres_store, slow).reason == "busy"


def test_missing_tables_name_the_migrate_command(store: Store) -> None:
    refused = _refused(store, "SELECT * FROM no_such_table")
    assert refused.reason == "schema"
    assert refused.fix == "certpin watch migrate"


def test_errors_contain_no_values(store: Store) -> None:
    _add(store)
    with pytest.raises(IntegrityError) as twice:
        _add(store)
    with pytest.raises(IntegrityError) as missing:
        _add(store, name=None)
    for raised in (twice, missing):
        assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_only_the_first_line_of_an_error_is_kept() -> None:
    orig = sqlite3.IntegrityError(f"null in column x\nDETAIL: Failing row ({SECRET})")
    with pytest.raises(IntegrityError) as refused, engine.translated_errors():
        raise IntegrityError("INSERT", None, orig)
    assert "null in column x" in str(refused.value)
    assert SECRET not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize("typed", ["an\0na", "\ud800anna", "anna\udfff\0"])
def test_characters_that_postgresql_cannot_store_are_replaced(
    postgres_store: Store, typed: str
) -> None:
    """Such characters in a form or in a server's response must not make the SQL statement fail."""
    row = dict.fromkeys(("who", "what", "subject", "source", "outcome"), typed)
    with postgres_store.write() as connection:
        connection.execute(AUDIT.insert(), [row | {"at": 1}] * 2)
        found = connection.execute(select(AUDIT.c.who).where(AUDIT.c.who == typed)).scalars().all()
    assert found == ["".join("\ufffd" if c in "\0\ud800\udfff" else c for c in typed)] * 2


def test_a_data_error_contains_no_value(postgres_store: Store) -> None:
    with pytest.raises(DataError) as refused, postgres_store.read() as connection:
        connection.execute(text(f"SELECT '{SECRET}'::bigint").columns())
    assert SECRET not in str(refused.value.orig)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("SQLITE_FULL", "full"), ("SQLITE_IOERR_WRITE", "disk"), ("SQLITE_BUSY_SNAPSHOT", "busy"),
        ("SQLITE_CORRUPT_INDEX", "damaged"), ("SQLITE_READONLY_DIRECTORY", "unwritable"),
        ("SQLITE_MISMATCH", "failed"), ("53100", "full"), ("53300", "busy"), ("28P01", "refused"),
        ("40P01", "busy"), ("57P01", "away"), ("25006", "unwritable"), ("22012", "failed"),
        ("25P03", "busy"), ("26000", "pooler"), ("42P05", "pooler"),
    ],
)  # fmt: skip
def test_each_error_code_has_a_reason(code: str, reason: str) -> None:
    exc = sqlite3.OperationalError("…")
    setattr(exc, "sqlite_errorname" if code.startswith("SQLITE") else "sqlstate", code)
    assert engine.reason_of(exc) == reason


def test_an_exhausted_pool_is_busy(sqlite_store: Store) -> None:
    store = engine.Store(
        create_engine(sqlite_store.engine.url, pool_size=1, max_overflow=0, pool_timeout=0.01)
    )
    with store.read():
        assert _refused(store).reason == "busy"
    store.close()
