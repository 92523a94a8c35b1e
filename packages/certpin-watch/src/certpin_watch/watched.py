"""The pin sets that are watched: their files and the journals beside them, read anew on change."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.pinfile import PinSet
from certpin.rotation import History, Timing, journal_path, load_journal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from pathlib import Path

    from certpin.rotation import DeployedVersions, Version


@dataclass(frozen=True)
class WatchedSet:
    """A pin file as it was last read without an error, and what its journal says."""

    path: Path
    pins: PinSet
    history: History

    @property
    def field(self) -> DeployedVersions:
        """Every version that went out."""
        return self.history.deployed

    @property
    def timing(self) -> Timing:
        """The delays that were promised last, or the defaults."""
        return self.history.timing or Timing()

    def alive(self, at: datetime) -> tuple[Version, ...]:
        """The versions that some client may hold."""
        return self.field.alive(at, self.timing)


@dataclass(frozen=True)
class Glance:
    """All that could be read, and why something could not: sentences that name the file."""

    sets: tuple[WatchedSet, ...] = ()
    problems: tuple[str, ...] = ()


class Watched:
    """Pin files by path. A file that breaks keeps its last good content. Threads may share it."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self.paths = tuple(paths)
        self._reading = threading.Lock()
        self._marks: dict[Path, tuple[object, ...]] = {}
        self._sets: dict[Path, WatchedSet] = {}
        self._problems: dict[Path, str] = {}

    def glance(self) -> Glance:
        """What they say now. Files that did not change are not read again. Never raises."""
        with self._reading:
            for path in self.paths:
                self._refresh(path)
            sets = tuple(self._sets[path] for path in self.paths if path in self._sets)
            return Glance(sets, tuple(self._problems.values()))

    def _refresh(self, path: Path) -> None:
        mark = (_mark(path), _mark(journal_path(path)))
        if self._marks.get(path) == mark:
            return
        self._problems.pop(path, None)
        try:
            pins = PinSet.load(path)
            self._sets[path] = WatchedSet(path, pins, load_journal(journal_path(path)))
        except ConfigError as exc:
            self._problems[path] = str(exc)
        self._marks[path] = mark


def _mark(path: Path) -> object:
    """What changes when a file does."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
