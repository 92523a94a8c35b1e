"""Fixtures for tests of the service: an empty store for each test, with the schema.

``store`` runs a test on SQLite and on PostgreSQL, ``sqlite_store`` and ``postgres_store`` on one of
them. One server of PostgreSQL has a database for each test. Tests that need it are not in the quick
suite.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import psycopg
import pytest

from certpin_watch.store import open_store
from certpin_watch.store.tables import METADATA
from tests.servers.postgres import postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from certpin_watch.store import Store

_NUMBERS = itertools.count()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests as slow that need PostgreSQL by a fixture or a parameter."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        params = getattr(getattr(item, "callspec", None), "params", {})
        if "postgres_port" in fixtures or "postgres" in params.values():
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def postgres_port() -> Iterator[int]:
    """The port of a real PostgreSQL; its user is ``postgres``, and there is no password."""
    with postgres() as port:
        yield port


@pytest.fixture
def new_database(postgres_port: int) -> Callable[[], str]:
    """Make an empty database, and return its address."""

    def make() -> str:
        name = f"watch{next(_NUMBERS)}"
        with psycopg.connect(
            host="127.0.0.1", port=postgres_port, user="postgres", autocommit=True
        ) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"postgresql://postgres@127.0.0.1:{postgres_port}/{name}"

    return make


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Store]:
    """An empty store in a file."""
    yield from _made(f"sqlite:///{tmp_path / 'watch.db'}")


@pytest.fixture
def postgres_store(new_database: Callable[[], str]) -> Iterator[Store]:
    """An empty store in PostgreSQL."""
    yield from _made(new_database())


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> Store:
    """An empty store: each test runs on both databases."""
    found: Store = request.getfixturevalue(f"{request.param}_store")
    return found


def _made(url: str) -> Iterator[Store]:
    store = open_store(url)
    METADATA.create_all(store.engine)
    yield store
    store.close()
