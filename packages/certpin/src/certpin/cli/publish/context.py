"""Shared by the commands of ``certpin publish``: the folder, the pin file and its journal."""

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

    from certpin.publish.signing_plan import PendingSignature, SigningPolicy


def tuf_needed() -> AbstractContextManager[None]:
    """Name the extra to install if a package for signed pin sets is missing."""
    return extra_needed("publish", "a signed pin set")


@dataclass(frozen=True)
class PublishContext:
    """The folder ``publish`` beside a pin file: its signed metadata, and its signing settings."""

    path: Path
    folder: Path
    files: RotationFiles
    policy: SigningPolicy

    @property
    def pushed(self) -> bool | None:
        """True if the signed version was pushed; ``None`` if unknown, or if none is signed."""
        current = self.policy.state.current
        known = [
            version.pending
            for version in self.files.deployed.versions
            if current and version.number == current.pins.version
        ]
        return not any(known) if known else None

    @property
    def pending(self) -> tuple[PendingSignature, ...]:
        """The metadata files that need signatures, with the keys that must still sign each."""
        from certpin.publish.signing_plan import pending, prepare

        return pending(prepare(self.policy, frozenset()))


def open_context(path: Path) -> PublishContext:
    """Read the folder, the pin file and the journal.

    Raises:
        PinFileError: a file is invalid.
        JournalError: the journal is invalid.
    """
    with tuf_needed():
        from certpin.publish import content, folder, settings, state
        from certpin.publish.signing_plan import SigningPolicy

    here = path.parent / folder.FOLDER
    ours = settings.load(here / folder.SETTINGS)
    files = RotationFiles(path)
    offer: content.Content | ConfigError
    try:
        offer = content.read(path, flutter=ours.flutter)
    except ConfigError as exc:
        offer = exc
    published = {
        event.version: event.pins
        for event in files.history.events
        if event.step == "publish" and event.signed and event.version and event.pins
    }
    policy = SigningPolicy(
        state.verify_contents(folder.read(here), files.pins.name, here),
        ours,
        utc_now().replace(microsecond=0),
        offer,
        published,
        max(published, default=None),
    )
    return PublishContext(path, here, files, policy)


@contextmanager
def locked_context(path: Path) -> Iterator[PublishContext]:
    """Open the context for a command that writes, with a lock against other writers.

    Raises:
        PinFileError: a file is invalid.
        JournalError: the journal is invalid.
    """
    with tuf_needed():
        from certpin.publish import folder

    with folder.held(path.parent / folder.FOLDER):
        yield open_context(path)


def wait_json(wait: PendingSignature) -> dict[str, Any]:
    """Return a metadata file that needs signatures as JSON: its role, and the missing keys."""
    return {
        "role": wait.role,
        "version": wait.version or None,
        "why": wait.why,
        "root": wait.root or None,
        "missing": wait.missing,
        "keys": list(wait.keys),
        "problem": wait.problem or None,
    }


def wait_text(wait: PendingSignature) -> str:
    """Return a metadata file that needs signatures as text: its role, and the missing keys."""
    if wait.problem:
        return f"{wait.role} must not be signed: {wait.problem}"
    keys = ", ".join(short(key) for key in wait.keys)
    some = f"{wait.missing} of these keys" if len(wait.keys) > wait.missing else "the key"
    why = f" ({wait.why})" if wait.role != "root" else f" (as root {wait.root} demands)"
    return f"{wait.role} {wait.version} waits for {some}{why}: {keys}"


def short(key: str) -> str:
    """Return the beginning of a key ID, which is enough to recognise a key."""
    return f"{key[:12]}…"


def kind_of(key: Key | None) -> str:
    """Return the type of a key, such as ``EC P-256``; "not a signing key" for unusable data.

    The draft of a root may contain any data.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from certpin.publish.keys import public_key_of

    public_key = public_key_of(key) if key else None
    if public_key is None:
        return "not a signing key"
    spki = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(spki, "public key").key
