"""A secret of the settings: it comes from a file or the environment, and shows itself to nobody.

It is looked for when it is first asked for, so that a command needs those alone that it uses: a
back-up is made without the password of the chat. What runs on asks for all of them at its start.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from certpin.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.pinfile.fields import Table

_MOST_BYTES = 64 * 1024


@dataclass(frozen=True)
class Secret:
    """A text that stands in no log, no error and no page.

    With the name of a setting, ``key``, it is what that setting says or leads to.
    """

    _written: str = field(repr=False)
    key: str = ""

    def reveal(self) -> str:
        """The text itself, for whoever has to send it: the same each time.

        Raises ``ConfigError`` where it leads nowhere; the text itself is not in it.
        """
        return self._found

    @cached_property
    def _found(self) -> str:
        return _look_up(self._written, self.key) if self.key else self._written

    def __str__(self) -> str:
        return "…"


def read_secret(table: Table, name: str) -> Secret:
    """``env:NAME``, ``file:PATH``, or the text itself, which is not looked for yet.

    Raises ``ConfigError`` where it is no text.
    """
    return Secret(table.text(name), table.under(name))


def resolve(written: str, key: str) -> Secret:
    """What an option says or leads to. Raises ``ConfigError``."""
    found = Secret(written, key)
    found.reveal()
    return found


def look_up_all(settings: object) -> None:
    """Look for each secret of a table and of those below it. Raises ``ConfigError``."""
    for each in _secrets(settings):
        each.reveal()


def _secrets(value: object) -> Iterator[Secret]:
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, tuple):
        for each in value:
            yield from _secrets(each)
    elif is_dataclass(value):
        for each in fields(value):
            yield from _secrets(getattr(value, each.name))


def _look_up(written: str, key: str) -> str:
    kind, _, rest = written.partition(":")
    if kind == "env":
        if not (found := os.environ.get(rest)):
            raise ConfigError(
                f"the environment has no {rest[:80]}", key=key, fix=f"set {rest[:80]}"
            )
        return found
    return _from_file(Path(rest), key) if kind == "file" else written


def _from_file(path: Path, key: str) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES).decode().strip()
    except (OSError, ValueError) as exc:
        raise ConfigError(f"{path} cannot be read", key=key, fix="check the path") from exc
    if not text:
        raise ConfigError(f"{path} is empty", key=key, fix="write the secret into it")
    return text
