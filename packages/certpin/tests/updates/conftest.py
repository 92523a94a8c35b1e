"""Fixtures: a bank that publishes its pins, its update server, and an app that fetches them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from certpin import PinSet
from certpin.updates import Limits, PinUpdater, Timing, UpdateSettings
from tests import kit
from tests.updates._publisher import CHANNEL, HOST, Repository, pin_file
from tests.updates._server import FolderServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from certpin import Pin
    from certpin.lab import Authority, Identity

PATIENT = Timing(patience=timedelta(seconds=20), deadline=timedelta(seconds=60))


@dataclass
class World:
    """A bank that publishes signed pin sets, its server, and an app that fetches them.

    ``text(version)`` returns a pin file of the bank: the app contains version 1.
    """

    repository: Repository
    server: FolderServer
    identity: Identity
    cache: Path
    made: list[PinUpdater] = field(default_factory=list)
    followers: list[Callable[[], object]] = field(default_factory=list)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def text(self, version: int, *, pin: Pin = kit.NOBODY_ELSE, **fields: str) -> str:
        return pin_file(version, {CHANNEL: self.identity.pin, HOST: pin}, **fields)

    def publish(self, version: int, **fields: Any) -> None:
        self.repository.publish(self.text(version, **fields))

    def bundled(self, version: int = 1) -> PinSet:
        return PinSet.parse(self.text(version))

    def followed_by(self, follow: Callable[[], object]) -> None:
        """Call ``follow``, which updates a client, now and at each call of ``let_follow``."""
        self.followers.append(follow)
        follow()

    def let_follow(self) -> None:
        for follow in self.followers:
            follow()

    def updater(self, **fields: Any) -> PinUpdater:
        """Return a new ``PinUpdater``, as of a restarted app, with the same cache folder.

        ``fields`` replace its arguments.
        """
        given: dict[str, Any] = {
            "pins": self.bundled(),
            "root": self.repository.first_root,
            "url": self.server.url,
            "cache": self.cache,
            "settings": UpdateSettings(PATIENT),
            "clock": lambda: self.now,
        }
        self.made.append(PinUpdater(**(given | fields)))
        return self.made[-1]

    def quick(self, **fields: Any) -> UpdateSettings:
        """Return the settings of the tests with these fields of ``Timing`` replaced."""
        return UpdateSettings(replace(PATIENT, **fields))

    def limited(self, **fields: int) -> UpdateSettings:
        """Return the settings of the tests with these fields of ``Limits`` replaced."""
        return UpdateSettings(PATIENT, Limits(**fields))


@pytest.fixture(scope="session")
def served(intermediate: Authority) -> Identity:
    return intermediate.issue(CHANNEL)


@pytest.fixture
def world(trusted_root: Path, served: Identity, tmp_path: Path) -> Iterator[World]:
    repository = Repository(tmp_path / "site")
    with FolderServer(repository.folder, served) as server:
        world = World(repository, server, served, tmp_path / "cache")
        world.publish(2)
        yield world
        server.let_go.set()
        for each in world.made:
            each.close()
