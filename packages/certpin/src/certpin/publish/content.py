"""The content to sign and publish: a pin file, and the files that the pin file names.

These are the files of trust anchors, and the list of Certificate Transparency logs.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from tuf.api.metadata import TargetFile, Targets

from certpin.errors import ConfigError, PinFileError
from certpin.formats.flutter.published import PINS_JSON, published
from certpin.pinfile import PinSet
from certpin.pinfile.editor import public_text
from certpin.pinfile.file import read_text
from certpin.pins.policy import meaning
from certpin.support.files import is_plain
from certpin.updates.settings import PIN_FILE, Limits, target_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from certpin.formats.projection import Omission
    from certpin.pins import PinSet as AnyPinSet
    from certpin.updates.trust import SignedSet

LIMITS = Limits()  # the default limits of a client: larger files are not signed


@dataclass(frozen=True)
class Content:
    """A pin set to sign, with the files that clients will fetch.

    Attributes:
        pins: the pin set.
        files: the bytes of the pin file, of the files that it names (trust anchors, list of CT
            logs), and of ``pins.json`` for Flutter apps, by file name. They become TUF targets.
    """

    pins: AnyPinSet
    files: Mapping[str, bytes]

    @classmethod
    def of(cls, signed: SignedSet) -> Content:
        """Return the content of an already signed pin set: its pins, and its signed files."""
        return cls(signed.pins, signed.files)

    @property
    def omissions(self) -> tuple[Omission, ...]:
        """The parts of the pin set that Flutter apps can't enforce.

        Flutter apps read their pins from the file ``pins.json``. If the content has no such file,
        the result is empty.
        """
        return published(self.pins)[1] if PINS_JSON in self.files else ()

    def targets(self, number: int, expires: datetime) -> Targets:
        """Return unsigned TUF targets metadata that lists the files of this content.

        The same arguments give the same bytes, so that several signers can sign the same metadata.

        Args:
            number: the version of the metadata, which is not the version of the pin set.
            expires: the time at which the metadata expires.
        """
        custom = {"pin-set": self.pins.name, "version": self.pins.version}
        infos = {name: _info(name, data, custom) for name, data in sorted(self.files.items())}
        return Targets(number, expires=expires, targets=infos)


def read(path: Path, *, flutter: bool, text: str | None = None) -> Content:
    """Read a pin file, and the files that it names, for signing.

    The copy to sign contains no servers, no comments and no notes on pins, because clients don't
    need them, and anyone can read the copy.

    Args:
        path: the pin file.
        flutter: True to add ``pins.json`` for Flutter apps.
        text: the new text of the pin file, if a command will write it to the file after this call;
            it is then signed instead of the current text. Only the states of pins are allowed to
            differ. ``None`` to sign the current text.

    Raises:
        PinFileError: the pin file can't be read, or has parts that must not be signed.
    """
    pins = PinSet.load(path)
    if pins.debug is not None:
        raise PinFileError(
            "a signed set has no debug section", path=path, key="debug", fix="take it out"
        )
    names = named_files(pins)
    data = {name: _beside(path, name) for name in names}
    text = read_text(path) if text is None else text
    # The file may have changed between the two reads.
    read_again = PinSet.parse(text, path=path, files=data)
    if meaning(read_again) != meaning(pins) or read_again.version != pins.version:
        raise PinFileError("the file changed while it was read", path=path, fix="try again")
    pins = read_again
    files = {PIN_FILE: public_text(text, path).encode(), **data}
    if flutter:
        files[PINS_JSON] = _for_flutter(pins, path)
    return Content(pins, files)


def named_files(pins: AnyPinSet) -> frozenset[str]:
    """Return the names of the files that a pin set uses: trust anchors, and the list of CT logs.

    The names are paths relative to the folder of the pin file.
    """
    logs = {pins.ct_logs.source} if pins.ct_logs else set()
    return frozenset(logs | {policy.trust.source for policy in pins.policies if policy.trust})


def require_published(pins: AnyPinSet, recorded: AnyPinSet | None, *, what: str = PIN_FILE) -> None:
    """Raise an error unless a pin set equals the one that the journal has under the same version.

    The rotation journal is a file beside the pin file that lists key rotations and published pin
    sets. `certpin publish sign` adds a version to the journal after the safety check of rotations
    (the gate) has passed.

    Args:
        pins: the pin set to compare.
        recorded: the pin set in the journal; ``None`` if the journal doesn't have this version.
        what: the name of the file with ``pins``, for the error.

    Raises:
        ConfigError: the version was not recorded, or its content differs.
    """
    if recorded is None:
        raise ConfigError(
            f"version {pins.version} is not recorded as a signed set",
            key="version",
            fix="sign the pin file with a targets key (certpin publish sign KEY…), or fetch the "
            "journal: git pull",
        )
    if pins.version != recorded.version or meaning(pins) != meaning(recorded):
        raise ConfigError(
            f"{what} is not version {recorded.version} as it was recorded",
            key="version",
            fix=f"give the file the next number (version = {recorded.version + 1}), or check out "
            "the recorded one",
        )


def restore_fix(signed: SignedSet) -> str:
    """Return advice for the case that ``publish/site`` has a signed pin set that the journal lacks.

    For example, a machine was lost after a push, and the signed files were copied back from the
    server, which doesn't have the journal. The caller has found that this is the case.

    Args:
        signed: the signed pin set in ``publish/site``.
    """
    name = target_path(PIN_FILE, signed.verified.targets[PIN_FILE].hashes["sha256"])
    return (
        f"get the journal that has version {signed.pins.version} (git pull); if none has it, copy "
        f"publish/site/{name} to the pin file, add its servers again, and sign it with a targets "
        "key, which records it: certpin publish sign KEY…; then push"
    )


def _info(name: str, data: bytes, custom: Mapping[str, object]) -> TargetFile:
    hashes = {"sha256": sha256(data).hexdigest()}
    return TargetFile(len(data), hashes, name, {"custom": dict(custom)})


def _for_flutter(pins: AnyPinSet, path: Path) -> bytes:
    try:
        return published(pins)[0]
    except ConfigError as exc:
        raise PinFileError(
            f"Flutter apps cannot follow it: {exc.problem}",
            path=path,
            key=exc.key,
            fix=f"{exc.fix}; if no Flutter app of yours follows signed sets, write "
            "flutter = false into publish/publish.toml",
        ) from exc


def _beside(path: Path, name: str) -> bytes:
    """Return the bytes of a file that the pin file names, such as a file of trust anchors.

    ``path`` is the pin file. The file ``name`` must be in the folder of the pin file, or below it.
    Links to files elsewhere are refused, because an unrelated file could be published by mistake.
    """
    file = path.parent / name
    if not is_plain(name) or name in {PIN_FILE, PINS_JSON}:
        raise _misplaced(path, name)
    try:
        if not file.resolve().is_relative_to(path.parent.resolve()):
            raise _misplaced(path, name)
        with file.open("rb") as opened:
            return opened.read(LIMITS.target + 1)
    except OSError as exc:
        raise PinFileError(f"{name!r} cannot be read: {exc.strerror}", path=path) from exc


def _misplaced(path: Path, name: str) -> PinFileError:
    return PinFileError(
        f"the file {name!r} cannot be published",
        path=path,
        fix="put it into the folder of the pin file, or below it, and name it from there",
    )
