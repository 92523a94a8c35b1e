"""``certpin publish``: signed pin sets, which installed clients fetch by themselves."""

from __future__ import annotations

import click

from certpin.cli.publish_init import init
from certpin.cli.publish_keys import add_key
from certpin.cli.publish_push import push
from certpin.cli.publish_sign import sign
from certpin.cli.publish_status import status
from certpin.cli.publish_verify import verify
from certpin.cli.publish_wultra import wultra


@click.group()
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


for each in (
    init,
    add_key,
    sign,
    push,
    status,
    wultra,
    verify,
):
    publish.add_command(each)
