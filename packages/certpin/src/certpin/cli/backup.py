"""The backup pin of a host: of a new key in a file or on a token, or a pin that the user gives."""

from __future__ import annotations

import os
from contextlib import closing, contextmanager, suppress
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.choices import KEY_ALGORITHMS
from certpin.cli.options import PASSPHRASE_VARIABLE, ask_pin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.errors import ConfigError
    from certpin.hsm import TokenKey
    from certpin.pins import Pin
    from certpin.x509.keys import KeyAlgorithm


_BACKUP_WORDS = {"what": "the backup key", "option": "--backup-key"}


class Backup:
    """The backup key or backup pin of a host, as the user asked for it by options.

    The key is made when ``pin`` is read for the first time. ``written()`` keeps it; otherwise
    ``close()`` deletes a key that was made on a token.

    Args:
        place: where to make a key: a file, or the URI of a PKCS#11 token. None for no new key.
        algorithm: the type of the new key.
        passphrase: encrypts the new file; None for no encryption.
        given: the pin of an existing key; None for none.
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
        """The pin of the backup; None if there is no backup."""
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
        """The ``note`` of the backup in the pin file: the place of its key."""
        from certpin.x509 import printable

        if self._on_token:
            return f"key {self._on_token.uri}"
        return f"key file {printable(self._file.name)}" if self._file else ""

    @contextmanager
    def written(self) -> Iterator[None]:
        """Context manager: write the key file at the start, and delete it if the block fails.

        Only the owner can read the file (mode 600). An existing file is never overwritten.

        Raises:
            ConfigError: the file can't be written.
        """
        if self._file is None:
            yield
            self._kept = True
            return
        with new_key_file(self._file, self._new_key[0], **_BACKUP_WORDS):
            yield

    def close(self) -> None:
        """Log out of the token. Delete a key made there, unless ``written()`` completed."""
        from certpin.hsm import destroy_key

        if self._on_token is None:
            return
        with self._on_token as key:
            if not self._kept:
                destroy_key(key)

    def advice(self) -> Iterator[str]:
        """Yield sentences for the user: where the key is, and how to keep it safe."""
        from certpin.x509 import printable

        if self._on_token:
            yield f"The backup key is on a token, as {self._on_token.uri}."
            yield "It can't be exported: if the token is lost, so is the key."
        if self._file is None:
            return
        name = printable(str(self._file))
        if self._passphrase:
            yield f"The backup key is in {name} (mode 600, encrypted)."
        else:
            yield f"The backup key is in {name} (mode 600, NOT encrypted; see --ask-passphrase)."
        yield "Keep it off the server and out of version control until the first key is lost."

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


class _KeyPlace(click.Path):
    """Click parameter type: the path of a new key file, or the URI of a key on a PKCS#11 token."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return a URI unchanged; check any other value as a path, and return it."""
        from certpin.hsm import is_on_token

        return value if is_on_token(value) else super().convert(value, param, ctx)


_OPTIONS = (
    click.option(
        "--backup-key",
        type=_KeyPlace(dir_okay=False),
        metavar="FILE|URI",
        help="Make a new private key and pin it: in this file (mode 600), or on a PKCS#11 "
        "token (pkcs11:token=NAME;object=NAME). Nothing is overwritten.",
    ),
    click.option(
        "--backup-pin", metavar="PIN", help="Pin this key, which already exists elsewhere."
    ),
    click.option(
        "--key-type",
        type=click.Choice(KEY_ALGORITHMS),
        default="p256",
        show_default=True,
        metavar="TYPE",
        help=f"The type of the new key: {', '.join(KEY_ALGORITHMS)}.",
    ),
    click.option(
        "--ask-passphrase",
        is_flag=True,
        help="Ask for a passphrase that encrypts the new key, instead of "
        f"{PASSPHRASE_VARIABLE} in the environment.",
    ),
)


def backup_options(command: Any) -> Any:
    """Decorate a command with ``--backup-key``, ``--backup-pin`` and related options.

    The command gets a ``Backup`` as its argument ``backup``, which is closed when the command ends.
    """

    @wraps(command)
    def with_backup(
        *,
        backup_key: str | None,
        backup_pin: str | None,
        key_type: KeyAlgorithm,
        ask_passphrase: bool,
        **options: Any,
    ) -> Any:
        from certpin.hsm import is_on_token

        if backup_key is not None and backup_pin is not None:
            raise click.UsageError("give --backup-key or --backup-pin, not both")
        in_file = backup_key and not is_on_token(backup_key)
        if ask_passphrase and not in_file:
            raise click.UsageError("--ask-passphrase is for the file that --backup-key makes")
        passphrase = new_passphrase("the backup key", ask=ask_passphrase) if in_file else None
        with closing(Backup(backup_key, key_type, passphrase, backup_pin)) as backup:
            return command(backup=backup, **options)

    wrapped: Any = with_backup
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


_LONGEST_PASSPHRASE = 1023  # bytes, as OpenSSL takes them
_PUBLIC = frozenset({".pub", ".crt", ".cer", ".cert", ".csr"})  # suffixes of public files


def new_passphrase(what: str, *, ask: bool) -> bytes | None:
    """Return the passphrase to encrypt a new private key with; None for no encryption.

    Args:
        what: the key, for the prompt.
        ask: ask on the terminal instead of reading the environment.

    Raises:
        click.UsageError: the passphrase is too long for OpenSSL.
    """
    text = os.environ.get(PASSPHRASE_VARIABLE, "")
    if ask:
        text = click.prompt(
            f"Passphrase for {what}", hide_input=True, confirmation_prompt=True, err=True
        )
    passphrase = os.fsencode(text)
    if len(passphrase) > _LONGEST_PASSPHRASE:
        raise click.UsageError(f"a passphrase has at most {_LONGEST_PASSPHRASE} bytes")
    return passphrase or None


@contextmanager
def new_key_file(path: Path, pem: bytes, *, what: str, option: str) -> Iterator[None]:
    """Context manager: write a private key file, and delete it if the ``with`` block fails.

    A suffix of public files, such as ``.pub``, is refused: the name is probably the mistyped name
    of another person's public key.

    Args:
        path: the new file. An existing one is never overwritten.
        pem: its content.
        what: the key, for errors.
        option: the option that names the file, for errors.

    Raises:
        ConfigError: the file can't be written, or has a suffix of public files.
    """
    if path.suffix.lower() in _PUBLIC:
        raise _misnamed(path, what, option)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as exc:
        raise _unwritable(path, exc, what, option) from exc
    try:
        try:
            _fill(descriptor, pem)
        except OSError as exc:
            raise _unwritable(path, exc, what, option) from exc
        yield
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise


def _fill(descriptor: int, pem: bytes) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())


def _misnamed(path: Path, what: str, option: str) -> ConfigError:
    from certpin.errors import ConfigError
    from certpin.x509 import printable

    name = printable(str(path))
    return ConfigError(
        f"there is no {name}, and {what} is not made there: it would be a private key",
        key=option,
        fix=f"check the name; a new key needs another suffix, as in {printable(path.stem)}.key",
    )


def _unwritable(path: Path, exc: OSError, what: str, option: str) -> ConfigError:
    from certpin.errors import ConfigError
    from certpin.x509 import printable

    return ConfigError(
        f"{what} cannot be written to {printable(str(path))}: {exc.strerror}",
        key=option,
        fix="name a file that does not exist yet, in a folder that does",
    )
