"""``certpin publish``: sign pin sets, which installed clients fetch and verify with TUF."""

from __future__ import annotations

import click

from certpin.cli.main import LazyGroup

COMMANDS = {
    "init": "Make the keys and the first root, which apps include.",
    "add-key": "Add a key to the next root, or replace another one.",
    "sign": "Sign, with the given keys, all metadata that need their signatures now.",
    "propose": "Begin a signing event: a branch that each signer signs from a clone.",
    "review": "Check that a branch is a signing event, and changes nothing else.",
    "push": "Upload the signed files to the place from which clients fetch them.",
    "status": "Show roles, keys and dates, and pending signatures and pushes.",
}


@click.group(cls=LazyGroup, lazy=COMMANDS, package="certpin.cli.publish")
def publish() -> None:
    """Sign pin sets, and deliver them to installed clients.

    \b
    certpin publish init --root-key root.key --targets-key targets.key --online-key online.key
    certpin publish sign targets.key online.key              check the pin file, and sign it
    certpin publish push                                     upload it
    certpin publish status                                   print dates and pending signatures

    Clients (certpin.updates.PinUpdater) fetch the pushed files, and accept them if the keys of the
    app's root have signed them: an attacker who controls only the server or the network can't
    change a pin. The signed files are in publish/, beside the pin file, and belong in version
    control; private keys do not.

    Needs pip install 'certpin[publish]'.
    """  # noqa: D301  # click reads the \b itself
