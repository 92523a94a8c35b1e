"""A secret of the settings: it comes from a file or the environment, and shows itself to nobody."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from certpin.errors import ConfigError

if TYPE_CHECKING:
    from certpin.pinfile.fields import Table

_MOST_BYTES = 64 * 1024


@dataclass(frozen=True)
class Secret:
    """A text that stands in no log, no error and no page."""

    _text: str = field(repr=False)

    def reveal(self) -> str:
        """The text itself, for whoever has to send it."""
        return self._text

    def __str__(self) -> str:
        return "…"


def read_secret(table: Table, name: str) -> Secret:
    """``env:NAME``, ``file:PATH``, or the text itself. Raises ``ConfigError``."""
    return resolve(table.text(name), table.under(name))


def resolve(written: str, key: str) -> Secret:
    """What a setting says or leads to. Raises ``ConfigError``; the text itself is not in it."""
    kind, _, rest = written.partition(":")
    if kind == "env":
        if not (found := os.environ.get(rest)):
            raise ConfigError(
                f"the environment has no {rest[:80]}", key=key, fix=f"set {rest[:80]}"
            )
        return Secret(found)
    return _from_file(Path(rest), key) if kind == "file" else Secret(written)


def _from_file(path: Path, key: str) -> Secret:
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES).decode().strip()
    except (OSError, ValueError) as exc:
        raise ConfigError(f"{path} cannot be read", key=key, fix="check the path") from exc
    if not text:
        raise ConfigError(f"{path} is empty", key=key, fix="write the secret into it")
    return Secret(text)
