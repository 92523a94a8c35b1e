"""Change ``pins.toml`` as a careful person would: comments, order and unknown keys stay."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from certpin.errors import PinFileError
from certpin.pinfile.file import PinSet
from certpin.pinfile.reader import SCHEMA

if TYPE_CHECKING:
    import tomlkit
    from tomlkit.items import Table

    from certpin.pins import HostPin, HostPolicy


class PinFileEditor:
    """A pin file that is being changed.

    Nothing is written before ``save``, which refuses a text that does not load (``PinFileError``):
    a command never leaves a broken file behind.
    """

    def __init__(self, path: Path, document: tomlkit.TOMLDocument) -> None:
        self.path = path
        self._document = document

    @classmethod
    def open(cls, path: Path) -> PinFileEditor:
        """Open a file that exists. Raises ``PinFileError``."""
        import tomlkit

        PinSet.load(path)  # the good errors come from there
        return cls(path, tomlkit.parse(path.read_text(encoding="utf-8")))

    @classmethod
    def new(cls, path: Path, name: str) -> PinFileEditor:
        """Begin a file that does not exist yet."""
        import tomlkit

        document = tomlkit.document()
        document.add(tomlkit.comment("Certificate pins: what each client of this name accepts."))
        document.add("schema", tomlkit.item(SCHEMA))
        document.add("name", tomlkit.item(name))
        document.add("version", tomlkit.item(0))
        return cls(path, document)

    @property
    def text(self) -> str:
        """The file as it would be saved."""
        return self._document.as_string()

    def has_host(self, pattern: str) -> bool:
        """Whether there is a policy of this very pattern."""
        return any(table.get("name") == pattern for table in self._document.get("host", ()))

    def add_host(self, policy: HostPolicy, *, trust: str = "system") -> None:
        """Append a policy. ``trust`` is the file that its anchors come from, as it will stand there."""
        import tomlkit

        table = tomlkit.table()
        table.trivia.indent = "\n"  # an empty line before the header
        table.add("name", str(policy.pattern))
        table.add("mode", policy.mode)
        table.add("match", policy.match)
        if policy.expires is not None:
            table.add("expires", policy.expires.date())
        if trust != "system":
            table.add("trust", trust)
        pins = tomlkit.aot()
        for entry in policy.pins:
            pins.append(_pin_table(entry))
        table.add("pin", pins)
        self._hosts().append(table)

    def raise_version(self) -> int:
        """Count the version up: a changed pin set is another one. Returns the new version."""
        version = int(self._document["version"]) + 1
        self._document["version"] = version
        return version

    def check(self) -> PinSet:
        """The pin set as it would be saved. Raises ``PinFileError`` if it would not load."""
        return PinSet.parse(self.text, path=self.path)

    def save(self) -> PinSet:
        """Write the file, whole or not at all. Raises ``PinFileError``."""
        pins = self.check()
        try:
            write_atomically(self.path, self.text.encode())
        except OSError as exc:
            raise PinFileError(f"it cannot be written: {exc.strerror}", path=self.path) from exc
        return pins

    def _hosts(self) -> tomlkit.items.AoT:
        import tomlkit

        if "host" not in self._document:
            self._document.add("host", tomlkit.aot())
        hosts: tomlkit.items.AoT = self._document["host"]
        return hosts


def write_atomically(path: Path, data: bytes) -> None:
    """Put a file in place by renaming, with the mode that the old one had. Raises ``OSError``."""
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def _pin_table(entry: HostPin) -> Table:
    import tomlkit

    table = tomlkit.table()
    table.add("pin", str(entry.pin))
    table.add("role", entry.role)
    table.add("state", entry.state)
    if entry.note:
        table.add("note", entry.note)
    return table
