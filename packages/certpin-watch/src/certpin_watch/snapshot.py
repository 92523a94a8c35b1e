"""The monitored pin files (``PinFiles``), and the host patterns in them (``Patterns``).

Each pin file contains a pin set. Host patterns also decide which hosts have one *share* of the
limits on stored reports.
"""

from __future__ import annotations

import hashlib
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from certpin.errors import ConfigError, HostError, PinFileError
from certpin.pinfile import PinSet
from certpin.rotation import AdoptionDelays, History, journal_of, load_journal
from certpin.support.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from certpin.pins import HostPin, HostPolicy
    from certpin.rotation import DeployedVersions, Version

    SetPolicies = tuple[tuple["MonitoredPinSet", HostPolicy], ...]

_MAX_KNOWN_HOSTS = 100_000  # hosts with a remembered pattern


@dataclass(frozen=True)
class MonitoredPinSet:
    """A monitored pin file, and the journal of its rotation: the log of changes to its pins.

    Attributes:
        path: the pin file.
        pins: the pin set in the file when it was last readable.
        history: the steps of the rotation, from the journal.
        digest: the SHA-256 of the pin file, the journal and the files that the pin file names, as
            hexadecimal digits; empty if it is not known.
    """

    path: Path
    pins: PinSet
    history: History
    digest: str = ""

    @property
    def deployed(self) -> DeployedVersions:
        """Every version of the pin set that was released to clients, as the journal records it."""
        return self.history.deployed

    @property
    def timing(self) -> AdoptionDelays:
        """The delays until clients get a new pin-set version, from the journal or by default."""
        return self.history.timing or AdoptionDelays()

    def alive(self, at: datetime) -> tuple[Version, ...]:
        """Return the versions of the pin set that clients may still hold at the time ``at``.

        The journal and the delays of adoption decide this; without a journal, the result is empty.
        """
        return self.deployed.alive(at, self.timing)


@dataclass(frozen=True)
class Snapshot:
    """The content of all monitored pin files at one time.

    Attributes:
        sets: the pin sets that could be read.
        problems: messages about pin files that could not be read.
        is_complete: False if there is a pin file that this process could never read, so that the
            hosts in it are not known.
    """

    sets: tuple[MonitoredPinSet, ...] = ()
    problems: tuple[str, ...] = ()
    is_complete: bool = True

    def policies_of(self, host: str) -> SetPolicies:
        """Return the host policies (pins and how they are enforced) that cover a host.

        Each policy is in a pair with its pin set, which comes first. The result is empty for an
        invalid host name.
        """
        try:
            found = [(monitored, monitored.pins.policy_for(host)) for monitored in self.sets]
        except HostError:
            return ()
        return tuple((monitored, policy) for monitored, policy in found if policy is not None)


def anchors_of(policies: SetPolicies) -> tuple[bytes, ...]:
    """Return the trust anchors that these host policies set in ``trust``, as DER certificates.

    ``policies`` are pairs of a monitored pin set and a policy.
    """
    return tuple(der for _, policy in policies if policy.trust for der in policy.trust.der)


def live_pins(policies: SetPolicies) -> tuple[HostPin, ...]:
    """Return the live pins of these host policies: those that clients accept in a chain.

    ``policies`` are pairs of a monitored pin set and a policy.
    """
    return tuple(entry for _, policy in policies for entry in policy.pins if entry.live)


class SharedNameError(PinFileError):
    """Two monitored pin files have pin sets with the same name.

    ``path`` is one of the files. A service does not start with such files; while it runs, the
    previous content of the changed file remains in use.
    """


class PinFiles:
    """Reads the monitored pin files. For an invalid file, its last valid content is used.

    Alerts, pages, metrics and reports refer to a pin set by its name. So a file is also invalid if
    another file has a pin set with the same name. Threads may share an instance.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        unique: dict[Path, Path] = {}
        for path in paths:
            unique.setdefault(path.resolve(), path)
        self.paths = tuple(unique.values())
        self._lock = threading.Lock()
        self._marks: dict[Path, tuple[object, ...]] = {}
        self._named: dict[Path, tuple[Path, ...]] = {}
        self._sets: dict[Path, MonitoredPinSet] = {}
        self._problems: dict[Path, ConfigError] = {}

    def snapshot(self) -> Snapshot:
        """Return the content of all monitored pin files, and messages about invalid files.

        For an invalid file, the last valid content is returned. A valid file is read again only if
        the file, the journal of its rotation, or a file that it names changed. Never raises.
        """
        with self._lock:
            self._refresh()
            sets = tuple(self._sets[path] for path in self.paths if path in self._sets)
            is_complete = len(sets) == len(self.paths)
            problems = (_with_folder(str(exc), path) for path, exc in self._problems.items())
            return Snapshot(sets, tuple(problems), is_complete)

    def check_names(self) -> None:
        """Check that no two readable pin files have pin sets with the same name.

        Raises:
            SharedNameError: two have the same name.
        """
        self.snapshot()
        with self._lock:
            for problem in self._problems.values():
                if isinstance(problem, SharedNameError):
                    raise problem

    def _refresh(self) -> None:
        """Read the pin files that changed, and check that no two pin sets have the same name.

        If a changed file now has a pin set with the same name as that of another file, the previous
        content of the changed file remains in use.
        """
        found = {path: new for path in self.paths if (new := self._read(path))}
        names = {path: known.pins.name for path, known in (self._sets | found).items()}
        for at, (path, new) in enumerate(found.items()):
            others = [*(known for known in names if known not in found), *[*found][:at]]
            same = [other for other in others if names[other] == names[path]]
            if same:
                self._problems[path] = _shared_name(path, same[0], names[path])
            else:
                self._sets[path] = new

    def _read(self, path: Path) -> MonitoredPinSet | None:
        """Return the new content of a pin file; None if it did not change, or is invalid.

        The journal of its rotation, and the files that the pin file names, are checked for changes,
        too. If a file can't be read or is invalid, the reason is stored in ``_problems``.
        """
        try:
            journal = journal_of(path)
        except ConfigError as exc:
            self._problems[path] = exc
            return None
        # The mark is made before the files are read. So a change during the reading is noticed at
        # the next call, as are files that the pin file names only since this change.
        files = (path, journal, *self._named.get(path, ()))
        mark = tuple(map(_mark, files))
        if self._marks.get(path) == mark and path not in self._problems:
            return None
        self._problems.pop(path, None)
        self._marks[path] = mark
        try:
            pins = PinSet.load(path)
            named = tuple(path.parent / name for name in _named_files(pins))
            found = MonitoredPinSet(
                path, pins, load_journal(journal), _digest((path, journal, *named))
            )
        except ConfigError as exc:
            self._problems[path] = exc
            return None
        self._named[path] = named
        return found


def _shared_name(path: Path, other: Path, name: str) -> SharedNameError:
    return SharedNameError(
        f"{printable(str(other))} has the name {printable(name)}, too",
        path=path,
        key="name",
        fix="give each monitored pin file its own name",
    )


def _with_folder(problem: str, path: Path) -> str:
    """Return an error message, with the current folder added if the path of the file is relative.

    ``problem`` is the message, ``path`` the path of the file that the message is about. With the
    folder, the user can notice that the program was started in the wrong one.
    """
    if path.is_absolute():
        return problem
    text, fix, rest = problem.partition("\n  fix: ")
    return f"{text} (in the folder {printable(str(Path.cwd()))}){fix}{rest}"


def _named_files(pins: PinSet) -> list[str]:
    """Return the names of the files that a pin file names: trust anchors, and a list of CT logs.

    If one of them changes, the pin file is read again.
    """
    anchors = (*(policy.trust for policy in pins.policies), pins.debug)
    return sorted({entry.source for entry in (*anchors, pins.ct_logs) if entry is not None})


def _digest(paths: Iterable[Path]) -> str:
    """Return the SHA-256 of the contents of the files ``paths``, as hexadecimal digits.

    It shows if processes that share a store have different files. Missing files are skipped. If a
    file changes after its content was loaded and before this call, the digest is not that of the
    loaded content. But the next call of ``PinFiles.snapshot`` notices the change, and reads the
    file again.
    """
    found = hashlib.sha256()
    for path in paths:
        with suppress(OSError):
            found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def _mark(path: Path) -> object:
    """Return a value that changes if a file changes: its times, size and inode.

    There are two times: that of the last change of the content, and that of the last change of the
    inode. The second one also changes with the permissions, which can make an unreadable file
    readable. Return None if the file is missing.
    """
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino


@dataclass
class Patterns:
    """Maps hosts to the patterns of pin sets that cover them, and to their *share*.

    A *share* is a monitored host, or all names that one pattern covers. Reports about its hosts are
    counted together, a part of each limit on stored reports is reserved for it, and so a flood of
    reports about one share doesn't hide another one. The names below a wildcard have one share
    because clients can report any name.

    Attributes:
        sets: the monitored pin sets.
        named: the host names in the settings that the monitor probes, such as names below a
            wildcard. Each has its own share.
    """

    sets: tuple[MonitoredPinSet, ...] = ()
    named: frozenset[str] = frozenset()
    _known: dict[str, str] = field(default_factory=dict)

    def renewed(self, sets: tuple[MonitoredPinSet, ...]) -> Patterns:
        """Return this object if its pin sets equal ``sets``, else a new object for ``sets``.

        An object remembers the patterns of hosts, so it is kept while the pin sets stay the same.
        """
        return self if self.sets == sets else Patterns(sets, self.named)

    def of(self, host: str) -> str:
        """Return the host pattern that covers a host; empty if the host is not monitored."""
        if (pattern := self._known.get(host)) is None:
            if len(self._known) >= _MAX_KNOWN_HOSTS:
                self._known.clear()
            pattern = self._known[host] = self._find(host)
        return pattern

    def share_of(self, host: str) -> str:
        """Return the name of the share to which a host belongs, for limits on reports about it.

        A share is a monitored host, or all names that one pattern covers. If a monitored pin set
        covers the host, the name is the host itself if the settings name it, else the pattern that
        covers it. It is empty for a host that is not monitored. Without pin sets, all hosts have
        one share, ``*``.
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
