"""Fixtures for tests of the service: an empty store for each test, with the schema.

``store`` runs a test on SQLite and on PostgreSQL, ``sqlite_store`` and ``postgres_store`` on one of
them. One server of PostgreSQL has a database for each test. Tests that need it are not in the quick
suite.
"""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from certpin_watch.store import open_store
from certpin_watch.store.tables import METADATA
from tests.servers.postgres import postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from certpin_watch.store import Store

_NUMBERS = itertools.count()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests below this folder as slow if they use PostgreSQL by a fixture or a parameter.

    pytest passes the tests of all folders. Tests of certpin also have parameters named "postgres".
    """
    here = Path(__file__).parent
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        params = getattr(getattr(item, "callspec", None), "params", {})
        used = "postgres_port" in fixtures or "postgres" in params.values()
        if used and here in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def postgres_port() -> Iterator[int]:
    """The port of a real PostgreSQL; its user is ``postgres``, and there is no password."""
    with postgres() as port:
        yield port


@pytest.fixture
def new_database(postgres_port: int) -> Callable[[], str]:
    """Return a function that creates an empty PostgreSQL database and returns its URL."""
    return lambda: _database(postgres_port)


def _database(port: int, template: str = "template1") -> str:
    """Make a database that is a copy of a template, and return its address."""
    name = f"watch{next(_NUMBERS)}"
    with psycopg.connect(
        host="127.0.0.1", port=port, user="postgres", autocommit=True
    ) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
    return f"postgresql://postgres@127.0.0.1:{port}/{name}"


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an empty store.

    Each store of a test is a copy, because creating the tables takes longer than most tests.
    """
    file = tmp_path_factory.mktemp("store") / "watch.db"
    _create_tables(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def postgres_template(postgres_port: int) -> str:
    """The name of a database that is an empty store."""
    url = _database(postgres_port)
    _create_tables(url)
    return url.rpartition("/")[2]


@pytest.fixture
def sqlite_store(sqlite_template: Path, tmp_path: Path) -> Iterator[Store]:
    """An empty store in a file."""
    file = shutil.copy(sqlite_template, tmp_path / "watch.db")  # with its mode
    yield from _opened(f"sqlite:///{file}")


@pytest.fixture
def postgres_store(postgres_template: str, postgres_port: int) -> Iterator[Store]:
    """An empty store in PostgreSQL."""
    yield from _opened(_database(postgres_port, postgres_template))


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> Store:
    """An empty store: each test runs on both databases."""
    found: Store = request.getfixturevalue(f"{request.param}_store")
    return found


def _create_tables(url: str) -> None:
    store = open_store(url)
    METADATA.create_all(store.engine)
    store.close()  # neither a file beside it nor a connection is left


def _opened(url: str) -> Iterator[Store]:
    store = open_store(url)
    yield store
    store.close()
