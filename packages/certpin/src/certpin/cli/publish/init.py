"""``certpin publish init``: make the keys and the first root metadata of signed pin sets."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.candidates import complete_files
from certpin.cli.options import json_option, pin_file_option, sign_command
from certpin.cli.publish.context import (
    Keyring,
    PublishContext,
    SigningKey,
    ask_new_passphrase,
    kind_of,
    open_context,
    tuf_needed,
    wait_json,
    wait_text,
)
from certpin.cli.reply import fold, print_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from certpin.pins import PinSet as AnyPinSet
    from certpin.publish.roots import Kind
    from certpin.publish.settings import PublishSettings
    from certpin.publish.sign import SigningResult


@click.command()
@pin_file_option
@click.option(
    "--root-key",
    "root_keys",
    multiple=True,
    required=True,
    metavar="FILE|URI",
    shell_complete=complete_files,
    help="A key of the root, which names the keys of every role: a file, a key on a PKCS#11 token, "
    "or one in a key service (awskms:, gcpkms:, azurekms:, hv:). It is made if it does not exist, "
    "except in a service. The public key of another person (PEM) is enough. May be repeated.",
)
@click.option(
    "--targets-key",
    "targets_keys",
    multiple=True,
    required=True,
    metavar="FILE|URI",
    shell_complete=complete_files,
    help="A key that signs pin sets, likewise. May be repeated.",
)
@click.option(
    "--online-key",
    required=True,
    metavar="FILE|URI",
    shell_complete=complete_files,
    help="The key with which a machine signs the newest version each day, likewise. In a key "
    "service, the machine needs no file of a private key.",
)
@click.option(
    "--root-threshold",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="How many of the root keys have to sign.",
)
@click.option(
    "--targets-threshold",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="How many of the targets keys have to sign.",
)
@click.option(
    "--url",
    metavar="WHERE",
    help="The place to which `certpin publish push` uploads: a folder, relative to the pin file's, "
    "or s3://BUCKET/PATH, or another URL of fsspec.",
)
@click.option(
    "--expires",
    multiple=True,
    metavar="ROLE=DAYS",
    help="Days until a signature expires; by default root=365, targets=90, snapshot=14 and "
    "timestamp=3. May be repeated.",
)
@ask_new_passphrase
@json_option
def init(
    path: Path,
    root_keys: tuple[str, ...],
    targets_keys: tuple[str, ...],
    online_key: str,
    root_threshold: int,
    targets_threshold: int,
    url: str | None,
    expires: tuple[str, ...],
    ask_passphrase: bool,
    as_json: bool,
) -> None:
    """Make the keys and the first root, which apps include.

    Run it once for each app. Apps may share a root key: each root names its pin set, and clients
    follow no root of another one.

    Writes publish/ beside the pin file (beside the target of a link): publish.toml, and
    site/metadata/1.root.json. If another person has a root key, it writes a draft of the root that
    needs that person's signature. New keys are P-256 keys, in files of mode 600 or on their token.

    The online key must not be among the others: an attacker may break into its machine.

    \b
    certpin publish init --root-key root.key --targets-key targets.key \\
      --online-key online.key --url s3://bank-pins/app
    certpin publish init --root-key root.key --targets-key targets.key \\
      --online-key awskms:alias/pins-online

    Exit code 0: done. 2: refused, nothing was changed; wrong usage, or an invalid file.
    """  # noqa: D301  # click reads the \b itself
    from certpin.errors import ConfigError
    from certpin.pinfile import PinSet
    from certpin.pins import utc_now

    with tuf_needed():
        from tuf.api.metadata import Metadata

        from certpin.publish import folder, roots, settings
        from certpin.publish.sign import sign
        from certpin.publish.signing_plan import SigningPlan, SigningPolicy
        from certpin.publish.state import FolderState
        from certpin.publish.storage import check_url
        from certpin.updates.trust import dart_shortage

    pins = PinSet.load(path)
    here = folder.folder_of(path)
    _refuse_known(here, path, pins.name)
    ours = settings.PublishSettings(check_url(url) if url is not None else None, _days(expires))
    places: dict[Kind, Sequence[str]] = {
        "root": root_keys,
        "targets": targets_keys,
        "online": [online_key],
    }
    thresholds: dict[Kind, int] = {"root": root_threshold, "targets": targets_threshold}
    _check_keys(places, thresholds)
    now = utc_now().replace(microsecond=0)
    with Keyring(ask=ask_passphrase) as keyring:
        keys = {kind: [keyring.take(place) for place in some] for kind, some in places.items()}
        public = {kind: [taken.key for taken in some] for kind, some in keys.items()}
        policy = SigningPolicy(
            FolderState(pins.name), ours, now, ConfigError("no version is published yet")
        )
        root = roots.first_root(public, thresholds, policy.expiry("root"), pins.name)
        why_not = _why_not_flutter(pins) or dart_shortage(root)
        ours = replace(ours, flutter=not why_not)
        roots.check(root, (), now, ours, pins.name)
        signers = {taken.key.keyid: taken.signer for taken in keys["root"] if taken.signer}
        _write(here, ours, sign(SigningPlan(policy, Metadata(root)), signers, frozenset()))
    print_result(open_context(path), keys, why_not, as_json=as_json)


def _why_not_flutter(pins: AnyPinSet) -> str:
    """Return why Flutter apps could not use this pin set; empty if they can."""
    from certpin.errors import ConfigError
    from certpin.formats.flutter.published import published

    try:
        published(replace(pins, debug=None))
    except ConfigError as exc:
        return exc.problem
    return ""


def _days(words: Sequence[str]) -> Mapping[str, int]:
    from certpin.publish.settings import DEFAULT_DAYS, check_days

    days = dict(DEFAULT_DAYS)
    for word in words:
        role, _, number = word.partition("=")
        if not (number.isascii() and number.isdigit() and len(number) < 9):
            raise click.UsageError(f"--expires {word[:80]!r} is not ROLE=DAYS, as in timestamp=3")
        days[role] = check_days(role, int(number))
    return days


def _refuse_known(here: Path, path: Path, name: str) -> None:
    from certpin.errors import ConfigError
    from certpin.publish.folder import require_owner

    if here.exists():
        require_owner(here, path, name)
        raise ConfigError(
            f"{here} already exists",
            key="publish",
            fix="add or replace a key with certpin publish add-key; see certpin publish status",
        )


def _check_keys(places: Mapping[Kind, Sequence[str]], thresholds: Mapping[Kind, int]) -> None:
    """Check the options for keys before any key is made.

    Args:
        places: the files or URIs of the keys for each role.
        thresholds: how many keys must sign for each role.

    Raises:
        click.UsageError: a key is given twice, there are too few keys, or the online key has
            another role too.
    """
    for kind, some in places.items():
        if len(set(some)) != len(some):
            raise click.UsageError(f"a key is given twice for {kind}")
        if thresholds.get(kind, 1) > len(some):
            raise click.UsageError(
                f"{kind} needs signatures of {thresholds[kind]} keys, and has only {len(some)}"
            )
    if set(places["online"]) & {*places["root"], *places["targets"]}:
        raise click.UsageError("the online key must not be among those of root or targets")


def _write(here: Path, ours: PublishSettings, done: SigningResult) -> None:
    """Write the folder ``publish``.

    It is written under a temporary name and then renamed, so that it appears complete.

    Args:
        here: the path of the folder ``publish``.
        ours: the settings for ``publish.toml``.
        done: the signed metadata.

    Raises:
        ConfigError: the folder can't be written.
    """
    import tempfile

    from certpin.errors import ConfigError
    from certpin.publish import folder, settings

    try:
        made = Path(tempfile.mkdtemp(prefix=f".{here.name}.", dir=here.parent))
        try:
            folder.write(made, done)
            (made / folder.SETTINGS).write_text(settings.text_of(ours), encoding="utf-8")
            made.chmod(0o755)
            made.rename(here)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
    except OSError as exc:
        raise ConfigError(
            f"it cannot be written: {exc.strerror or exc}", key=str(here), fix="check its rights"
        ) from exc


def print_result(
    context: PublishContext,
    keys: Mapping[Kind, Sequence[SigningKey]],
    why_not: str,
    *,
    as_json: bool,
) -> None:
    """Print each key with its place, the signatures that are missing, and the next command.

    Args:
        context: the new folder ``publish``, read after it was written.
        keys: the keys by their role.
        why_not: why Flutter apps can't use the pin sets; empty if they can.
        as_json: True to print JSON.
    """
    ready = context.policy.state.root is not None
    next_command = sign_command(context.path)
    pending = context.pending
    if as_json:
        print_json(
            {
                "file": str(context.path),
                "url": context.policy.settings.url,
                "flutter": context.policy.settings.flutter,
                "keys": [_key_json(kind, key) for kind, some in keys.items() for key in some],
                "ready": ready,
                "waits": [wait_json(wait) for wait in pending],
                "next": next_command,
            }
        )
        return
    for kind, some in keys.items():
        for key in some:
            click.echo(fold(_key_text(kind, key), sys.stdout))
    root = context.folder / "site" / "metadata" / "1.root.json"
    if ready:
        click.echo(fold(f"The first root is {root}. Include it in your apps.", sys.stdout))
    for wait in pending:
        click.echo(fold(wait_text(wait), sys.stdout))
    if why_not:
        reason = f"Flutter apps can't use these pin sets: {why_not}."
        line = f"{reason} So publish.toml has flutter = false."
        click.echo(fold(line, sys.stdout))
    click.echo(f"Next:  {next_command}")


def _key_json(kind: str, key: SigningKey) -> dict[str, Any]:
    return {
        "role": kind,
        "key": key.key.keyid,
        "kind": kind_of(key.key),
        "place": key.place,
        "made": key.made,
    }


def _key_text(kind: str, key: SigningKey) -> str:
    made = "new, " if key.made else ""
    bare = f", {key.bare}" if key.bare else ""
    held = "" if key.signer else " (only the public key)"
    return f"{kind}: {key.key.keyid} ({made}{kind_of(key.key)}{bare}) in {key.place}{held}"
