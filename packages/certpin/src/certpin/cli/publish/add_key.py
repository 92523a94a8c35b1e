"""``certpin publish add-key``: add a signing key to the next root metadata, or replace one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from certpin.cli.candidates import complete_files
from certpin.cli.options import json_option, pin_file_option, sign_command
from certpin.cli.publish.context import (
    Keyring,
    ask_new_passphrase,
    kind_of,
    locked_context,
    open_context,
    tuf_needed,
    wait_json,
    wait_text,
)
from certpin.cli.reply import fold, print_json, with_file

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.publish.roots import Kind


@click.command("add-key")
@click.argument("place", metavar="FILE|URI", shell_complete=complete_files)
@pin_file_option
@click.option(
    "--role",
    "kind",
    type=click.Choice(["root", "targets", "online"]),
    required=True,
    help="The role of the key: it signs other keys (root), pin sets (targets), or the newest "
    "version each day (online).",
)
@click.option(
    "--replace",
    "replaced",
    metavar="KEYID",
    help="The ID of the key that it replaces, or the beginning of the ID. A new online key always "
    "replaces the previous one.",
)
@click.option(
    "--threshold",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many keys of this role have to sign, from the next root on.",
)
@ask_new_passphrase
@json_option
def add_key(
    place: str,
    path: Path,
    kind: Kind,
    replaced: str | None,
    threshold: int | None,
    ask_passphrase: bool,
    as_json: bool,
) -> None:
    """Add a key to the next root, or replace another one.

    Use it for a second signer, or to replace a key that is lost, stolen or old.

    FILE is a private key, or only the public key (PEM) of another person; URI is a key on a PKCS#11
    token, or in a key service (awskms:, gcpkms:, azurekms:, hv:). It is made if it does not exist,
    except in a service. The next root is a draft until `certpin publish sign` has signed it with
    enough root keys, both of the previous root and of the next one.

    \b
    certpin publish add-key new-online.key --role online
    certpin publish add-key anna.pem --role targets --threshold 2

    Exit code 0: done. 2: refused, nothing was changed; wrong usage, or an invalid file.
    """  # noqa: D301  # click reads the \b itself
    with tuf_needed():
        from certpin.publish import folder
        from certpin.publish.roots import moved_keys
        from certpin.publish.sign import SigningResult
        from certpin.publish.signing_plan import draft_new_key

    with locked_context(path) as context, Keyring(ask=ask_passphrase) as keyring:
        taken = keyring.take(place)
        root = draft_new_key(
            context.policy, taken.key, kind, replaced=replaced, threshold=threshold
        )
        folder.write(context.folder, SigningResult(drafts={"root": root}))
    context = open_context(path)
    pending, next_command = context.pending, sign_command(path)
    if left := moved_keys(root.signed, context.policy.state.roots):  # sign would refuse the draft
        next_command = with_file(min(left).command)
    if as_json:
        print_json(
            {
                "file": str(path),
                "role": kind,
                "key": taken.key.keyid,
                "kind": kind_of(taken.key),
                "place": taken.place,
                "made": taken.made,
                "root": root.signed.version,
                "waits": [wait_json(wait) for wait in pending],
                "next": next_command,
            }
        )
        return
    made = " It is new" + (f", {taken.bare}." if taken.bare else ".") if taken.made else ""
    click.echo(
        fold(
            f"{kind}: {taken.key.keyid} ({kind_of(taken.key)}) becomes valid with root "
            f"{root.signed.version}.{made}",
            sys.stdout,
        )
    )
    for wait in pending:
        click.echo(fold(wait_text(wait), sys.stdout))
    click.echo(f"Next:  {next_command}")
