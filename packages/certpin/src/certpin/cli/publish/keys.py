"""``certpin publish add-key``: add a key to the next root, or replace another one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from certpin.cli.options import json_option, pin_file_option
from certpin.cli.publish.signing_keys import ask_new_passphrase
from certpin.cli.reply import fold, print_json

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.publish.roots import Kind


@click.command("add-key")
@click.argument("place", metavar="FILE|URI")
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

    FILE is a private key, or only the public key (PEM) of another person; URI is a key on a PKCS#11
    token. It is made if it does not exist. The next root is a draft until `certpin publish sign`
    has signed it with enough root keys, both of the previous root and of the next one.
    """
    from certpin.cli.publish.context import (
        kind_of,
        locked_context,
        open_context,
        tuf_needed,
        wait_json,
        wait_text,
    )
    from certpin.cli.publish.signing_keys import Keyring

    with tuf_needed():
        from certpin.publish import folder
        from certpin.publish.sign import SigningResult
        from certpin.publish.signing_plan import draft_new_key

    with locked_context(path) as context, Keyring(ask=ask_passphrase) as keyring:
        taken = keyring.take(place)
        root = draft_new_key(
            context.policy, taken.key, kind, replaced=replaced, threshold=threshold
        )
        folder.write(context.folder, SigningResult(drafts={"root": root}))
    context = open_context(path)
    pending = context.pending
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
                "next": "certpin publish sign KEY",
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
    click.echo("Next:  certpin publish sign KEY")
