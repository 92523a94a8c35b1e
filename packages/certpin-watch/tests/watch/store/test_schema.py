"""Migrations create the declared tables, once, whichever process runs them or is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from shutil import copytree
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import func, inspect, select, text

from certpin.errors import StoreError
from certpin_watch.store import SchemaState, migrate, open_store, prepare, schema, schema_state
from certpin_watch.store.connections import path_of
from certpin_watch.store.migrations.steps import s0002
from certpin_watch.store.schema import latest, upgrade
from certpin_watch.store.tables import METADATA
from certpin_watch.store.tables.observations import REPORT_TRAITS
from certpin_watch.store.tables.service import ALERTS
from tests.watch._sums import assert_sums_are_right
from tests.watch.collector.test_counting import body, counted, failure
from tests.watch.store._first import FIRST, make_first
from tests.watch.store._rows import rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import MetaData

    from certpin_watch.store import Store

FAILING = """
from alembic import op

revision = "{revision}"
down_revision = "{latest}"

def upgrade():
    op.drop_table("silences")
    op.execute("SELECT nonsense")
"""


@pytest.fixture(params=["sqlite", "postgres"])
def bare(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Yield a database without tables."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'watch.db'}"
    else:
        url = request.getfixturevalue("new_database")()
    with closing(open_store(url)) as store:
        yield store


@pytest.fixture
def first(bare: Store) -> tuple[Store, MetaData]:
    """Return a store with the schema of the first released revision, and the metadata of its
    tables.
    """
    return bare, make_first(bare)


def _described(store: Store) -> dict[str, Any]:
    """Return columns, keys, indexes and constraints by table, as the database reports them."""
    inspector = inspect(store.engine)
    names = sorted(filter(_is_ours, inspector.get_table_names()))
    return {
        name: {
            "columns": [
                (column["name"], str(column["type"]), column["nullable"], str(column["default"]))
                for column in inspector.get_columns(name)
            ],
            "key": inspector.get_pk_constraint(name),
            "indexes": sorted(_plain(index) for index in inspector.get_indexes(name)),
            "unique": sorted(inspector.get_unique_constraints(name), key=str),
        }
        for name in names
    }


def _is_ours(name: str) -> bool:
    """Return True for a declared table, False for a partition or Alembic's version table."""
    return name != schema.VERSION_TABLE and not name.startswith("report_identities_")


def _plain(index: Any) -> str:
    """Return the description of an index as text, so that two descriptions can be compared."""
    options = {key: str(option) for key, option in index.get("dialect_options", {}).items()}
    return str({**index, "dialect_options": options})


@pytest.mark.medium
def test_the_migrations_create_the_declared_tables(bare: Store) -> None:
    migrate(bare)
    with bare.read() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "version_table": schema.VERSION_TABLE,
                "include_name": lambda name, kind, _: kind != "table" or _is_ours(name),
            },
        )
        assert compare_metadata(context, METADATA) == [], "make revision"
    migrated = _described(bare)
    METADATA.drop_all(bare.engine)
    METADATA.create_all(bare.engine)
    assert _described(bare) == migrated  # Alembic does not compare keys, defaults and names


@pytest.mark.medium
def test_an_empty_database_is_migrated_once(bare: Store) -> None:
    assert schema_state(bare) == schema.Schema(SchemaState.EMPTY, None)
    newest = latest()
    assert migrate(bare) == schema.Migration(None, newest)
    assert schema_state(bare) == schema.Schema(SchemaState.CURRENT, newest)
    assert migrate(bare) == schema.Migration(newest, newest)


def test_the_files_of_the_revisions_have_their_names_in_order() -> None:
    scripts = ScriptDirectory(str(schema._REVISIONS))
    names = [script.revision for script in scripts.walk_revisions()]
    assert schema._revisions() == names[::-1]
    assert latest() == scripts.get_current_head()


@pytest.mark.medium
def test_a_database_of_this_version_is_opened_without_alembic(tmp_path: Path) -> None:
    """Alembic takes long to import."""
    url = f"sqlite:///{tmp_path / 'watch.db'}"
    with closing(open_store(url)) as store:
        migrate(store)
    program = (
        "import sys\nfrom certpin_watch.store import open_store, prepare\n"
        f"assert prepare(open_store({url!r})) is None\n"
        "print([name for name in sys.modules if name.startswith('alembic')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_reading_the_state_creates_no_file(tmp_path: Path) -> None:
    with closing(open_store(f"sqlite:///{tmp_path / 'watch.db'}")) as store:
        assert schema_state(store).state is SchemaState.EMPTY
    assert list(tmp_path.iterdir()) == []


@pytest.mark.medium
def test_the_first_revision_is_migrated_with_its_data(
    first: tuple[Store, MetaData], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, tables = first
    before = rows_of(store, tables)
    assert schema_state(store).state is SchemaState.BEHIND
    monkeypatch.setattr(s0002, "_AT_ONCE", 7)  # a day is summed in several parts
    done = migrate(store)
    assert (done.before, done.after) == (FIRST, latest())
    tables.remove(tables.tables["report_days"])  # its sums are computed again from the groups
    assert rows_of(store, tables) == {
        name: rows for name, rows in before.items() if name != "report_days"
    }
    assert_sums_are_right(store)
    with store.read() as connection:
        severities = connection.execute(select(ALERTS.c.peak, ALERTS.c.highest)).all()
    assert severities
    assert all(peak == highest for peak, highest in severities)
    known = {"platform": "ios", "app_version": "5.\N{SNOWMAN}", "version": 0, "app": ""}
    report = failure(1, host="0.example", pin_set="bank", served=(), **known)
    counted(store, [body(report, at=20_003 * 86_400 + 5)])
    with store.read() as connection:
        traits = connection.execute(select(func.count()).select_from(REPORT_TRAITS)).scalar()
    assert traits == 6 + 3, "new reports are added to the computed sums"
    assert_sums_are_right(store)


@pytest.mark.medium
def test_an_sqlite_file_is_copied_before_its_migration(
    tmp_path: Path, first: tuple[Store, MetaData]
) -> None:
    store, tables = first
    before = rows_of(store, tables)
    copy = migrate(store).copy
    if not store.is_sqlite:
        assert copy is None
        return
    assert copy == tmp_path / "watch.db.revision-0001"
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(open_store(f"sqlite:///{copy}")) as old:
        assert schema_state(old) == schema.Schema(SchemaState.BEHIND, FIRST)
        assert rows_of(old, tables) == before


@pytest.mark.medium
def test_a_failed_migration_changes_nothing(
    bare: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(bare)
    before, newest = _described(bare), latest()
    number = f"{int(newest) + 1:04}"
    versions = tmp_path / "revisions" / "versions"
    copytree(schema._REVISIONS / "versions", versions)
    script = FAILING.format(revision=number, latest=newest)
    (versions / f"r{number}.py").write_text(script)
    monkeypatch.setattr(schema, "_REVISIONS", versions.parent)
    assert schema_state(bare) == schema.Schema(SchemaState.BEHIND, newest)
    with pytest.raises(StoreError):
        migrate(bare)
    assert _described(bare) == before
    assert schema_state(bare).revision == newest


@pytest.mark.medium
@pytest.mark.parametrize(
    ("revision", "state"), [("9999", SchemaState.NEWER), ("1a2b3c", SchemaState.FOREIGN)]
)
def test_a_database_of_another_version_is_refused(
    bare: Store, revision: str, state: SchemaState
) -> None:
    migrate(bare)
    with bare.write() as connection:
        connection.execute(text(f"UPDATE certpin_schema SET version_num = '{revision}'"))
    assert schema_state(bare).state is state
    for opened in (migrate, prepare):
        with pytest.raises(StoreError) as refused:
            opened(bare)
        assert refused.value.reason == "schema"


def test_a_database_of_another_program_is_refused_and_not_changed(bare: Store) -> None:
    with bare.write() as connection:
        connection.execute(text("CREATE TABLE customers (name TEXT)"))
    before = _described(bare)
    with pytest.raises(StoreError, match="tables of another program"):
        migrate(bare)
    assert _described(bare) == before


@pytest.mark.medium
@pytest.mark.parametrize("revision", [None, FIRST])
def test_prepare_migrates_a_file_but_not_postgresql(bare: Store, revision: str | None) -> None:
    if revision is not None:
        with bare.write() as connection:
            upgrade(connection, revision)
    if bare.is_sqlite:
        done = prepare(bare)
        assert done is not None
        assert (done.before, done.after, bool(done.copy)) == (revision, latest(), bool(revision))
    else:
        with pytest.raises(StoreError, match="certpin watch migrate"):
            prepare(bare)
        migrate(bare)
    assert prepare(bare) is None


@pytest.mark.medium
def test_concurrent_migrations_migrate_once(bare: Store) -> None:
    url = bare.engine.url.render_as_string(hide_password=False)

    def one(_: int) -> schema.Migration:
        with closing(open_store(url)) as store:  # with a separate lock, as in another process
            return migrate(store)

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(one, range(4)))
    assert sorted(str(migration.before) for migration in done) == [*[latest()] * 3, "None"]
    assert _described(bare).keys() == METADATA.tables.keys()


_DIES = """
import os, signal, sys
from certpin_watch.store import migrate, open_store
from certpin_watch.store.migrations.steps import s0002

def die(*args):
    os.kill(os.getpid(), signal.SIGKILL)

s0002._traits = die
migrate(open_store(sys.argv[1]))
"""


@pytest.mark.slow
def test_a_killed_migration_changes_nothing(
    first: tuple[Store, MetaData],
) -> None:
    store, tables = first
    before = rows_of(store, tables)
    url = store.engine.url.render_as_string(hide_password=False)
    killed = subprocess.run([sys.executable, "-c", _DIES, url], check=False, env=dict(os.environ))
    assert killed.returncode == -signal.SIGKILL
    assert schema_state(store) == schema.Schema(SchemaState.BEHIND, FIRST)
    assert rows_of(store, tables) == before
    migrate(store)
    assert _described(store).keys() == METADATA.tables.keys()
    assert_sums_are_right(store)


@pytest.mark.medium
def test_a_migrated_file_can_shrink_and_is_private(bare: Store) -> None:
    migrate(bare)
    if bare.is_sqlite:
        with bare.read() as connection:
            assert connection.execute(text("PRAGMA auto_vacuum")).scalar() == 2
        assert path_of(bare.engine).stat().st_mode & 0o777 == 0o600


def test_a_database_with_another_encoding_is_refused(new_database: Callable[[], str]) -> None:
    url = new_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        )
    with closing(open_store(f"{url.rpartition('/')[0]}/latin")) as store:
        with pytest.raises(StoreError, match="UTF-8"):
            migrate(store)
        with store.write() as connection:
            schema.upgrade(connection)
        for check in (prepare, schema.require_current):
            with pytest.raises(StoreError, match="UTF-8"):
                check(store)
