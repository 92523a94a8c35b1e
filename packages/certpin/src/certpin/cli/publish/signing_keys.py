"""The keys that sign pin sets, in files and on tokens: opened, or made if they don't exist."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

import click

from certpin.cli.options import PASSPHRASE_VARIABLE, ask_pin, read_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from securesystemslib.signer import SSlibKey

    from certpin.hsm import TokenKey
    from certpin.publish.keys import KeySigner

ask_new_passphrase = click.option(
    "--ask-passphrase",
    is_flag=True,
    help="Ask for a passphrase that encrypts the new key files, instead of "
    f"{PASSPHRASE_VARIABLE} in the environment.",
)


@dataclass(frozen=True)
class SigningKey:
    """A key that signs pin sets.

    Attributes:
        place: the file, or the URI of the token.
        signer: ``None`` if only the public key is known.
        made: the key is new.
        sealed: False for a new file without a passphrase.
    """

    place: str
    key: SSlibKey
    signer: KeySigner | None
    made: bool = False
    sealed: bool = True

    @property
    def bare(self) -> str:
        """A warning if the private key is not encrypted; else empty."""
        return "" if self.sealed else "NOT encrypted; see --ask-passphrase"


@contextmanager
def open_signers(places: Sequence[str]) -> Iterator[dict[str, KeySigner]]:
    """Open private keys to sign with, by their key IDs. Tokens are logged out at the end.

    Raises:
        KeyParseError: a file has no private key.
        TokenError: a token can't be used.
    """
    from certpin.cli.keyref import signer_of
    from certpin.publish.keys import KeySigner

    pin = cache(ask_pin)  # asked for once, for several keys of one token
    with ExitStack() as stack:
        found: dict[str, KeySigner] = {}
        for place in dict.fromkeys(places):
            signer = KeySigner(stack.enter_context(signer_of(place, pin)))
            found[signer.public_key.keyid] = signer
        yield found


class Keyring:
    """A context manager that opens keys, and makes those that don't exist yet.

    If its block fails, the new keys are deleted.
    """

    def __init__(self, *, ask: bool) -> None:
        from certpin.cli import backup

        self._stack = ExitStack()
        self._pin = cache(ask_pin)
        self._secret = cache(partial(backup.new_passphrase, "the new keys", ask=ask))
        self._open: dict[str, SigningKey] = {}

    def take(self, place: str) -> SigningKey:
        """Return the key in a file or on a token. It is opened, or made, at the first call only."""
        if place not in self._open:
            self._open[place] = self._take(place)
        return self._open[place]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, exc, trace)

    def _take(self, place: str) -> SigningKey:
        from certpin.cli.keyref import passphrase_of
        from certpin.hsm import is_on_token
        from certpin.publish.keys import KeySigner, held_elsewhere
        from certpin.x509.signing import file_key

        if is_on_token(place):
            return self._on_token(place)
        path = Path(place)
        if not path.exists():
            return self._in_new_file(path)
        data = read_file(path)
        if (key := held_elsewhere(data)) is not None:
            return SigningKey(place, key, None)
        signer = KeySigner(file_key(data, partial(passphrase_of, place)))
        return SigningKey(place, signer.public_key, signer)

    def _on_token(self, place: str) -> SigningKey:
        from certpin.hsm import open_or_generate_key
        from certpin.publish.keys import KeySigner

        key, made = open_or_generate_key(place, self._pin, "p256")
        self._stack.enter_context(key)
        if made:
            self._stack.push(partial(_destroy_on_failure, key))
        signer = KeySigner(key)
        return SigningKey(str(key.uri) if made else place, signer.public_key, signer, made)

    def _in_new_file(self, path: Path) -> SigningKey:
        from certpin.cli import backup
        from certpin.publish.keys import KeySigner
        from certpin.x509.keys import new_private_key
        from certpin.x509.signing import file_key

        secret = self._secret()
        pem, _ = new_private_key("p256", secret)
        self._stack.enter_context(backup.new_key_file(path, pem, what="the new key", option="KEY"))
        signer = KeySigner(file_key(pem, lambda: secret))
        sealed = secret is not None
        return SigningKey(str(path), signer.public_key, signer, made=True, sealed=sealed)


def _destroy_on_failure(key: TokenKey, kind: object, *_: object) -> None:
    from certpin.hsm import destroy_key

    if kind is not None:
        destroy_key(key)
