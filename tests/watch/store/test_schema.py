"""Migrations: what they make is what the tables say, once, whoever runs them and dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from certpin.errors import StoreError
from certpin.watch.store import SchemaState, migrate, open_store, prepare, schema, schema_state
from certpin.watch.store.on_sqlite import path_of
from certpin.watch.store.tables import METADATA
from tests.watch.store._rows import fill, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from certpin.watch.store import Store

NOW = schema.latest()
NEXT = f"{int(NOW) + 1:04}"
SECOND = f"""
import sqlalchemy as sa
from alembic import op

revision = "{NEXT}"
down_revision = "{NOW}"

def upgrade():
    op.add_column("silences", sa.Column("colour", sa.Text(), nullable=False, server_default=""))
    {{more}}
"""


@pytest.fixture(params=["sqlite", "postgres"])
def bare(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A database without a table."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'watch.db'}"
    else:
        url = request.getfixturevalue("new_database")()
    with closing(open_store(url)) as store:
        yield store


@pytest.fixture
def second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let there be one revision more from now on."""

    def make(more: str = "") -> None:
        folder = tmp_path / "revisions"
        (folder / "versions").mkdir(parents=True, exist_ok=True)
        for path in (schema._REVISIONS / "versions").glob("*.py"):
            (folder / "versions" / path.name).write_bytes(path.read_bytes())
        (folder / "versions" / f"r{NEXT}.py").write_text(SECOND.format(more=more))
        monkeypatch.setattr(schema, "_REVISIONS", folder)

    return make


def _described(store: Store) -> dict[str, Any]:
    """Everything that a database says of its tables."""
    look = inspect(store.engine)
    names = sorted(set(look.get_table_names()) - {schema.VERSION_TABLE})
    return {
        name: {
            "columns": [
                (each["name"], str(each["type"]), each["nullable"], str(each["default"]))
                for each in look.get_columns(name)
            ],
            "key": look.get_pk_constraint(name),
            "indexes": sorted(_plain(each) for each in look.get_indexes(name)),
            "unique": sorted(look.get_unique_constraints(name), key=str),
        }
        for name in names
    }


def _plain(index: Any) -> str:
    """An index in words; a condition of it (an object of its own) by its text."""
    options = {key: str(each) for key, each in index.get("dialect_options", {}).items()}
    return str({**index, "dialect_options": options})


def test_what_the_migrations_make_is_what_the_tables_say(bare: Store) -> None:
    migrate(bare)
    with bare.read() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": schema.VERSION_TABLE}
        )
        assert compare_metadata(context, METADATA) == [], "make revision"
    migrated = _described(bare)
    METADATA.drop_all(bare.engine)
    METADATA.create_all(bare.engine)
    assert _described(bare) == migrated  # what alembic does not compare: keys, defaults, names


def test_an_empty_database_gets_its_tables_once(bare: Store) -> None:
    assert schema_state(bare) == schema.Schema(SchemaState.EMPTY, None)
    assert migrate(bare) == schema.Migration(None, NOW)
    assert schema_state(bare) == schema.Schema(SchemaState.CURRENT, NOW)
    assert migrate(bare) == schema.Migration(NOW, NOW)


def test_looking_makes_no_file(tmp_path: Path) -> None:
    with closing(open_store(f"sqlite:///{tmp_path / 'watch.db'}")) as store:
        assert schema_state(store).state is SchemaState.EMPTY
    assert list(tmp_path.iterdir()) == []


def test_an_older_database_is_brought_up_with_its_data(
    bare: Store, second: Callable[..., None]
) -> None:
    migrate(bare)
    fill(bare)
    before = rows_of(bare)
    second()
    assert schema_state(bare).state is SchemaState.BEHIND
    done = migrate(bare)
    assert (done.before, done.after) == (NOW, NEXT)
    assert rows_of(bare) == before
    assert any(name == "colour" for name, *_ in _described(bare)["silences"]["columns"])


def test_a_file_is_kept_as_it_was_before(
    tmp_path: Path, second: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(open_store(f"sqlite:///{tmp_path / 'watch.db'}")) as store:
        migrate(store)
        fill(store)
        before = rows_of(store)
        second()
        copy = migrate(store).copy
    assert copy == tmp_path / f"watch.db.revision-{NOW}"
    assert copy.stat().st_mode & 0o777 == 0o600
    monkeypatch.undo()
    with closing(open_store(f"sqlite:///{copy}")) as old:
        assert schema_state(old).state is SchemaState.CURRENT
        assert rows_of(old) == before


def test_a_migration_that_fails_changes_nothing(bare: Store, second: Callable[..., None]) -> None:
    migrate(bare)
    before = _described(bare)
    second("op.execute('SELECT nonsense')")
    with pytest.raises(StoreError):
        migrate(bare)
    assert _described(bare) == before
    assert schema_state(bare).revision == NOW


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
    for each in (migrate, prepare):
        with pytest.raises(StoreError) as refused:
            each(bare)
        assert refused.value.reason == "schema"


def test_a_database_of_somebody_else_is_refused_and_left_alone(bare: Store) -> None:
    with bare.write() as connection:
        connection.execute(text("CREATE TABLE customers (name TEXT)"))
    before = _described(bare)
    with pytest.raises(StoreError, match="not those of certpin's watch"):
        migrate(bare)
    assert _described(bare) == before


def test_the_service_migrates_a_file_and_never_postgresql(
    bare: Store, second: Callable[..., None]
) -> None:
    if bare.is_sqlite:
        assert prepare(bare) == schema.Migration(None, NOW)
    else:
        with pytest.raises(StoreError, match="certpin watch migrate"):
            prepare(bare)
        migrate(bare)
    assert prepare(bare) is None
    second()
    if bare.is_sqlite:
        done = prepare(bare)
        assert done is not None
        assert done.copy
    else:
        with pytest.raises(StoreError, match="certpin watch migrate"):
            prepare(bare)


def test_several_at_once_migrate_once(bare: Store) -> None:
    url = bare.engine.url.render_as_string(hide_password=False)

    def one(_: int) -> schema.Migration:
        with closing(open_store(url)) as store:  # a lock of its own, as a process has
            return migrate(store)

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(one, range(4)))
    assert sorted(str(each.before) for each in done) == [NOW, NOW, NOW, "None"]
    assert _described(bare).keys() == METADATA.tables.keys()


_DIES = """
import os, signal, sys
from alembic import op
from certpin.watch.store import migrate, open_store

made = op.create_index
def create_index(*args, **kwargs):
    made(*args, **kwargs)
    if args[0] == "ix_sightings_last_at":
        os.kill(os.getpid(), signal.SIGKILL)

op.create_index = create_index
migrate(open_store(sys.argv[1]))
"""


@pytest.mark.slow
def test_one_that_is_killed_in_the_middle_leaves_nothing_behind(bare: Store) -> None:
    url = bare.engine.url.render_as_string(hide_password=False)
    killed = subprocess.run([sys.executable, "-c", _DIES, url], check=False, env=dict(os.environ))
    assert killed.returncode == -signal.SIGKILL
    assert schema_state(bare).state is SchemaState.EMPTY
    migrate(bare)
    assert _described(bare).keys() == METADATA.tables.keys()


def test_a_file_that_is_migrated_can_give_its_room_back(bare: Store) -> None:
    migrate(bare)
    if bare.is_sqlite:
        with bare.read() as connection:
            assert connection.execute(text("PRAGMA auto_vacuum")).scalar() == 2
        assert path_of(bare.engine).stat().st_mode & 0o777 == 0o600
