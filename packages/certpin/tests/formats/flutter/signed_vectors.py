"""Regenerate the test vectors of signed sets: python -m tests.formats.flutter.signed_vectors

Each vector has the files of a server at several times, and the version that an app then has in
force: valid sets and each attack. python-tuf makes them and decides on them. certpin's tests check
that the exported Dart code decides alike, as do the tests of the Dart package. Each run has new
keys, which are not kept.
"""

from __future__ import annotations

import copy
import json
import tempfile
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from certpin.formats.flutter.published import PINS_JSON, published
from certpin.pinfile import PinSet
from tests import kit
from tests.formats.flutter import signed_cases
from tests.formats.flutter._judge import Judge
from tests.formats.flutter.vectors import ROOT
from tests.updates._publisher import Repository
from tests.updates.conftest import World

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TARGET = ROOT / "packages/certpin-dart/test/updates_vectors.json"
START = datetime(2027, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Moment:
    """One update of an app in a test vector: the time, the server's files, and the expected result.

    ``reason`` is that of a refusal, or an empty text; ``version`` is then in force in the app.
    """

    now: datetime
    files: Mapping[str, bytes]
    reason: str
    version: int


@dataclass(frozen=True)
class Case:
    """A test vector: an app that contains ``pins`` and ``root``, and its updates in order."""

    name: str
    pins: bytes
    root: bytes
    moments: tuple[Moment, ...]


@dataclass
class Bank(World):
    """A publisher of signed pin sets, for the attacks of tests/updates and those for Flutter.

    It also publishes ``pins.json``. ``shown`` has the server's files at each time of an update.
    """

    shown: list[tuple[datetime, Mapping[str, bytes]]] = field(default_factory=list)

    def publish(self, version: int, **fields: Any) -> None:
        text = self.text(version, **fields)
        self.repository.publish(text, {PINS_JSON: published(PinSet.parse(text))[0]})

    def let_follow(self) -> None:
        folder = self.repository.folder
        paths = [path for path in folder.rglob("*") if path.is_file()]
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        self.shown.append((self.now, files))


def bank(folder: Path) -> Bank:
    """Return a publisher with a repository below this folder, which has published version 2."""
    repository = Repository(folder / "site", now=START)
    identity = SimpleNamespace(pin=kit.NOBODY_ELSE)
    made = Bank(repository, None, identity, folder / "cache", now=START + HOUR)  # type: ignore[arg-type]  # no server, no certificates
    made.publish(2)
    return made


def again(first: Bank, folder: Path) -> Bank:
    """Return a copy of the bank with the same keys and its own folder."""
    made = copy.copy(first)
    made.repository = copy.copy(first.repository)
    made.repository.folder = first.repository.copy(folder / "site")
    for name in ("keys", "versions", "days", "files"):
        setattr(made.repository, name, copy.copy(getattr(first.repository, name)))
    made.repository.keys = {role: list(keys) for role, keys in first.repository.keys.items()}
    made.cache, made.shown = folder / "cache", []
    return made


def cases(folder: Path) -> list[Case]:
    """Return a test vector for each event and attack of ``signed_cases.CASES``."""
    first = bank(folder / "first")
    attacks = signed_cases.CASES.items()
    return [case(name, again(first, folder / str(at)), do) for at, (name, do) in enumerate(attacks)]


def case(name: str, world: Bank, do: Callable[[Bank], None]) -> Case:
    """Return a test vector: an app updates to version 2, an event happens, and the app updates.

    Args:
        name: the name of the vector.
        world: the publisher.
        do: the event, which changes the publisher.
    """
    pins = world.text(1).encode()
    world.let_follow()
    do(world)
    world.let_follow()
    judge = Judge(world.cache, pins, world.repository.first_root)
    moments = [Moment(now, files, *judge.verdict(files, now)) for now, files in world.shown]
    bundled, _ = published(PinSet.parse(pins.decode()))
    return Case(name, bundled, world.repository.first_root, tuple(moments))


def written(made: list[Case]) -> str:
    """Return the test vectors as JSON, in which each file occurs once, by its digest."""
    held: dict[str, str] = {}

    def put(data: bytes) -> str:
        digest = sha256(data).hexdigest()[:16]
        held[digest] = b64encode(data).decode()
        return digest

    listed = [
        {
            "name": each.name,
            "pins": put(each.pins),
            "root": put(each.root),
            "moments": [
                {
                    "now": moment.now.isoformat().replace("+00:00", "Z"),
                    "files": {path: put(data) for path, data in sorted(moment.files.items())},
                    "reason": moment.reason,
                    "version": moment.version,
                }
                for moment in each.moments
            ],
        }
        for each in made
    ]
    return json.dumps({"cases": listed, "files": held}, indent=1) + "\n"


def stored() -> list[Case]:
    """Return the test vectors that are stored with the tests of the Dart package."""
    data = json.loads(TARGET.read_text("ascii"))
    held = {digest: b64decode(text) for digest, text in data["files"].items()}
    return [
        Case(
            each["name"],
            held[each["pins"]],
            held[each["root"]],
            tuple(_moment(moment, held) for moment in each["moments"]),
        )
        for each in data["cases"]
    ]


def _moment(data: dict[str, Any], held: Mapping[str, bytes]) -> Moment:
    files = {path: held[digest] for path, digest in data["files"].items()}
    return Moment(datetime.fromisoformat(data["now"]), files, data["reason"], data["version"])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        TARGET.write_text(written(cases(Path(scratch))), encoding="ascii")
