"""The files of the ``certpin publish`` commands, and the keys that sign pin sets.

The files are the pin file, its journal (the log of rotations and published versions), and the
folder ``publish`` beside the pin file. Keys are in files, on PKCS#11 tokens and in key services.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click

from certpin.cli.extras import extra_needed
from certpin.cli.keys import key_of, new_key_file, new_passphrase, signer_of
from certpin.cli.options import PASSPHRASE_VARIABLE, ask_pin, key_place, read_file
from certpin.cli.rotate.files import RotationFiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from types import TracebackType

    from securesystemslib.signer import Key, SSlibKey

    from certpin.errors import ConfigError
    from certpin.hsm import TokenKey
    from certpin.publish.keys import KeySigner
    from certpin.publish.pending import PendingSignature
    from certpin.publish.signing_plan import SigningPlan, SigningPolicy

ask_new_passphrase = click.option(
    "--ask-passphrase",
    is_flag=True,
    help="Ask for a passphrase that encrypts the new key files, instead of "
    f"{PASSPHRASE_VARIABLE} in the environment.",
)


def tuf_needed() -> AbstractContextManager[None]:
    """Context manager: if a package for signed pin sets is missing, raise an error with the fix."""
    return extra_needed("publish", "a signed pin set")


@dataclass(frozen=True)
class PublishContext:
    """The content of the pin file, and of the folder ``publish`` beside it, when they were read.

    The folder contains the signed TUF metadata, by which clients verify pin sets.

    Attributes:
        path: the pin file.
        folder: the folder ``publish``, with the signed metadata and the settings.
        files: the pin file and the journal.
        policy: the rules by which metadata are signed, with the metadata that were read and the
            settings.
    """

    path: Path
    folder: Path
    files: RotationFiles
    policy: SigningPolicy

    @property
    def pushed(self) -> bool | None:
        """True if the journal records that the signed version of the pin set was uploaded.

        False if the journal has this version, but no upload of it. ``None`` if no version is
        signed, or if the journal doesn't have the signed version.
        """
        current = self.policy.state.current
        known = [
            version.pending
            for version in self.files.deployed.versions
            if current and version.number == current.pins.version
        ]
        return not any(known) if known else None

    @cached_property
    def plan(self) -> SigningPlan:
        """The TUF metadata files that had to be signed when the folder ``publish`` was read.

        Signatures that this command adds later don't change the value.
        """
        from certpin.publish.signing_plan import prepare

        return prepare(self.policy, frozenset())

    @cached_property
    def pending(self) -> tuple[PendingSignature, ...]:
        """The metadata files that need more signatures, each with the keys that must still sign it.

        It is empty if every file has enough signatures. Signatures that this command adds later
        don't change the value.
        """
        from certpin.publish.pending import pending

        return pending(self.plan)


def open_context(path: Path, files: RotationFiles | None = None) -> PublishContext:
    """Read the folder ``publish``, the pin file and the journal, and verify the metadata.

    Args:
        path: the pin file.
        files: the pin file and the journal, if the caller has read them already; None to read them.

    Raises:
        PinFileError: a file is invalid.
        JournalError: the journal is invalid.
    """
    from certpin.errors import ConfigError
    from certpin.pins import utc_now

    with tuf_needed():
        from certpin.publish import content, folder, settings, state
        from certpin.publish.jump import lowest_held
        from certpin.publish.signing_plan import SigningPolicy

    here = folder.folder_of(path)
    ours = settings.load(here / folder.SETTINGS)
    files = files or RotationFiles(path)
    folder.require_owner(here, path, files.pins.name)
    offer: content.Content | ConfigError
    try:
        offer = content.read(path, flutter=ours.flutter)
    except ConfigError as exc:
        offer = exc
    published = {
        event.version: event.pins
        for event in files.history.events
        if event.step == "publish" and event.signed and event.version and event.pins
    }
    now = utc_now()
    verified = state.verify_contents(folder.read(here), files.pins.name, here)
    policy = SigningPolicy(
        verified,
        ours,
        now.replace(microsecond=0),
        offer,
        published,
        max(published, default=None),
        lowest_held(files.deployed, files.timing, now, verified.root, ours),
    )
    return PublishContext(path, here, files, policy)


@contextmanager
def locked_context(path: Path) -> Iterator[PublishContext]:
    """Context manager: lock the folder ``publish``, and read it, the pin file and the journal.

    The lock keeps other writers out. The signed metadata are verified.

    Raises:
        PinFileError: a file is invalid.
        JournalError: the journal is invalid.
    """
    with tuf_needed():
        from certpin.publish import folder

    with folder.held(folder.folder_of(path)):
        yield open_context(path)


@dataclass(frozen=True)
class SigningKey:
    """A key that signs pin sets, as the user named it.

    Attributes:
        place: the path of the key's file, or the URI of the key.
        key: the public key.
        signer: signs with the private key; ``None`` if only the public key is known.
        made: True if this command made the key.
        sealed: False if the key is in a new file that is not encrypted; else True.
    """

    place: str
    key: SSlibKey
    signer: KeySigner | None
    made: bool = False
    sealed: bool = True

    @property
    def bare(self) -> str:
        """A warning that the private key is in a new file without encryption; empty if it is not.

        The commands that make keys print it beside the key.
        """
        return "" if self.sealed else "NOT encrypted; see --ask-passphrase"


@contextmanager
def open_signers(places: Sequence[str]) -> Iterator[dict[str, KeySigner]]:
    """Context manager: signers for the private keys at these places, by their key IDs.

    A place is a file or a URI. Tokens are logged out at the end.

    Raises:
        KeyParseError: a file has no private key.
        TokenError: a token can't be used.
    """
    from certpin.publish.keys import KeySigner

    pin = cache(ask_pin)  # asked for once, for several keys of one token
    with ExitStack() as stack:
        found: dict[str, KeySigner] = {}
        for place in dict.fromkeys(places):
            private_key = stack.enter_context(signer_of(place, pin, for_server=False))
            signer = KeySigner(private_key, place)
            found[signer.public_key.keyid] = signer
        yield found


class Keyring:
    """A context manager that opens signing keys, and makes those that don't exist yet.

    If its ``with`` block fails, the new keys are deleted.

    Args:
        ask: True to ask for the passphrase of new files on the terminal.
    """

    def __init__(self, *, ask: bool) -> None:
        self._stack = ExitStack()
        self._pin = cache(ask_pin)
        self._secret = cache(partial(new_passphrase, "the new keys", ask=ask))
        self._open: dict[str, SigningKey] = {}

    def take(self, place: str) -> SigningKey:
        """Return the signing key at a place: a file, a URI on a token or in a key service.

        The first call opens the key, or makes it if it doesn't exist; later calls return the same
        key. No key is made in a key service. If the file has only a public key, because the private
        key is elsewhere, the result has no ``signer``.

        Raises:
            KeyParseError: the file has no key that can sign.
            TokenError: the token or the key service can't be used.
        """
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
        from certpin.kms import open_service_key
        from certpin.publish.keys import KeySigner, held_elsewhere

        where = key_place(place)
        if where == "token":
            return self._on_token(place)
        if where == "service":
            signer = KeySigner(open_service_key(place))
            return SigningKey(place, signer.public_key, signer)
        path = Path(place)
        if not path.exists():
            return self._in_new_file(path)
        data = read_file(path)
        if (key := held_elsewhere(data)) is not None:
            return SigningKey(place, key, None)
        signer = KeySigner(key_of(place, data))
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
        from certpin.publish.keys import KeySigner
        from certpin.x509.keys import new_private_key
        from certpin.x509.signing import file_key

        secret = self._secret()
        pem, _ = new_private_key("p256", secret)
        self._stack.enter_context(new_key_file(path, pem, what="the new key", option="KEY"))
        signer = KeySigner(file_key(pem, lambda: secret))
        sealed = secret is not None
        return SigningKey(str(path), signer.public_key, signer, made=True, sealed=sealed)


def _destroy_on_failure(key: TokenKey, kind: object, *_: object) -> None:
    from certpin.hsm import destroy_key

    if kind is not None:
        destroy_key(key)


def wait_json(wait: PendingSignature) -> dict[str, Any]:
    """Return the signatures that a metadata file still needs, as JSON.

    The object has the role, the number of missing signatures, and the keys that can add them.
    """
    return {
        "role": wait.role,
        "version": wait.version or None,
        "why": wait.why,
        "root": wait.root or None,
        "missing": wait.missing,
        "keys": list(wait.keys),
        "problem": wait.problem or None,
    }


def wait_text(wait: PendingSignature) -> str:
    """Return the signatures that a metadata file still needs, and their keys, as a line of text."""
    if wait.problem:
        return f"{wait.role} must not be signed: {wait.problem}"
    keys = ", ".join(short(key) for key in wait.keys)
    some = f"{wait.missing} of these keys" if len(wait.keys) > wait.missing else "the key"
    why = f" ({wait.why})" if wait.role != "root" else f" (as root {wait.root} demands)"
    return f"{wait.role} {wait.version} waits for {some}{why}: {keys}"


def short(key: str) -> str:
    """Return the first characters of a key ID, which are enough to recognise a key."""
    return f"{key[:12]}…"


def kind_of(key: Key | None) -> str:
    """Return the type of a key in TUF metadata, such as ``EC P-256``.

    Return "not a signing key" if the key can't be used: metadata that are not signed yet may
    contain any data.
    """
    from certpin.publish.keys import public_key_of
    from certpin.x509.keys import PublicKey, spki_of

    public_key = public_key_of(key) if key else None
    if public_key is None:
        return "not a signing key"
    return PublicKey(spki_of(public_key), "public key").key
