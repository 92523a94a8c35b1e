"""The dates of the signatures beside a pin file, where there is a folder of signed sets.

Read without belief: whose signatures they are is judged by ``certpin publish status`` and by
clients. A date that somebody forged there would be told too early or too late, and changes nothing.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin_watch.alerts.evidence import Role

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from certpin_watch.snapshot import WatchedSet

_ROLES = ("root", "targets", "snapshot", "timestamp")
_MOST_BYTES = 4 * 1024 * 1024
_MOST_FILES = 10_000


def roles_of(watched: WatchedSet, now: int) -> Iterator[Role]:
    """The newest of each role that can be read. A folder that is not there has none."""
    folder = watched.path.parent / "publish"
    metadata = folder / "site" / "metadata"
    lives = _lives(folder / "publish.toml")
    for role in _ROLES:
        newest = _newest(metadata, role)
        expires = _expires(newest) if newest else None
        if expires is not None:
            soon = expires - now <= lives[role] / 3
            yield Role(watched.pins.name, role, expires, soon)


def _lives(path: Path) -> dict[str, int]:
    """How many seconds a signature of each role holds, by ``publish.toml`` or by default."""
    from certpin.publish.settings import DEFAULT_DAYS, load

    try:
        days = load(path).days
    except ConfigError:
        days = DEFAULT_DAYS
    return {role: days[role] * 86400 for role in _ROLES}


def _newest(metadata: Path, role: str) -> Path | None:
    if role == "timestamp":
        return metadata / "timestamp.json"
    numbers: dict[int, Path] = {}
    try:
        for at, path in enumerate(metadata.iterdir()):
            number, _, rest = path.name.partition(".")
            if rest == f"{role}.json" and number.isdecimal() and len(number) < 16:
                numbers[int(number)] = path
            if at > _MOST_FILES:
                break
    except OSError:
        return None
    return numbers[max(numbers)] if numbers else None


def _expires(path: Path) -> int | None:
    try:
        with path.open("rb") as file:
            signed = json.loads(file.read(_MOST_BYTES))["signed"]
        moment = datetime.fromisoformat(signed["expires"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
