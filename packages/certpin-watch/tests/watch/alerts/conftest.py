"""A watch whose alerts are told to somebody on this machine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from certpin_watch.alerts import settings as alerts
from certpin_watch.alerts.look import Looker
from certpin_watch.alerts.run import services
from certpin_watch.alerts.settings import Tell
from certpin_watch.alerts.telling import Turn
from certpin_watch.secret import Secret
from certpin_watch.settings import ServiceSettings
from certpin_watch.snapshot import Watch, Watched
from tests.watch.alerts._hook import Hook, hook
from tests.watch.alerts._seen import NOW

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin_watch.finding import Finding
    from certpin_watch.store import Store


class Stage:
    """A watch with a clock that tests set, and findings that they choose."""

    def __init__(self, store: Store, *tell: Tell, **more: object) -> None:
        self.now = NOW
        self.found: list[Finding] = []
        table = alerts.Settings(tell=tell, **{"deadline": timedelta(seconds=5), **more})  # type: ignore[arg-type]
        settings = ServiceSettings(pins=(), alerts=table, public_url="https://watch.bank.example/")
        self.watch = Watch(settings, store, Watched(()), self._clock)
        self.looker = Looker(self.watch, lambda *_: list(self.found))
        self.turns = [Turn(self.watch, each) for each in services(table)]

    def _clock(self) -> datetime:
        return datetime.fromtimestamp(self.now, UTC)

    def look(self, *found: Finding) -> int | None:
        """Look once, at what is found."""
        self.found = list(found)
        return self.looker.look()

    async def tell(self) -> None:
        """Let every service have its turns, until none has more to do."""
        for turn in self.turns:
            while await turn.go():
                pass


@pytest.fixture
def webhook() -> Iterator[Hook]:
    with hook() as found:
        yield found


def told_by(found: Hook, name: str = "hook", secret: str = "", **more: object) -> Tell:
    """The setting that leads there."""
    return Tell(name, Secret(found.url(secret)), **more)  # type: ignore[arg-type]
