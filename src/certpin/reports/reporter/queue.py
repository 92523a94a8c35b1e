"""What waits to be sent: on the disk; or in memory, and little of it, where the disk is full."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager, suppress
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from certpin.pins.policy import is_report_address
from certpin.reports.reporter.retry import MOST_WAIT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.reports.reporter.folder import Folder
    from certpin.reports.reporter.settings import ReporterSettings

_IN_MEMORY = 8  # reports
_APART = 60_000  # milliseconds that the clocks of two processes may be apart


class Item(NamedTuple):
    """A document, and where it goes."""

    to: str
    document: dict[str, Any]


class Queue:
    """Oldest first. When it is full, the oldest makes room for the newest."""

    def __init__(self, folder: Folder, settings: ReporterSettings) -> None:
        self._folder = folder
        self._settings = settings
        self._guard = threading.Lock()
        self._spare: dict[str, Item] = {}
        self.lost = 0  # reports that made room, waited for too long, or could not be sent at all
        self._done: set[str] = set()  # what is there still: it cannot be taken away

    def put(self, item: Item, now: datetime) -> bool:
        """Let it wait; whether it does so on the disk. Never raises."""
        name = f"{max(int(now.timestamp() * 1000), 0):015d}-{os.urandom(8).hex()}.json"
        try:
            self._folder.put(name, {"to": item.to, "document": item.document})
        except OSError:
            self._keep(name, item)
            return False
        names = sorted(self._folder.names(), key=partial(_age, now))
        for old in names[: max(len(names) - self._settings.queued, 0)]:
            self._folder.drop(old)
            self._lose()
        return True

    def _keep(self, name: str, item: Item) -> None:
        with self._guard:
            self._spare[name] = item
            while len(self._spare) > _IN_MEMORY:
                del self._spare[min(self._spare)]
                self.lost += 1

    def _lose(self) -> None:
        with self._guard:
            self.lost += 1

    def names(self, now: datetime) -> list[str]:
        """What waits. Drops what has waited for too long."""
        with self._guard:
            spare = list(self._spare)
        oldest = (now - self._settings.keep).timestamp() * 1000
        there = self._folder.names()
        self._done &= set(there)
        found = sorted({*there, *spare} - self._done)
        for name in found:
            if int(name[:15]) < oldest:
                self.give_up(name)
        return [name for name in found if int(name[:15]) >= oldest]

    @contextmanager
    def claimed(self, name: str) -> Iterator[Item | None]:
        """One that waits, for the block; ``None`` where there is nothing to be sent now."""
        with self._guard:
            spare = self._spare.get(name)
        if spare is not None:
            yield spare
            return
        with self._folder.claimed(name) as content:
            item = _item(content)
            if item is None and content is not None:
                self._folder.drop(name)
            yield item

    def rests(self, to: str, now: datetime) -> float:
        """The seconds for which an address asks to be left alone, told to whichever process."""
        left = self._folder.asked().get(_digest(to), 0.0) - now.timestamp()
        return left if 0 < left <= MOST_WAIT else 0.0  # a clock was set back: nobody asks for more

    def rest(self, to: str, seconds: float, now: datetime) -> None:
        """Note that an address asks to be left alone, for other processes, and the next. Never
        raises.
        """
        at = now.timestamp()
        asked = {each: until for each, until in self._folder.asked().items() if until > at}
        with suppress(OSError):
            self._folder.note_asked(asked | {_digest(to): at + seconds})

    def done(self, name: str) -> None:
        """Forget it. Never raises."""
        with self._guard:
            spare = self._spare.pop(name, None)
        if spare is None:
            self._done.add(name)
            self._folder.drop(name)

    def give_up(self, name: str) -> None:
        """Forget it unsent. Never raises."""
        self.done(name)
        self._lose()


def _digest(address: str) -> str:
    return sha256(address.encode()).hexdigest()[:32]


def _age(now: datetime, name: str) -> tuple[bool, str]:
    """Oldest first; what was put there later than now, by a clock that has been set back, before
    all: it would outlive whatever comes until the clock has caught up.
    """
    return int(name[:15]) <= now.timestamp() * 1000 + _APART, name


def _item(content: object) -> Item | None:
    """What a file says, if it is a report and goes where reports may go."""
    if isinstance(content, dict):
        to, document = content.get("to"), content.get("document")
        if isinstance(to, str) and is_report_address(to) and isinstance(document, dict):
            return Item(to, document)
    return None
