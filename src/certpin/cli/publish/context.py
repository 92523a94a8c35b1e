"""What the commands of ``certpin publish`` share: the folder, the pin file and its journal."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from certpin.cli.main import extra_needed
from certpin.cli.rotate.context import RotationFiles
from certpin.errors import ConfigError
from certpin.pins import utc_now
from certpin.x509.keys import PublicKey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from securesystemslib.signer import Key

    from certpin.updates.publish.desk import Desk
    from certpin.updates.publish.waiting import Wait


def tuf_needed() -> AbstractContextManager[None]:
    """Say what to install if a package for signed pin sets is missing."""
    return extra_needed("publish", "a signed pin set")


@dataclass(frozen=True)
class Office:
    """The folder ``publish`` beside a pin file, and all that decides what is signed in it."""

    path: Path
    folder: Path
    ledger: RotationFiles
    desk: Desk

    @property
    def pushed(self) -> bool | None:
        """Whether the signed version went out; ``None`` where none is signed, or nobody knows."""
        current = self.desk.state.current
        known = [
            each.pending
            for each in self.ledger.deployed.versions
            if current and each.number == current.pins.version
        ]
        return not any(known) if known else None

    @property
    def waits(self) -> tuple[Wait, ...]:
        """What waits for signatures."""
        from certpin.updates.publish.desk import prepare
        from certpin.updates.publish.waiting import waits

        return waits(prepare(self.desk, frozenset()))


def open_office(path: Path) -> Office:
    """Read everything. Raises ``PinFileError``."""
    with tuf_needed():
        from certpin.updates.publish import content, folder, settings, state
        from certpin.updates.publish.desk import Desk

    here = path.parent / folder.FOLDER
    ours = settings.load(here / folder.SETTINGS)
    ledger = RotationFiles(path)
    offer: content.Content | ConfigError
    try:
        offer = content.read(path, flutter=ours.flutter)
    except ConfigError as exc:
        offer = exc
    published = {
        each.version: each.pins
        for each in ledger.history.events
        if each.step == "publish" and each.signed and each.version and each.pins
    }
    desk = Desk(
        state.believed(folder.read(here), ledger.pins.name, here),
        ours,
        utc_now().replace(microsecond=0),
        offer,
        published,
        max(published, default=None),
    )
    return Office(path, here, ledger, desk)


@contextmanager
def held_office(path: Path) -> Iterator[Office]:
    """The same, for a command that writes: no other one does meanwhile."""
    with tuf_needed():
        from certpin.updates.publish import folder

    with folder.held(path.parent / folder.FOLDER):
        yield open_office(path)


def wait_facts(wait: Wait) -> dict[str, Any]:
    """Something that waits, as JSON."""
    return {
        "role": wait.role,
        "version": wait.version or None,
        "why": wait.why,
        "root": wait.root or None,
        "missing": wait.missing,
        "keys": list(wait.keys),
        "problem": wait.problem or None,
    }


def wait_words(wait: Wait) -> str:
    """The same for people."""
    if wait.problem:
        return f"{wait.role} must not be signed: {wait.problem}"
    keys = ", ".join(short(key) for key in wait.keys)
    some = f"{wait.missing} of these keys" if len(wait.keys) > wait.missing else "the key"
    why = f" ({wait.why})" if wait.role != "root" else f" (as root {wait.root} demands)"
    return f"{wait.role} {wait.version} waits for {some}{why}: {keys}"


def short(key: str) -> str:
    """The begin of the id of a key: nobody has two keys that begin like this."""
    return f"{key[:12]}…"


def kind_of(key: Key | None) -> str:
    """A key in words: ``EC P-256``. A draft of a root may hold anything."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from certpin.updates.publish.keys import half_of

    half = half_of(key) if key else None
    if half is None:
        return "no key that signs"
    spki = half.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(spki, "public key").key
