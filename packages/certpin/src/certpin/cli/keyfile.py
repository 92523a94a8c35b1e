"""A new private key in a file: for its owner alone, and never over another one."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import click

from certpin.cli.options import PASSPHRASE_VARIABLE
from certpin.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LONGEST_PASSPHRASE = 1023  # bytes, as OpenSSL takes them
_PUBLIC = frozenset({".pub", ".crt", ".cer", ".cert", ".csr"})  # what people give away


def new_passphrase(what: str, *, ask: bool) -> bytes | None:
    """What a new key is encrypted with: asked for, or from the environment, or nothing."""
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
def written(path: Path, pem: bytes, *, what: str, option: str) -> Iterator[None]:
    """Write the key before the block; if the block fails, there was never a key.

    Raises ``ConfigError`` where it cannot be written, or is called as public keys are: then it is
    the name of somebody else's, mistyped. ``what`` and ``option`` say in it what it is.
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
    from certpin.x509 import printable

    name = printable(str(path))
    return ConfigError(
        f"there is no {name}, and {what} is not made under that name: it would be a private one",
        key=option,
        fix=f"check the name; a key that is to be made is called otherwise, as in "
        f"{printable(path.stem)}.key",
    )


def _unwritable(path: Path, exc: OSError, what: str, option: str) -> ConfigError:
    from certpin.x509 import printable

    return ConfigError(
        f"{what} cannot be written to {printable(str(path))}: {exc.strerror}",
        key=option,
        fix="name a file that does not exist yet, in a folder that does",
    )
