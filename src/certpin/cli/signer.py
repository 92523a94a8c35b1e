"""A key that signs: in a file, or on a PKCS#11 token."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from certpin.cli.options import ask_passphrase, ask_pin, read_file
from certpin.hsm import is_token_uri, open_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.x509.signing import Signer


@contextmanager
def signer_of(key: str) -> Iterator[Signer]:
    """Open the key of a file, or of a URI; ask for passphrase or PIN. Raises ``KeyParseError``."""
    from certpin.x509.signing import file_key

    if is_token_uri(key):
        with open_key(key, ask_pin) as on_token:
            yield on_token
    else:
        yield file_key(read_file(Path(key)), ask_passphrase)
