"""The monitored pin sets, read from their files, and the host patterns for quotas of reports."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from certpin.errors import ConfigError, HostError
from certpin.pinfile import PinSet
from certpin.rotation import AdoptionDelays, History, journal_path, load_journal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from pathlib import Path

    from certpin.pins import HostPin, HostPolicy
    from certpin.rotation import DeployedVersions, Version

    SetPolicies = tuple[tuple["MonitoredPinSet", HostPolicy], ...]

_MAX_KNOWN_HOSTS = 100_000  # hosts with a remembered pattern


@dataclass(frozen=True)
class MonitoredPinSet:
    """The content of a pin file when it was last readable, and the history in its journal."""

    path: Path
    pins: PinSet
    history: History

    @property
    def deployed(self) -> DeployedVersions:
        """Every version of the pin set that was released, from the journal."""
        return self.history.deployed

    @property
    def timing(self) -> AdoptionDelays:
        """The adoption delays that the journal declares last, or the default delays."""
        return self.history.timing or AdoptionDelays()

    def alive(self, at: datetime) -> tuple[Version, ...]:
        """The versions of the pin set that clients may still hold at a time."""
        return self.deployed.alive(at, self.timing)


@dataclass(frozen=True)
class Snapshot:
    """The pin sets that could be read, and messages about pin files that could not."""

    sets: tuple[MonitoredPinSet, ...] = ()
    problems: tuple[str, ...] = ()

    def policies_of(self, host: str) -> SetPolicies:
        """Return the policies for a host, each with the pin set that contains it."""
        try:
            found = [(monitored, monitored.pins.policy_for(host)) for monitored in self.sets]
        except HostError:
            return ()
        return tuple((monitored, policy) for monitored, policy in found if policy is not None)


def anchors_of(policies: SetPolicies) -> tuple[bytes, ...]:
    """Return the trust anchors of policies, as DER."""
    return tuple(der for _, policy in policies if policy.trust for der in policy.trust.der)


def live_pins(policies: SetPolicies) -> tuple[HostPin, ...]:
    """Return the pins of policies because of which clients accept a path."""
    return tuple(entry for _, policy in policies for entry in policy.pins if entry.live)


class PinFiles:
    """Reads the monitored pin files; a broken file keeps its last valid content. Thread-safe."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self.paths = tuple(paths)
        self._lock = threading.Lock()
        self._marks: dict[Path, tuple[object, ...]] = {}
        self._sets: dict[Path, MonitoredPinSet] = {}
        self._problems: dict[Path, str] = {}

    def snapshot(self) -> Snapshot:
        """Return the current pin sets. Reads only files that changed, and never raises."""
        with self._lock:
            for path in self.paths:
                self._refresh(path)
            sets = tuple(self._sets[path] for path in self.paths if path in self._sets)
            return Snapshot(sets, tuple(self._problems.values()))

    def _refresh(self, path: Path) -> None:
        mark = (_mark(path), _mark(journal_path(path)))
        if self._marks.get(path) == mark:
            return
        self._problems.pop(path, None)
        try:
            pins = PinSet.load(path)
            self._sets[path] = MonitoredPinSet(path, pins, load_journal(journal_path(path)))
        except ConfigError as exc:
            self._problems[path] = str(exc)
        self._marks[path] = mark


def _mark(path: Path) -> object:
    """Return a value that changes when the file changes: time, size and inode; None if missing."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


@dataclass
class Patterns:
    """Maps hosts to the patterns of pin sets that cover them, for quotas of reports.

    Clients choose the hosts in their reports. So all names that a pattern covers share one quota,
    and so do all hosts that are not monitored. ``named`` are hosts below wildcards that the monitor
    probes; each has its own quota.
    """

    sets: tuple[MonitoredPinSet, ...] = ()
    named: frozenset[str] = frozenset()
    _known: dict[str, str] = field(default_factory=dict)

    def renewed(self, sets: tuple[MonitoredPinSet, ...]) -> Patterns:
        """Return this object if ``sets`` are the same pin sets, else a new one for them."""
        return self if self.sets == sets else Patterns(sets, self.named)

    def of(self, host: str) -> str:
        """Return the pattern that covers a host; empty if the host is not monitored."""
        if (pattern := self._known.get(host)) is None:
            if len(self._known) >= _MAX_KNOWN_HOSTS:
                self._known.clear()
            pattern = self._known[host] = self._find(host)
        return pattern

    def share(self, host: str) -> str:
        """Return the name of the quota that reports about a host use.

        It is the host if the monitor probes it, else the pattern that covers it. Without pin sets,
        all hosts share one quota.
        """
        if not self.sets:
            return "*"
        pattern = self.of(host)
        return host if pattern and host in self.named else pattern

    def _find(self, host: str) -> str:
        for pin_set in self.sets:
            try:
                policy = pin_set.pins.policy_for(host)
            except HostError:
                return ""
            if policy is not None:
                return str(policy.pattern)
        return ""
