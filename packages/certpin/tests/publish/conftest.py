"""A firm that has signed its first version."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.publish._firm import Client, Firm
from tests.updates.conftest import served

__all__ = ["board", "client", "firm", "new", "served"]

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def new(tmp_path: Path) -> Firm:
    """A firm that has published a version, but signed nothing."""
    firm = Firm(tmp_path / "firm")
    firm.publish(1)
    return firm


@pytest.fixture
def firm(new: Firm) -> Firm:
    """A firm in which one person has all keys."""
    new.begin()
    new.sign("root", "targets", "online")
    return new


@pytest.fixture
def client(firm: Firm, tmp_path: Path) -> Client:
    """A client that has the first version."""
    client = Client(firm, tmp_path / "client")
    assert client.follow() == 1
    return client


@pytest.fixture
def board(new: Firm) -> Firm:
    """Three signers with a threshold of two."""
    people = ("ada", "bob", "cleo")
    new.begin(people, people, "online", {"root": 2, "targets": 2})
    return new
