"""Compare the settings and pin files of the running instances of the service that share a store.

``watch.toml`` and the pin files have to be the same everywhere, but they are copied to one machine
after another. An instance with older files does not know some hosts, locations or notification
services. If it took them for removed, it would resolve alerts about problems that still exist. So
each instance stores the digests of its files while it runs, and follows two rules:

1. An instance treats nothing as removed while another instance runs with files that differ and are
   possibly newer: a higher version of a pin set, another file with the same version, a pin set that
   this instance does not know, or other settings. Then it resolves no alert, gives up no queued
   message, and ends no sighting. If it is unknown which of two files is newer, the rule applies to
   both instances.
2. An instance does not take the leases for alerts and probes while another instance runs with the
   same settings and newer pin sets, so that the other one takes them. If the other one doesn't take
   a lease for some time, this instance takes it (``Deference``), because an evaluation with older
   pins is better than none.

Only instances that run count: a row expires ``InstanceFiles.alive_for`` seconds after its instance
last stored it, and an instance that stops deletes it. NOT prevented: if all instances that know a
host stop, the others take it for removed, and resolve its alerts.

An instance is a process. Its identity is a random number, because two machines can have the same
host name and the same path of the settings file. These names are only shown to users. The files of
the instances are stored as rows of the table ``leases``.
"""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, or_, select

from certpin.support.text import printable
from certpin_watch.store.engine import insert
from certpin_watch.store.tables.service import INSTANCES, LEASES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sqlalchemy import Connection, Row

    from certpin_watch.settings import ServiceSettings
    from certpin_watch.snapshot import MonitoredPinSet

SETTINGS_FILE = "watch.toml"
_MIN_ALIVE = 90  # seconds; a failed task is restarted within a minute
_MAX_ALIVE = 4 * 3600  # seconds: four of the rarest evaluations
_MAX_AHEAD = 600  # seconds by which the clock of another instance may be ahead
_TIMES = 10  # an older instance may have a lease this many times as long as it left it to a newer
_IS_INSTANCE = LEASES.c.name.startswith(INSTANCES, autoescape=True)


@dataclass(frozen=True)
class InstanceFiles:
    """The settings and pin files of an instance of the service.

    Attributes:
        process: a random identity (``Watch.process``).
        place: the machine and the settings file, for users.
        alive_for: for how many seconds the instance counts as running after it last stored its
            files.
        settings: a digest of the settings that decide about hosts, rules and messages.
        pin_sets: the version of each pin set, and a digest of its files, by the pin set's name.
    """

    process: str
    place: str
    alive_for: int
    settings: str
    pin_sets: Mapping[str, tuple[int, str]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, process: str, settings: ServiceSettings, sets: Iterable[MonitoredPinSet]
    ) -> InstanceFiles:
        """Return the settings and pin files of this process, as digests and versions.

        Secrets in the settings are not part of the digest. ``process`` is the random ID of the
        process, ``settings`` are the settings, and ``sets`` the monitored pin sets.
        """
        parts = (settings.alerts, settings.monitor, [path.name for path in settings.pins])
        file = (settings.file or Path(SETTINGS_FILE)).absolute()
        return cls(
            process=process,
            place=printable(f"{socket.gethostname()}:{file}"),
            alive_for=max(_MIN_ALIVE, 4 * int(settings.alerts.every.total_seconds())),
            settings=sha256(repr(parts).encode(errors="backslashreplace")).hexdigest()[:32],
            pin_sets={found.pins.name: (found.pins.version, found.digest) for found in sets},
        )


@dataclass(frozen=True)
class FileComparison:
    """How the files of this instance differ from those of others that run.

    Attributes:
        differences: a sentence for each file of another instance that differs and is possibly
            newer. If there is one, this instance must not treat unknown hosts or services as
            removed.
        is_outdated: True if another instance runs with newer pin sets and the same settings.
        unreadable: the number of instances whose rows can't be read; they are ignored.
    """

    differences: tuple[str, ...] = ()
    is_outdated: bool = False
    unreadable: int = 0


class Deference:
    """Decides when an instance with outdated files must leave a lease to one with newer files.

    A lease is the right of one process to do some work. There are two periods in turn. In the
    first, the outdated instance must not have the lease, so that the newer one can take it. In the
    second, which is ten times as long, the outdated instance is allowed to have the lease, because
    the newer one has possibly failed.

    Args:
        seconds: the length of the first period, in seconds.
    """

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds
        self._since: int | None = None

    def may_hold(self, now: int, *, is_outdated: bool) -> bool:
        """Return True if this instance is allowed to take or keep the lease now.

        A lease is the right of one process to do some work.

        Args:
            now: seconds since 1970.
            is_outdated: True if another instance runs with newer pin sets
                (``FileComparison.is_outdated``). The result is then False at first, so that the
                other instance can take the lease, and True later, in case it has failed (see the
                class). If ``is_outdated`` is False, the result is always True.
        """
        if not is_outdated:
            self._since = None
            return True
        if self._since is None or not 0 <= now - self._since < self._seconds * (1 + _TIMES):
            self._since = now
        return now - self._since >= self._seconds


def compare_files(connection: Connection, mine: InstanceFiles, now: int) -> FileComparison:
    """Compare the settings and pin files of this instance with those of other running instances.

    ``mine`` are the files of this instance. The others have stored theirs. ``now`` is in seconds
    since 1970.
    """
    is_other = (_IS_INSTANCE, LEASES.c.name != _name(mine.process))
    rows = select(LEASES).where(*is_other, LEASES.c.until > now)
    differences: list[str] = []
    outdated, unreadable = False, 0
    for row in connection.execute(rows.order_by(LEASES.c.name)):
        theirs = _decode(row)
        if theirs is None:
            unreadable += 1
            continue
        differences += [f"{text} at {theirs.place}" for text in _differences(mine, theirs)]
        outdated = outdated or _is_newer(theirs, mine)
    return FileComparison(tuple(differences), outdated, unreadable)


def record_files(connection: Connection, mine: InstanceFiles, now: int) -> None:
    """Store the files of this instance, which shows other instances that it runs.

    The rows of instances that don't run any more are deleted.

    Args:
        connection: a transaction that may write.
        mine: the files of this instance.
        now: in seconds since 1970.
    """
    data = {"place": mine.place, "settings": mine.settings, "pin_sets": mine.pin_sets}
    values = {"holder": json.dumps(data, sort_keys=True), "until": now + mine.alive_for}
    row = insert(connection, LEASES).values(name=_name(mine.process), term=1, **values)
    connection.execute(row.on_conflict_do_update(index_elements=[LEASES.c.name], set_=values))
    ended = or_(LEASES.c.until <= now, LEASES.c.until > now + _MAX_ALIVE + _MAX_AHEAD)
    connection.execute(delete(LEASES).where(_IS_INSTANCE, ended))


def forget_files(connection: Connection, process: str) -> None:
    """Delete the stored files of an instance that stops; ``process`` is its identity."""
    connection.execute(delete(LEASES).where(LEASES.c.name == _name(process)))


def _name(process: str) -> str:
    return f"{INSTANCES}{process}"


def _decode(row: Row[Any]) -> InstanceFiles | None:
    """Return the settings and pin files of an instance, as its row in the database has them.

    Return None if a different release of certpin wrote the row in another form.
    """
    try:
        data = json.loads(row.holder)
        sets = {
            str(name): (int(version), str(digest))
            for name, (version, digest) in data["pin_sets"].items()
        }
        return InstanceFiles(
            row.name.removeprefix(INSTANCES),
            *(printable(str(data["place"])), 0, str(data["settings"]), sets),
        )
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None


def _differences(mine: InstanceFiles, theirs: InstanceFiles) -> Iterator[str]:
    """Yield a text for each file of another instance that differs and is possibly newer.

    ``mine`` are the files of this instance, ``theirs`` those of the other one.
    """
    if mine.settings != theirs.settings:
        yield SETTINGS_FILE
    for name, (version, digest) in sorted(theirs.pin_sets.items()):
        own_version, own_digest = mine.pin_sets.get(name, (0, ""))
        shown = f"the pin set {printable(name)}"
        if not own_version:
            yield f"{shown} (unknown here)"
        elif version > own_version:
            yield f"{shown} (version {own_version} here, {version} there)"
        elif version == own_version and digest != own_digest:
            yield f"{shown} (version {version}; its file, its journal or a file that it names)"


def _is_newer(theirs: InstanceFiles, mine: InstanceFiles) -> bool:
    """Return True if another instance has a newer pin set, no older one, and the same settings.

    ``mine`` are the files of this instance, ``theirs`` those of the other one. The settings must be
    the same because they can disable probes and alerts: then the other instance would not do the
    work that this one leaves to it.
    """
    if theirs.settings != mine.settings or theirs.pin_sets.keys() != mine.pin_sets.keys():
        return False
    steps = [pair[0] - mine.pin_sets[name][0] for name, pair in theirs.pin_sets.items()]
    return min(steps, default=0) >= 0 and max(steps, default=0) > 0
