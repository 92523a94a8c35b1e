"""``certpin publish``: signed pin sets, which installed clients fetch by themselves."""

from __future__ import annotations

import click

from certpin.cli.group import LazyGroup

COMMANDS = {
    "init": "Make the keys and the first root, which apps bring with them.",
    "add-key": "Bring a key into the next root, or put it into another one's place.",
    "sign": "Sign, with the keys that are given, whatever they have to sign now.",
    "push": "Bring the signed files to the place that clients fetch from.",
    "status": "Show roles, keys and dates, and what waits to be signed or pushed.",
}
_MODULES = {
    "init": "publish.init",
    "add-key": "publish.keys",
    "sign": "publish.sign",
    "push": "publish.push",
    "status": "publish.status",
}


@click.group(cls=LazyGroup, lazy=COMMANDS, modules=_MODULES)
def publish() -> None:
    """Sign pin sets, and bring them to installed clients.

    \b
    certpin publish init --root-key root.key --targets-key targets.key --online-key online.key
    certpin rotate publish                                   a version of the pin file is ready
    certpin publish sign targets.key online.key              sign it
    certpin publish push                                     bring it out
    certpin publish status                                   what ends when, and who has to sign?

    Clients (certpin.updates.PinUpdater) fetch what is pushed. They believe it if it is signed by
    the keys that the app's root names, so that nobody who has the server or the network alone can
    change a pin. What is signed is in publish/, beside the pin file, which belongs into version
    control; private keys do not.

    Needs pip install 'certpin[publish]'.
    """  # noqa: D301  # click reads the \b itself
