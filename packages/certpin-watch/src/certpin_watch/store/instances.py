"""Compare the settings and pin files of all instances of the service that share a store.

``watch.toml`` and the pin files have to be the same everywhere, but they are copied to one machine
after another. An instance with older files does not know some hosts, locations or notification
services. If it took them for removed, it would resolve alerts about problems that still exist. So
each instance stores the digests of its files, and follows three rules:

1. If another instance has a higher version of a pin set, this instance resolves no alert, gives up
   no message, and ends no sighting. The same applies if the other one had other settings, another
   file with the same version, or a pin set that is unknown here, within the last ``_CURRENT``
   seconds. Then it is unknown which file is newer, so the rule may apply to both instances.
2. An instance with an older pin set does not evaluate or probe while an instance runs that has the
   same settings, and newer pin sets.
3. What an instance knew counts after it stopped, too, because it may be restarted. An instance that
   starts at the same place (machine and settings file) replaces it.

The rows are in ``leases``, and expire ``_REMEMBERED`` seconds after an instance was last seen.
"""

from __future__ import annotations

import json
import secrets
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
_CURRENT = 3600  # seconds after an instance was last seen for which its settings count
_REMEMBERED = 7 * 86400  # seconds after which its pin-set versions count no more
_MAX_AHEAD = 600  # seconds by which the clock of another instance may be ahead
_MIN_RUNNING = 60  # seconds after which an instance that was not seen does not run, at least
_PROCESS = secrets.token_hex(8)  # differs between processes, also of one machine
_IS_INSTANCE = LEASES.c.name.startswith(INSTANCES, autoescape=True)


@dataclass(frozen=True)
class InstanceFiles:
    """The settings and pin files of an instance of the service.

    Attributes:
        place: the machine and the settings file.
        running_for: the seconds without contact after which another instance counts as stopped.
        settings: a digest of the settings that decide about hosts, rules and messages.
        pin_sets: the version of each pin set, and a digest of its files, by the pin set's name.
    """

    place: str
    running_for: int
    settings: str
    pin_sets: Mapping[str, tuple[int, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: ServiceSettings, sets: Iterable[MonitoredPinSet]) -> InstanceFiles:
        """Return the files of this process. Secrets in the settings are not part of the digest."""
        parts = (settings.alerts, settings.monitor, [path.name for path in settings.pins])
        file = (settings.file or Path(SETTINGS_FILE)).absolute()
        return cls(
            place=f"{socket.gethostname()}:{file}",
            running_for=max(_MIN_RUNNING, 4 * int(settings.alerts.every.total_seconds())),
            settings=sha256(repr(parts).encode()).hexdigest()[:32],
            pin_sets={found.pins.name: (found.pins.version, found.digest) for found in sets},
        )


@dataclass(frozen=True)
class FileComparison:
    """How the files of this instance differ from those of others.

    Attributes:
        differences: a sentence for each file of another instance that differs, and may be newer. If
            there is one, this instance must not treat unknown hosts or services as removed.
        is_outdated: True if an instance runs that has newer pin sets and the same settings.
    """

    differences: tuple[str, ...] = ()
    is_outdated: bool = False


def compare_files(connection: Connection, mine: InstanceFiles, now: int) -> FileComparison:
    """Compare the files of this instance with those that other instances stored.

    ``now`` is in seconds since 1970.
    """
    is_other = (_IS_INSTANCE, LEASES.c.name != _name(mine), LEASES.c.until > now)
    differences: list[str] = []
    outdated = False
    for row in connection.execute(select(LEASES).where(*is_other).order_by(LEASES.c.name)):
        theirs = _decode(row)
        age = now - (row.until - _REMEMBERED)
        texts = _differences(mine, theirs, is_current=age < _CURRENT)
        differences += [f"{text} at {printable(theirs.place)}" for text in texts]
        outdated = outdated or (age <= mine.running_for and _is_newer(theirs, mine))
    return FileComparison(tuple(differences), outdated)


def record_files(
    connection: Connection, mine: InstanceFiles, now: int, *, is_start: bool = False
) -> None:
    """Store the files of this instance; delete those that are too old or were replaced.

    Args:
        connection: a transaction that may write.
        mine: the files of this instance.
        now: in seconds since 1970.
        is_start: this process stores its files for the first time. Then it replaces an earlier one
            at the same place. (If that one still runs, it stores its files again.)
    """
    text = json.dumps({"settings": mine.settings, "pin_sets": mine.pin_sets}, sort_keys=True)
    values = {"holder": text, "until": now + _REMEMBERED}
    row = insert(connection, LEASES).values(name=_name(mine), term=1, **values)
    connection.execute(row.on_conflict_do_update(index_elements=[LEASES.c.name], set_=values))
    unwanted = [LEASES.c.until <= now, LEASES.c.until > now + _REMEMBERED + _MAX_AHEAD]
    if is_start:
        unwanted.append(LEASES.c.name.startswith(_prefix(mine.place), autoescape=True))
    others = (_IS_INSTANCE, LEASES.c.name != _name(mine))
    connection.execute(delete(LEASES).where(*others, or_(*unwanted)))


def _prefix(place: str) -> str:
    return f"{INSTANCES}{place} "


def _name(instance: InstanceFiles) -> str:
    return f"{_prefix(instance.place)}{_PROCESS}"


def _decode(row: Row[Any]) -> InstanceFiles:
    data = json.loads(row.holder)
    place = row.name.removeprefix(INSTANCES).rpartition(" ")[0]
    return InstanceFiles(
        place, 0, data["settings"], {name: (*pair,) for name, pair in data["pin_sets"].items()}
    )


def _differences(mine: InstanceFiles, theirs: InstanceFiles, *, is_current: bool) -> Iterator[str]:
    """Yield a text for each file of another instance that differs, and is or may be newer.

    ``is_current`` is True if that instance was seen recently. Otherwise, only higher versions of
    pin sets count.
    """
    if is_current and mine.settings != theirs.settings:
        yield SETTINGS_FILE
    for name, (version, digest) in sorted(theirs.pin_sets.items()):
        own_version, own_digest = mine.pin_sets.get(name, (0, ""))
        shown = f"the pin set {printable(name)}"
        if own_version and version > own_version:
            yield f"{shown} (version {own_version} here, {version} there)"
        elif is_current and not own_version:
            yield f"{shown} (unknown here)"
        elif is_current and version == own_version and digest != own_digest:
            yield f"{shown} (version {version}; its file, its journal or a file that it names)"


def _is_newer(theirs: InstanceFiles, mine: InstanceFiles) -> bool:
    """Return True if another instance has a newer pin set, no older one, and the same settings.

    With other settings it might not probe or evaluate at all.
    """
    if theirs.settings != mine.settings or theirs.pin_sets.keys() != mine.pin_sets.keys():
        return False
    steps = [pair[0] - mine.pin_sets[name][0] for name, pair in theirs.pin_sets.items()]
    return min(steps, default=0) >= 0 and max(steps, default=0) > 0
