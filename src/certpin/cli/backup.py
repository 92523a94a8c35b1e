"""The backup of a host that is being added: a key that is made, or a pin that is known."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from certpin.cli.options import PASSPHRASE_VARIABLE
from certpin.errors import ConfigError
from certpin.pins import Pin
from certpin.x509 import KeyAlgorithm, new_private_key

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Backup:
    """What the user said of a backup. The key is made on first need, and written by ``write``."""

    file: Path | None
    algorithm: KeyAlgorithm
    passphrase: bytes | None = field(repr=False)
    given: str | None

    @cached_property
    def pin(self) -> Pin | None:
        """The pin of the backup, or ``None`` where there is no backup."""
        if self.file:
            return self._new_key[1]
        return Pin.parse(self.given) if self.given else None

    @property
    def note(self) -> str:
        """What stands in the pin file, so that the key is found again."""
        return f"key file {self.file.name}" if self.file else ""

    def write(self) -> None:
        """Write the key: for its owner alone, and never over another file."""
        if self.file is None:
            return
        try:
            descriptor = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as exc:
            raise ConfigError(
                f"the backup key cannot be written to {self.file}: {exc.strerror}",
                key="--backup-key",
                fix="name a file that does not exist yet, in a folder that does",
            ) from exc
        with os.fdopen(descriptor, "wb") as file:
            file.write(self._new_key[0])

    def advice(self) -> Iterator[str]:
        """What the user should hear of the key."""
        if self.file is None:
            return
        sealed = "encrypted" if self.passphrase else "NOT encrypted"
        yield f"The backup key is in {self.file} ({sealed}, mode 600)."
        yield "Keep it off the server and out of version control: it is for the day the first is lost."

    @cached_property
    def _new_key(self) -> tuple[bytes, Pin]:
        pem, public = new_private_key(self.algorithm, self.passphrase)
        return pem, Pin.of_key(public.spki_sha256)


_OPTIONS = (
    click.option(
        "--backup-key",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Make a new private key there (mode 600, never overwritten), and pin it.",
    ),
    click.option("--backup-pin", metavar="PIN", help="Pin this key, which you have elsewhere."),
    click.option(
        "--key-type",
        type=click.Choice(get_args(KeyAlgorithm)),
        default="p256",
        show_default=True,
        help="The kind of key that --backup-key makes.",
    ),
    click.option(
        "--ask-passphrase", is_flag=True, help="Ask for a passphrase that encrypts the new key."
    ),
)


def backup_options(command: Any) -> Any:
    """Give a command the options of a backup, and one argument, ``backup``, with them all."""

    @wraps(command)
    def with_backup(
        *,
        backup_key: Path | None,
        backup_pin: str | None,
        key_type: KeyAlgorithm,
        ask_passphrase: bool,
        **options: Any,
    ) -> Any:
        if backup_key and backup_pin:
            raise click.UsageError("give --backup-key or --backup-pin, not both")
        passphrase = _passphrase(ask_passphrase) if backup_key else None
        backup = Backup(backup_key, key_type, passphrase, backup_pin)
        return command(backup=backup, **options)

    wrapped: Any = with_backup
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def _passphrase(ask: bool) -> bytes | None:
    if ask:
        text: str = click.prompt(
            "Passphrase for the backup key", hide_input=True, confirmation_prompt=True, err=True
        )
        return text.encode()
    return os.environ.get(PASSPHRASE_VARIABLE, "").encode() or None
