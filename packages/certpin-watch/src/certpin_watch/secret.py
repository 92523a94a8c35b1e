"""Secrets of the settings: the text of each is in the settings, in a file, or in the environment.

A secret is read from its file or variable when it is first used, so that a command needs only the
secrets that it uses: ``certpin watch migrate`` runs without the password of a chat service.
``certpin serve`` reads all secrets when it starts.
"""

from __future__ import annotations

import logging
import os
import stat
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.support.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.pinfile.file import Table

_MAX_BYTES = 64 * 1024
_warned: set[Path] = set()  # files with a warning, which is logged once

log = logging.getLogger("certpin.watch")


@dataclass(frozen=True)
class Secret:
    """A secret text that never appears in a log, an error, a page or its own ``repr``.

    Attributes:
        key: the name of the setting. Its value is ``env:NAME`` if the secret is in that environment
            variable, ``file:PATH`` if it is in that file, else the secret itself. An empty ``key``
            means that the secret comes from no setting: then the value is always the secret itself.
    """

    _written: str = field(repr=False)
    key: str = ""

    def reveal(self) -> str:
        """Return the text of the secret. Its variable or file is read at the first call.

        Raises:
            ConfigError: the variable or the file is missing or empty. The error names it.
        """
        return self._found

    @cached_property
    def _found(self) -> str:
        return _look_up(self._written, self.key) if self.key else self._written

    def __str__(self) -> str:
        return "…"


def read_secret(table: Table, name: str) -> Secret:
    """Return the secret that a setting contains or refers to.

    If the setting refers to a file or an environment variable, this function does not read it.
    ``Secret.reveal`` does.

    Args:
        table: a table of the settings.
        name: the key of the setting in the table.

    Raises:
        ConfigError: the setting is missing, or its value is not a string.
    """
    return Secret(table.text(name), table.under(name))


def resolve(written: str, key: str) -> Secret:
    """Read the secret that the value of a command-line option contains or refers to, and return it.

    Args:
        written: the value: ``env:NAME``, ``file:PATH``, or the secret itself.
        key: the option, which errors name.

    Raises:
        ConfigError: the variable or the file is missing or empty.
    """
    secret = Secret(written, key)
    secret.reveal()
    return secret


def look_up_all(settings: object) -> None:
    """Read each secret in the settings from its variable or file, so that errors appear early.

    Secrets in nested tables are included.

    Raises:
        ConfigError: a variable or a file is missing or empty.
    """
    for secret in _secrets(settings):
        secret.reveal()


def _secrets(value: object) -> Iterator[Secret]:
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _secrets(item)
    elif is_dataclass(value):
        for item in fields(value):
            yield from _secrets(getattr(value, item.name))


def _look_up(written: str, key: str) -> str:
    kind, _, rest = written.partition(":")
    if kind == "env":
        if not (value := os.environ.get(rest)):
            raise ConfigError(
                f"the environment has no {rest[:80]}", key=key, fix=f"set {rest[:80]}"
            )
        return value
    return _from_file(Path(rest), key) if kind == "file" else written


def _from_file(path: Path, key: str) -> str:
    try:
        with path.open("rb") as file:
            warn_if_open(path, os.fstat(file.fileno()), "the secret in it")
            text = file.read(_MAX_BYTES).decode().strip()
    except (OSError, ValueError) as exc:
        raise ConfigError(f"{path} cannot be read", key=key, fix="check the path") from exc
    if not text:
        raise ConfigError(f"{path} is empty", key=key, fix="write the secret into it")
    return text


def warn_if_open(path: Path, found: os.stat_result, content: str) -> None:
    """Log a warning, once for each file, if every user of this machine can read or change it.

    Only the mode of the file is checked. The mode of its folder is NOT checked, although it can
    prevent access: a copy of the file in another folder would be open.

    Args:
        path: the file.
        found: the status of the file, from ``os.stat``.
        content: what the file contains, as text for the warning, such as "the secret in it".
    """
    bits = {"read": stat.S_IROTH, "change": stat.S_IWOTH}
    can = [verb for verb, bit in bits.items() if found.st_mode & bit]
    if can and stat.S_ISREG(found.st_mode) and os.name == "posix" and path not in _warned:
        _warned.add(path)
        name = printable(str(path))
        log.warning(
            "%s: every user with access to its folder can %s %s\n  fix: chmod 600 %s",
            *(name, " and ".join(can), content, name),
        )
