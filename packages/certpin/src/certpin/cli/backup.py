"""The backup of a host: a key that is made, in a file or on a token, or a pin that is known."""

from __future__ import annotations

from contextlib import closing, contextmanager
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.choices import KEY_ALGORITHMS
from certpin.cli.options import PASSPHRASE_VARIABLE, ask_pin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.hsm import TokenKey
    from certpin.pins import Pin
    from certpin.x509.keys import KeyAlgorithm

_CALLED = {"what": "the backup key", "option": "--backup-key"}


class Backup:
    """What the user said of a backup. The key is made on first need, and kept by ``written``.

    ``place`` is where it is made: a file, or the URI of a PKCS#11 token. ``close()`` takes back a
    key that was made on a token and is not to be kept.
    """

    def __init__(
        self,
        place: str | None,
        algorithm: KeyAlgorithm,
        passphrase: bytes | None,
        given: str | None,
    ) -> None:
        self.place = place
        self.given = given
        self._algorithm = algorithm
        self._passphrase = passphrase
        self._on_token: TokenKey | None = None
        self._kept = False

    @cached_property
    def pin(self) -> Pin | None:
        """The pin of the backup, or ``None`` where there is no backup."""
        from certpin.hsm import generate_key
        from certpin.pins import Pin

        if self._file:
            return self._new_key[1]
        if self.place is not None:
            self._on_token = generate_key(self.place, ask_pin, self._algorithm)
            return Pin.of_key(self._on_token.key.spki_sha256)
        return None if self.given is None else Pin.parse(self.given)

    @property
    def note(self) -> str:
        """What stands in the pin file, so that the key is found again."""
        from certpin.x509 import printable

        if self._on_token:
            return f"key {self._on_token.uri}"
        return f"key file {printable(self._file.name)}" if self._file else ""

    @contextmanager
    def written(self) -> Iterator[None]:
        """Write the key before the block; if the block fails, there was never a key.

        A file is for its owner alone (mode 600), and never goes over another file.
        """
        from certpin.cli import keyfile

        if self._file is None:
            yield
            self._kept = True
            return
        with keyfile.written(self._file, self._new_key[0], **_CALLED):
            yield

    def close(self) -> None:
        """Log out of the token. Where the command failed, there was never a key."""
        from certpin.hsm import destroy_key

        if self._on_token is None:
            return
        with self._on_token as key:
            if not self._kept:
                destroy_key(key)

    def advice(self) -> Iterator[str]:
        """What the user should hear of the key."""
        from certpin.x509 import printable

        if self._on_token:
            yield f"The backup key is on a token, as {self._on_token.uri}."
            yield "It cannot be taken out: if the token is lost, so is the key."
        if self._file is None:
            return
        name = printable(str(self._file))
        if self._passphrase:
            yield f"The backup key is in {name} (mode 600, encrypted)."
        else:
            yield f"The backup key is in {name} (mode 600, NOT encrypted; see --ask-passphrase)."
        yield "Keep it off the server and out of version control, for the day the first is lost."

    @property
    def _file(self) -> Path | None:
        from certpin.hsm import is_on_token

        return None if self.place is None or is_on_token(self.place) else Path(self.place)

    @cached_property
    def _new_key(self) -> tuple[bytes, Pin]:
        from certpin.pins import Pin
        from certpin.x509.keys import new_private_key

        pem, public = new_private_key(self._algorithm, self._passphrase)
        return pem, Pin.of_key(public.spki_sha256)


class _Place(click.Path):
    """A file that is made, or the URI of a token."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Leave a URI as it is."""
        from certpin.hsm import is_on_token

        return value if is_on_token(value) else super().convert(value, param, ctx)


_OPTIONS = (
    click.option(
        "--backup-key",
        type=_Place(dir_okay=False),
        metavar="FILE|URI",
        help="Make a new private key there, and pin it: in a file (mode 600), or on a PKCS#11 "
        "token (pkcs11:token=NAME;object=NAME). Nothing is overwritten.",
    ),
    click.option("--backup-pin", metavar="PIN", help="Pin this key, which you have elsewhere."),
    click.option(
        "--key-type",
        type=click.Choice(KEY_ALGORITHMS),
        default="p256",
        show_default=True,
        metavar="TYPE",
        help=f"What --backup-key makes: {', '.join(KEY_ALGORITHMS)}.",
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
        backup_key: str | None,
        backup_pin: str | None,
        key_type: KeyAlgorithm,
        ask_passphrase: bool,
        **options: Any,
    ) -> Any:
        from certpin.cli import keyfile
        from certpin.hsm import is_on_token

        if backup_key is not None and backup_pin is not None:
            raise click.UsageError("give --backup-key or --backup-pin, not both")
        in_file = backup_key and not is_on_token(backup_key)
        if ask_passphrase and not in_file:
            raise click.UsageError("--ask-passphrase is for the file that --backup-key makes")
        passphrase = (
            keyfile.new_passphrase("the backup key", ask=ask_passphrase) if in_file else None
        )
        with closing(Backup(backup_key, key_type, passphrase, backup_pin)) as backup:
            return command(backup=backup, **options)

    wrapped: Any = with_backup
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped
