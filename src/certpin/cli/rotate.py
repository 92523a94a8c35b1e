"""``certpin rotate``: from one key to the next, and nobody is locked out."""

from __future__ import annotations

import click

from certpin.cli.rotate_csr import csr
from certpin.cli.rotate_moves import activate, compromise, remove, retire
from certpin.cli.rotate_pins import generate, stage
from certpin.cli.rotate_plan import plan
from certpin.cli.rotate_publish import ended, publish
from certpin.cli.rotate_simulate import simulate
from certpin.cli.rotate_status import status


@click.group()
def rotate() -> None:
    """Change a key without locking anyone out.

    \b
    certpin rotate publish                                   record what clients have now
    certpin rotate status                                    where does each pin stand?
    certpin rotate plan --to NEW.key                         what is to be done, and when?
    certpin rotate simulate --to NEW.key                     whom would it lock out?

    Each step is written to a journal beside the pin file (pins.journal.jsonl), which belongs into
    version control with it. A step that would lock somebody out is refused, with the invariant
    that it breaks and the number of clients; --force --reason TEXT does it all the same.

    Exit code 0: done. 1: refused, nothing was changed. 2: usage, or a bad file. 3: a host could not
    be asked.
    """  # noqa: D301  # click reads the \b itself


for each in (
    status,
    plan,
    simulate,
    generate,
    stage,
    csr,
    publish,
    activate,
    retire,
    remove,
    compromise,
    ended,
):
    rotate.add_command(each)
