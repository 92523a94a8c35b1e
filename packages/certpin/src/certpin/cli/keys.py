"""The keys that a user names on the command line: existing keys, and new backup keys.

An existing key is named by a pin, a file that contains the key, or the URI of a key on a PKCS#11
token or in a cloud key service. The backup of a host is a pin, or a new key in a file or on a
token. New hosts with a key that is compromised at another host, or in the journal, are refused.
"""

from __future__ import annotations

import os
import sys
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from errno import EDQUOT, EFBIG, ENOSPC
from functools import cached_property, partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.candidates import complete_files
from certpin.cli.choices import KEY_ALGORITHMS
from certpin.cli.named_key import KEY_FILE, is_only_authority, open_by_uri, resolve_key
from certpin.cli.options import (
    PASSPHRASE_VARIABLE,
    ask_passphrase,
    ask_pin,
    is_on_token,
    key_place,
    makes_on_token,
    read_file,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from certpin.cli.named_key import KeyReference
    from certpin.errors import ConfigError
    from certpin.hsm import TokenKey
    from certpin.pins import HostPattern, HostPolicy, Match, Pin, TrustAnchors
    from certpin.x509 import Certificate
    from certpin.x509.keys import KeyAlgorithm
    from certpin.x509.signing import FileKey, Signer


_MAX_WAYS = 64  # from an authority to the roots: a real file has one or two

_KEY_TYPES = {"p256": "EC P-256", "p384": "EC P-384", "ed25519": "Ed25519"}

_NO_SPACE = frozenset({ENOSPC, EDQUOT, EFBIG})
_LONGEST_PASSPHRASE = 1023  # bytes, as OpenSSL takes them
_PUBLIC_SUFFIXES = frozenset({".pub", ".crt", ".cer", ".cert", ".csr"})


def require_certifiable(
    key_type: str,
    pattern: HostPattern,
    trust: TrustAnchors | None,
    match: Match,
    pinned: Pin | None = None,
) -> None:
    """Refuse the key of a leaf if no public authority would certify it for this host.

    Nothing is refused in two cases: the host has its own trust anchors, because a private authority
    can certify any key; or ``match`` is ``ca``, because the user doesn't choose the key of an
    authority.

    Args:
        key_type: the type of the key, such as ``EC P-256``; empty if unknown.
        pattern: the host.
        trust: the host's own trust anchors; None for the platform's.
        match: which certificates of a chain can match a pin: ``leaf``, ``ca`` or ``any``.
        pinned: the key's pin, if the pin file already has the key; else None. It changes only the
            fix in the error: with a pin, the fix is to record that no server can use the key;
            without one, to choose another key.

    Raises:
        ConfigError: no public authority issues certificates for such a key.
    """
    from certpin.errors import ConfigError
    from certpin.x509.keys import public_authority_refusal

    refusal = public_authority_refusal(key_type) if key_type else ""
    if refusal and trust is None and match != "ca":
        raise ConfigError(
            f"no public authority issues a certificate for this key, and {pattern} trusts the "
            f"platform's roots: {refusal}",
            key="pin",
            fix="use a key of the type P-256, P-384 or RSA (--key-type makes one), or give the "
            "host its own authority (`trust`)"
            if pinned is None
            else f"record that no server can use it: certpin rotate emergency {pinned} --lost",
        )


def require_usable_in_dart(key_type: str, pattern: HostPattern, *, signs: bool = False) -> None:
    """Refuse a key if Flutter apps can't connect to servers with it, or below it.

    Call it if ``publish.toml`` says that Flutter apps fetch the pin sets (``flutter = true``).

    Args:
        key_type: the type of the key, such as ``EC P-256``; empty if unknown.
        pattern: the host.
        signs: True for the key of an authority.

    Raises:
        ConfigError: Dart's TLS can't use a key of this type.
    """
    from certpin.errors import ConfigError

    if problem := dart_unknown(key_type, signs=signs):
        raise ConfigError(
            f"not known for {pattern}: {problem}",
            key="pin",
            fix="use a key of the type P-256, P-384 or RSA; if no Flutter app of yours follows "
            "signed sets, write flutter = false into publish/publish.toml",
        )


def dart_unknown(key_type: str, *, signs: bool = False) -> str:
    """Return a note if Flutter apps can't connect to servers with a key of this type, or below it.

    Args:
        key_type: the type of the key, such as ``EC P-256``; empty if unknown.
        signs: True for the key of an authority.

    Returns:
        A phrase that follows "Not known:", without a full stop. It is empty if Dart can use the
        type, or if the type is unknown.
    """
    from certpin.x509.keys import dart_can_use

    if not key_type or dart_can_use(key_type, signs=signs):
        return ""
    if signs:
        return (
            "whether Flutter apps accept the chains of this authority: their TLS refuses "
            f"signatures of {key_type}"
        )
    return (
        f"whether Flutter apps connect to servers with this key: their TLS refuses {key_type}, and "
        "accepts P-256, P-384 and RSA"
    )


def require_matchable(
    certificates: tuple[Certificate, ...],
    pattern: HostPattern,
    trust: TrustAnchors | None,
    match: Match,
) -> None:
    """Refuse the certificate of a backup if clients would never accept a chain because of it.

    With ``match = "leaf"``, the certificate must not be an authority's. With ``ca``, it must be
    usable as an authority's, and if the host has its own trust anchors, it must lead to one of
    them. With ``any``, nothing is refused. If the user named a pin, or a key without a certificate,
    nothing is refused either, because it is unknown if the key belongs to an authority.

    Args:
        certificates: the certificates in the file that the user named, the backup first; empty if
            the user named none.
        pattern: the host.
        trust: the host's own trust anchors; None for the platform's.
        match: which certificates of a chain can match a pin: ``leaf``, ``ca`` or ``any``.

    Raises:
        ConfigError: clients would never accept a chain because of this certificate.
    """
    from certpin.errors import ConfigError
    from certpin.pins import utc_now
    from certpin.x509 import Certificate, is_self_signed, name_of
    from certpin.x509.chain import ways_up
    from certpin.x509.validation import path_fault

    if not certificates or match == "any":
        return
    backup, now = certificates[0], utc_now()
    name = name_of(backup)
    if match == "leaf":
        _refuse_authority(backup, name, pattern)
        return
    is_root, end = is_self_signed(backup), datetime.max.replace(tzinfo=UTC)
    fault = path_fault([backup], end, now, has_leaf=False, is_whole=is_root)
    if fault is not None:
        raise ConfigError(
            f"the clients of {pattern} compare only authorities (match = ca), and would never "
            f"accept the pin of {name}: {fault.problem}",
            key="match",
            fix="name the certificate of another authority",
        )
    if trust is None:
        return
    others = (*(each.der for each in certificates[1:]), *trust.der)
    ways = ways_up(backup.der, others, _MAX_WAYS)
    if not any(der in trust.der for way in ways for der in way):
        top = Certificate.from_der(max(ways, key=len)[-1]) if ways else backup
        raise ConfigError(
            f"{pattern} trusts only the authorities of its trust file, and {name} leads to none of "
            "them: its clients would refuse every chain with it",
            key="trust",
            fix=f"add the certificate of its root to that file first: {_root_to_add(top)}",
        )


def _refuse_authority(backup: Certificate, name: str, pattern: HostPattern) -> None:
    """Refuse the certificate of an authority as a backup of a host with ``match = "leaf"``.

    Args:
        backup: the certificate.
        name: its name, for the error.
        pattern: the host.

    Raises:
        ConfigError: clients would never accept a chain because of this certificate.
    """
    from certpin.errors import ConfigError

    if not is_only_authority(backup):
        return
    raise ConfigError(
        f"the clients of {pattern} compare only the server's own certificate (match = leaf), and "
        f"would never accept the pin of {name}: it is an authority's",
        key="match",
        fix="name a key for the servers, or let certpin make one",
    )


def _root_to_add(top: Certificate) -> str:
    """Return the name of the root that the user should add to the file of ``trust``.

    Clients need it there to verify chains of the backup, which is an authority.

    Args:
        top: the last known certificate on the way from the backup up to its root. If it is not a
            root itself, the name of its issuer is returned.
    """
    from certpin.x509 import is_self_signed, name_of, shorten

    return name_of(top) if is_self_signed(top) else shorten(top.issuer)


def certifiable_unknown(pin: Pin, key_type: str, trust: TrustAnchors | None, match: Match) -> str:
    """Return a note if it is unknown whether public authorities certify a pinned key.

    It is unknown if the user gave only a pin: a pin is a digest, and doesn't contain the key type.

    Args:
        pin: the pin of the key.
        key_type: the type of the key, such as ``EC P-256``; empty if unknown.
        trust: the host's own trust anchors; None for the platform's.
        match: which certificates of a chain can match a pin: ``leaf``, ``ca`` or ``any``.

    Returns:
        A phrase that follows "Not known:", without a full stop. It is empty if the type is known,
        or if it doesn't matter because of ``trust`` or ``match``.
    """
    if key_type or trust is not None or match == "ca":
        return ""
    return (
        f"the type of the key of {pin}: public authorities certify RSA, P-256 and P-384, and "
        "neither Ed25519 nor P-521"
    )


@contextmanager
def signer_of(
    key: str, pin: Callable[[str], str] = ask_pin, *, for_server: bool = True
) -> Iterator[Signer]:
    """Context manager: a signer for a private key in a file, on a token or in a key service.

    Args:
        key: the path of a file, or a URI.
        pin: a function that takes the name of a PKCS#11 token and returns its PIN, for example by
            asking the user.
        for_server: True if the key is that of a TLS server. Keys in key services other than AWS KMS
            are then refused.

    Raises:
        KeyParseError: the file has no private key.
        TokenError: the token or the key service can't be used.
    """
    if key_place(key) == "file":
        yield key_of(key, read_file(Path(key)))
        return
    with open_by_uri(key, pin, for_server=for_server) as signer:
        yield signer


def key_of(place: str, data: bytes) -> FileKey:
    """Return the private key in the content of a file.

    If the key is encrypted, it is decrypted with the passphrase from the environment or the
    terminal.

    Args:
        place: the path of the file, for errors and for the question about the passphrase.
        data: the content of the file.

    Raises:
        KeyParseError: the file has no private key that certpin can use, or its passphrase is
            missing or wrong.
    """
    from certpin.errors import KeyParseError
    from certpin.support.text import printable
    from certpin.x509.signing import file_key

    try:
        return file_key(data, partial(_passphrase_of, place))
    except KeyParseError as exc:
        raise KeyParseError(f"{printable(place)}: {exc.problem}", fix=exc.fix) from exc


def _passphrase_of(place: str) -> bytes | None:
    """Return the passphrase of a key file, from the environment or the terminal.

    Return None if there is neither the environment variable nor a terminal. Before the user is
    asked, ``place`` (the encrypted file) is printed.
    """
    from certpin.support.text import printable

    if PASSPHRASE_VARIABLE not in os.environ and sys.stdin.isatty():
        click.echo(f"{printable(place)} is encrypted.", err=True)
    return ask_passphrase()


class Backup:
    """The backup key of a host, as command-line options name it: a new key, or an existing one.

    A new key is made when the property ``pin`` is read for the first time. ``written()`` stores the
    new key permanently. Without a completed ``written()``, no key file is written, and ``close()``
    deletes a new key on a token.

    Args:
        place: the place for a new key: a file, or the URI of a PKCS#11 token. None for no new key.
        algorithm: the type of the new key.
        passphrase: the passphrase that encrypts the new file; None for no encryption.
        given: an existing key, as a pin, a file or the URI of a key on a token; None if the user
            named no existing key.
        what: words for the key in sentences, such as "the backup key".
        option: the option that named the key, for errors.
        until: the end of the advice "Keep the key off the server until ...", as a clause such as
            "the first key is lost".
    """

    def __init__(
        self,
        place: str | None,
        algorithm: KeyAlgorithm,
        passphrase: bytes | None,
        given: str | None,
        *,
        what: str = "the backup key",
        option: str = "--backup-key",
        until: str = "the first key is lost",
    ) -> None:
        self.what = what
        self._option = option
        self._until = until
        self.place = place
        self.given = given
        self._algorithm = algorithm
        self._passphrase = passphrase
        self._on_token: TokenKey | None = None
        self._kept = False

    @cached_property
    def pin(self) -> Pin | None:
        """The pin of the backup; None if there is no backup.

        If the user asked for a new key, the first read makes it.
        """
        from certpin.hsm import generate_key
        from certpin.pins import Pin

        if self._file:
            return self._new_key[1]
        if self.place is not None:
            self._on_token = generate_key(self.place, ask_pin, self._algorithm)
            return Pin.of_key(self._on_token.key.spki_sha256)
        return self._reference.pin if self._reference else None

    @cached_property
    def _reference(self) -> KeyReference | None:
        """The existing key that the user named, read from its file or token; None for a new key."""
        return None if self.given is None else resolve_key(self.given)

    @property
    def is_given(self) -> bool:
        """True if the user named an existing backup, or asked for a new key.

        ``certpin add`` refuses most enforced hosts without a backup.
        """
        return self.place is not None or self.given is not None

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        """The certificates in the file that the user named as the backup, that of the backup first.

        It is empty if there is no such file, or if the file has only a key.
        """
        return self._reference.certificates if self._reference else ()

    @property
    def note(self) -> str:
        """The ``note`` for the pin file that names the key's file or URI.

        It is empty if the user named the backup by a pin, or if there is no backup.
        """
        from certpin.support.text import printable

        if self._on_token:
            return f"key {self._on_token.uri}"
        if self._reference:
            return self._reference.note
        return f"{KEY_FILE}{printable(self._file.name)}" if self._file else ""

    @contextmanager
    def written(self) -> Iterator[None]:
        """Context manager: keep the new key if the ``with`` block succeeds, and else delete it.

        The new key is in a file, which is written before the block runs, or on a hardware token,
        where it exists already. Only the owner can read the file (mode 600). An existing file is
        never overwritten.

        Raises:
            ConfigError: the file can't be written.
        """
        if self._file is None:
            yield
            self._kept = True
            return
        with new_key_file(self._file, self._new_key[0], what=self.what, option=self._option):
            yield

    def signer(self) -> Signer:
        """Return a signer with the new key, which signs the certificate request for this key.

        Call it only if the user asked for a new key.
        """
        from certpin.x509.signing import file_key

        if self._file is None and self.pin and self._on_token:
            return self._on_token
        return file_key(self._new_key[0], lambda: self._passphrase)

    @property
    def key_type(self) -> str:
        """The type of the backup key, such as ``EC P-256``; empty if only its pin is known."""
        if self.place is None:
            return self._reference.key_type if self._reference else ""
        name = self._algorithm
        return f"RSA {name[3:]}" if name.startswith("rsa") else _KEY_TYPES[name]

    def close(self) -> None:
        """Log out of the token, and delete a new key on it unless ``written()`` completed."""
        from certpin.hsm import destroy_key

        if self._on_token is None:
            return
        with self._on_token as key:
            if not self._kept:
                destroy_key(key)

    def advice(self) -> Iterator[str]:
        """Yield sentences for the user about the place of the new key, and how to keep it safe."""
        from certpin.support.text import printable

        what = f"{self.what[0].upper()}{self.what[1:]}"
        if self._on_token:
            yield f"{what} is on a token, as {self._on_token.uri}."
            yield "It can't be exported: if the token is lost, so is the key."
        if self._file is None:
            return
        name = printable(str(self._file))
        if self._passphrase:
            yield f"{what} is in {name} (mode 600, encrypted)."
        else:
            yield f"{what} is in {name} (mode 600, NOT encrypted; see --ask-passphrase)."
        yield f"Keep it off the server and out of version control until {self._until}."

    @property
    def _file(self) -> Path | None:
        return None if self.place is None or makes_on_token(self.place) else Path(self.place)

    @cached_property
    def _new_key(self) -> tuple[bytes, Pin]:
        from certpin.pins import Pin
        from certpin.x509.keys import new_private_key

        pem, public = new_private_key(self._algorithm, self._passphrase)
        return pem, Pin.of_key(public.spki_sha256)


class _KeyPlace(click.Path):
    """Click parameter type: the path of a new key file, or the URI of a key on a PKCS#11 token."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the value of the option: a URI as text, or the path of the new file.

        A URI must name a place on a PKCS#11 token. A path must not be that of a folder.

        Raises:
            TokenError: the URI has an unknown scheme, or is one of a key service.
        """
        return value if makes_on_token(value) else super().convert(value, param, ctx)


key_type_option = click.option(
    "--key-type",
    type=click.Choice(KEY_ALGORITHMS),
    default="p256",
    show_default=True,
    metavar="TYPE",
    help=f"The type of the new key: {', '.join(KEY_ALGORITHMS)}. No public authority certifies "
    "ed25519, and Flutter apps refuse it: it is for hosts with their own authority.",
)

ask_passphrase_option = click.option(
    "--ask-passphrase",
    is_flag=True,
    help="Ask for a passphrase that encrypts the new key, instead of "
    f"{PASSPHRASE_VARIABLE} in the environment.",
)

_OPTIONS = (
    click.option(
        "--backup-key",
        type=_KeyPlace(dir_okay=False),
        metavar="FILE|URI",
        shell_complete=complete_files,
        help="Make a new private key and pin it: in this file (mode 600), or on a PKCS#11 "
        "token (pkcs11:token=NAME;object=NAME). Nothing is overwritten.",
    ),
    click.option(
        "--backup-pin",
        metavar="PIN|FILE|URI",
        shell_complete=complete_files,
        help="Pin this key, which already exists elsewhere: its pin, or a file that contains it (a "
        "public key, a CSR, a certificate), or its URI on a token. With --match ca, the "
        "certificate of another authority that the host trusts.",
    ),
    key_type_option,
    ask_passphrase_option,
)


def backup_options(command: Any) -> Any:
    """Add ``--backup-key``, ``--backup-pin`` and related options to a command.

    The command gets their values as one ``Backup`` in its argument ``backup``, which is closed when
    the command ends.
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


def new_passphrase(what: str, *, ask: bool) -> bytes | None:
    """Return the passphrase with which to encrypt a new private key.

    Return None for no encryption: if the passphrase is empty, or ``CERTPIN_PASSPHRASE`` is not set.

    Args:
        what: words for the key, for the prompt.
        ask: True to ask on the terminal, twice, instead of reading ``CERTPIN_PASSPHRASE``.

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
    """Context manager: write a new private key file, and delete it if the ``with`` block fails.

    A name with a suffix of public files, such as ``.pub``, is refused: it is probably the mistyped
    name of another person's public key.

    Args:
        path: the new file. An existing file is never overwritten.
        pem: the private key as PEM.
        what: words for the key, for errors.
        option: the option that names the file, for errors.

    Raises:
        ConfigError: the file can't be written, or has a suffix of public files.
    """
    if path.suffix.lower() in _PUBLIC_SUFFIXES:
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
    from certpin.support.text import printable

    name = printable(str(path))
    return ConfigError(
        f"there is no {name}, and {what} is not made there: it would be a private key",
        key=option,
        fix=f"check the name; a new key needs another suffix, as in {printable(path.stem)}.key",
    )


def _unwritable(path: Path, exc: OSError, what: str, option: str) -> ConfigError:
    from certpin.errors import ConfigError
    from certpin.support.text import printable

    return ConfigError(
        f"{what} cannot be written to {printable(str(path))}: {exc.strerror}",
        key=option,
        fix="make space on its disk"
        if exc.errno in _NO_SPACE
        else "name a file that does not exist yet, in a folder that does",
    )


def require_uncompromised(
    path: Path, added: Sequence[HostPolicy], known: Iterable[HostPolicy]
) -> None:
    """Refuse new hosts if a key is compromised under one host, and accepted under another.

    It is the rule ``dead-pin-elsewhere`` of lint, for hosts that are not written yet. A
    contradiction between two hosts of the pin file is not refused: lint reports it. A key that the
    journal of the pin file records as COMPROMISED is refused, too.

    Args:
        path: the pin file.
        added: the policies of the new hosts.
        known: the policies that the pin file has already.

    Raises:
        ConfigError: a new host accepts such a key, or marks it compromised.
        JournalError: the journal can't be read.
    """
    from certpin.errors import ConfigError

    if not added:
        return
    new = {str(policy.pattern) for policy in added}
    policies = [*known, *added]
    marked: dict[Pin, str] = {}
    # Without any journal there, the rules of rotations need not be loaded.
    if any(any(folder.glob("*.journal.jsonl")) for folder in (path.parent, path.resolve().parent)):
        from certpin.rotation import journal_of, load_journal

        journal = journal_of(path)
        recorded = load_journal(journal).past(added[0].pattern).all_compromised
        marked = dict.fromkeys(recorded, journal.name)
    # A new host comes last: if several hosts mark the key, it is the one that counts here.
    marked |= {pin: str(policy.pattern) for policy in policies for pin in policy.compromised}
    for policy in policies if marked else ():
        name = str(policy.pattern)
        for pin in sorted(policy.live_pins.keys() & marked.keys(), key=str):
            if not new & {name, marked[pin]}:
                continue
            raise ConfigError(
                f"{pin} is compromised ({marked[pin]}), and {name} would accept it: an attacker "
                f"who has the key can impersonate {name}",
                key="pin",
                fix=f"pin another key under {name}, and take this one out of service"
                if name in new
                else f"mark it under every host first: certpin rotate emergency {pin} --stolen",
            )
