"""``certpin watch migrate``, and the database and the secrets that a command uses."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin_watch.context import Watch
from certpin_watch.service import make_ready
from certpin_watch.settings import ServiceSettings
from certpin_watch.snapshot import PinFiles
from certpin_watch.store import SchemaState, open_store, schema_state
from certpin_watch.store.engine import OPERATIONS_PAGE
from tests.cli import _documented
from tests.servers._run import free_port
from tests.watch.store._first import make_first

if TYPE_CHECKING:
    from tests.cli.conftest import Run


def test_migrate_creates_a_database(run: Run) -> None:
    made = run("watch", "migrate", "--json")
    _documented.check("watch migrate", made.json)
    assert (made.code, made.json["before"], made.json["state"]) == (0, None, "current")


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_backup_commands_point_to_the_tools_of_the_database(run: Run, command: str) -> None:
    done = run("watch", command, "b.db")
    assert (done.code, f"there is no command '{command}'" in done.err) == (2, True)
    shown = " ".join(run("watch", "--help").out.split())
    assert f"sqlite3 or pg_dump: {OPERATIONS_PAGE} has the commands." in shown


@pytest.mark.medium
def test_check_changes_nothing_and_reports_by_its_exit_code(run: Run) -> None:
    assert run("watch", "migrate", "--check").code == 1
    assert "Created" in run("watch", "migrate").out
    assert run("watch", "migrate", "--check").code == 0
    assert "nothing to do" in run("watch", "migrate").out


@pytest.mark.medium
@pytest.mark.parametrize(
    ("statement", "state"),
    [
        ("UPDATE certpin_schema SET version_num = '9999'", "newer"),
        ("DROP TABLE certpin_schema", "foreign"),
    ],
)
def test_check_of_a_database_that_no_migration_helps_is_an_error(
    run: Run, statement: str, state: str
) -> None:
    run("watch", "migrate")
    with closing(sqlite3.connect("watch.db", isolation_level=None)) as connection:
        connection.execute(statement)
    done = run("watch", "migrate", "--check")
    assert (done.code, f"The database is {state}" in done.out) == (2, True)


@pytest.mark.medium
@pytest.mark.parametrize(
    "words",
    [
        ("alerts",),
        ("silence",),
        ("silence", "--rule", "pin-mismatch", "--why", "a test"),
        ("token", "list"),
        ("token", "add", "zurich", "--worker", "zurich"),
        ("token", "revoke", "7f3a91c2"),
        ("user", "list"),
        ("user", "add", "anna", "--role", "admin"),
        ("user", "remove", "anna"),
        ("user", "password", "anna"),
        ("user", "role", "anna", "viewer"),
    ],
    ids=" ".join,
)
def test_only_migrate_and_serve_change_an_old_database(run: Run, words: tuple[str, ...]) -> None:
    """The service of an older certpin may still run, and couldn't use the new schema."""
    with closing(open_store("sqlite:///watch.db")) as store:
        make_first(store)
    done = run("watch", *words)
    assert done.code == 2
    assert "the database is of an older version of certpin" in done.err
    assert f"fix: back it up ({OPERATIONS_PAGE} says how), then: certpin watch" in done.err
    assert not list(Path().glob("watch.db.*"))
    with closing(open_store("sqlite:///watch.db")) as store:
        assert schema_state(store).state is SchemaState.BEHIND


def test_a_start_logs_its_migration(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(open_store(f"sqlite:///{tmp_path}/watch.db")) as store:
        make_first(store)
        with caplog.at_level("INFO", "certpin.watch"):
            make_ready(
                Watch(ServiceSettings(listen=("127.0.0.1", free_port())), store, PinFiles([]))
            )
    assert "migrated the database from schema 0001 to" in caplog.text
    assert f"copied to {tmp_path / 'watch.db.revision-0001'}" in caplog.text


def test_a_database_path_is_relative_to_the_settings(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "watch.toml").write_text('store = "sqlite:///data.db"\n')
    assert run("watch", "migrate", "--config", folder / "watch.toml").code == 0
    assert (folder / "data.db").exists()


@pytest.mark.medium
def test_a_command_needs_only_the_secrets_that_it_uses(run: Run, tmp_path: Path) -> None:
    chat = '[[alerts.tell]]\nname = "chat"\nurl = "env:WATCH_CHAT"\n'
    config = tmp_path / "watch.toml"
    config.write_text(f'store = "sqlite:///watch.db"\nnats = "env:WATCH_NATS"\n{chat}')
    assert run("watch", "migrate", "--config", config).code == 0
    assert run("watch", "silence", "--config", config).code == 0
    tried = run("watch", "alerts", "--test", "--config", config)
    assert (tried.code, "alerts.tell[0].url: the environment has no WATCH_CHAT" in tried.err) == (
        2,
        True,
    )
    assert "set WATCH_CHAT" in tried.err
    config.write_text('store = "env:WATCH_STORE"\n' + chat)
    tried = run("watch", "alerts", "--test", "--config", config, WATCH_CHAT="json://127.0.0.1:1/")
    assert "chat: it could not be reached" in tried.out
    assert "store: the environment has no" in run("watch", "silence", "--config", config).err


def test_an_invalid_database_is_reported_with_its_place(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "watch.toml"
    config.write_text('listen = "127.0.0.1:8460"\nstore = "sqlite:///no/such/folder/watch.db"\n')
    done = run("watch", "migrate", "--config", config)
    assert done.code == 2
    assert f"{config}:2: store: {tmp_path}/no/such/folder/watch.db cannot be" in done.err
    for url in ("mysql://watch@127.0.0.1/watch", "sqlite:///no/such/folder/watch.db"):
        done = run("watch", "migrate", "--config", config, "--store", url)
        assert (done.code, "--store: " in done.err, "watch.toml" in done.err) == (2, True, False)


@pytest.mark.parametrize("way", ["--store", "config"])
def test_an_unreachable_database_is_inconclusive_and_its_password_is_not_shown(
    run: Run, tmp_path: Path, way: str
) -> None:
    url = f"postgresql://watch:hunter2@127.0.0.1:{free_port()}/watch"
    (tmp_path / "watch.toml").write_text('store = "env:WATCH_STORE"\n')
    words = ("--config", tmp_path / "watch.toml") if way == "config" else ("--store", url)
    done = run("watch", "migrate", *words, WATCH_STORE=url)
    assert done.code == 3
    assert "cannot be reached" in done.err
    assert "hunter2" not in done.out + done.err


def test_an_invalid_address_is_a_usage_error(run: Run) -> None:
    done = run("watch", "migrate", "--store", "mysql://watch:hunter2@127.0.0.1/watch")
    assert done.code == 2
    assert "hunter2" not in done.err
