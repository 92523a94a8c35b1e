"""A bank that signs in one folder and pushes to another, from which clients fetch."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from certpin.publish.push import Pushed, push
from certpin.publish.storage import FolderStorage
from tests.updates._publisher import Repository
from tests.updates._server import FolderServer
from tests.updates.conftest import World
from tests.updates.test_attacks import Judge

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from certpin.lab import Identity
    from certpin.publish.storage import Storage


class Delivered(World):
    """A signer and the storage for the signed pin sets, with the server from which clients fetch.

    ``repository.folder`` is the folder of signed files; ``storage`` is where ``push`` uploads them.
    """

    storage: Storage

    @property
    def site(self) -> Path:
        return self.repository.folder

    def push(self, **fields: Any) -> Pushed:
        return push(self.site, self.storage, **({"now": self.now} | fields))

    def both_follow(self, name: str = "new") -> int:
        """Update two newly installed clients, and return the version that certpin's client has."""
        Judge(self, self.cache.parent / f"judge-{name}").follow()
        status = self.updater(cache=self.cache.parent / f"app-{name}").refresh()
        assert status.state == "fresh"
        return status.version


@contextmanager
def delivering(tmp_path: Path, identity: Identity) -> Iterator[Delivered]:
    """Yield a ``Delivered`` with a version 2 that is signed, but not pushed yet.

    The storage is the folder ``www``, which a server serves.
    """
    repository = Repository(tmp_path / "site")
    www = tmp_path / "www"
    with FolderServer(www, identity) as server:
        world = Delivered(repository, server, identity, tmp_path / "cache")
        world.storage = FolderStorage(www)
        world.publish(2)
        yield world
        server.let_go.set()
        for each in world.made:
            each.close()


class Noted:
    """A storage that records the calls to another one, and fails on request."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.written: list[str] = []
        self.before_write: Any = lambda path: None  # called with the path, and may raise

    @property
    def where(self) -> str:
        return self._storage.where

    def read(self, path: str, max_bytes: int) -> bytes | None:
        return self._storage.read(path, max_bytes)

    def write(self, path: str, data: bytes) -> None:
        self.before_write(path)
        self._storage.write(path, data)
        self.written.append(path)

    def sweep(self) -> None:
        self._storage.sweep()

    def held(self) -> AbstractContextManager[None]:
        return self._storage.held()
