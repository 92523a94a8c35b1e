"""A key that signs: in a file, or on a PKCS#11 token."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from certpin.cli.options import PASSPHRASE_VARIABLE, ask_passphrase, ask_pin, read_file
from certpin.hsm import is_on_token, open_key
from certpin.x509 import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from certpin.x509.signing import Signer


@contextmanager
def signer_of(key: str, pin: Callable[[str], str] = ask_pin) -> Iterator[Signer]:
    """Open the key of a file, or of a URI; ask for passphrase or PIN. Raises ``KeyParseError``."""
    from certpin.x509.signing import file_key

    if is_on_token(key):
        with open_key(key, pin) as on_token:
            yield on_token
    else:
        yield file_key(read_file(Path(key)), partial(passphrase_of, key))


def passphrase_of(place: str) -> bytes | None:
    """Ask for the passphrase of a file, and say which: there may be several."""
    if PASSPHRASE_VARIABLE not in os.environ and sys.stdin.isatty():
        click.echo(f"{printable(place)} is encrypted.", err=True)
    return ask_passphrase()
