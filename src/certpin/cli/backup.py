"""The backup of a host that is being added: a key that is made, or a pin that is known."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from certpin.cli.options import PASSPHRASE_VARIABLE
from certpin.errors import ConfigError
from certpin.pins import Pin
from certpin.x509 import printable
from certpin.x509.keys import KeyAlgorithm, new_private_key

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST_PASSPHRASE = 1023  # bytes, as OpenSSL takes them


@dataclass(frozen=True)
class Backup:
    """What the user said of a backup. The key is made on first need, put down by ``written``."""

    file: Path | None
    algorithm: KeyAlgorithm
    passphrase: bytes | None = field(repr=False)
    given: str | None

    @cached_property
    def pin(self) -> Pin | None:
        """The pin of the backup, or ``None`` where there is no backup."""
        if self.file:
            return self._new_key[1]
        return None if self.given is None else Pin.parse(self.given)

    @property
    def note(self) -> str:
        """What stands in the pin file, so that the key is found again."""
        return f"key file {printable(self.file.name)}" if self.file else ""

    @contextmanager
    def written(self) -> Iterator[None]:
        """Write the key before the block; if the block fails, there was never a key.

        It is for its owner alone (mode 600), and never goes over another file.
        """
        if self.file is None:
            yield
            return
        try:
            descriptor = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as exc:
            raise self._unwritable(exc) from exc
        try:
            self._fill(descriptor)
            yield
        except BaseException:
            with suppress(OSError):
                self.file.unlink()
            raise

    def advice(self) -> Iterator[str]:
        """What the user should hear of the key."""
        if self.file is None:
            return
        name = printable(str(self.file))
        if self.passphrase:
            yield f"The backup key is in {name} (mode 600, encrypted)."
        else:
            yield f"The backup key is in {name} (mode 600, NOT encrypted; see --ask-passphrase)."
        yield "Keep it off the server and out of version control, for the day the first is lost."

    def _fill(self, descriptor: int) -> None:
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(self._new_key[0])
                file.flush()
                os.fsync(file.fileno())
        except OSError as exc:
            raise self._unwritable(exc) from exc

    def _unwritable(self, exc: OSError) -> ConfigError:
        return ConfigError(
            f"the backup key cannot be written to {printable(str(self.file))}: {exc.strerror}",
            key="--backup-key",
            fix="name a file that does not exist yet, in a folder that does",
        )

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
        metavar="TYPE",
        help=f"What --backup-key makes: {', '.join(get_args(KeyAlgorithm))}.",
    ),
    click.option(
        "--ask-passphrase",
        is_flag=True,
        help="Ask for a passphrase that encrypts the new key, instead of "
        f"{PASSPHRASE_VARIABLE} in the environment.",
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
        if backup_key is not None and backup_pin is not None:
            raise click.UsageError("give --backup-key or --backup-pin, not both")
        if ask_passphrase and not backup_key:
            raise click.UsageError("--ask-passphrase is for the key that --backup-key makes")
        passphrase = _passphrase(ask_passphrase) if backup_key else None
        backup = Backup(backup_key, key_type, passphrase, backup_pin)
        return command(backup=backup, **options)

    wrapped: Any = with_backup
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def _passphrase(ask: bool) -> bytes | None:
    text = os.environ.get(PASSPHRASE_VARIABLE, "")
    if ask:
        text = click.prompt(
            "Passphrase for the backup key", hide_input=True, confirmation_prompt=True, err=True
        )
    passphrase = os.fsencode(text)
    if len(passphrase) > _LONGEST_PASSPHRASE:
        raise click.UsageError(f"a passphrase has at most {_LONGEST_PASSPHRASE} bytes")
    return passphrase or None
