"""``certpin rotate``: from one key to the next, and nobody is locked out."""

from __future__ import annotations

import click

from certpin.cli.group import LazyGroup

COMMANDS = {
    "status": "Draw where each pin stands, and say until when each step is unsafe.",
    "plan": "Print the dated steps to another key.",
    "simulate": "See whom a plan, or a slip, would lock out: a simulated fleet.",
    "generate": "Make the key of the next backup, and remember that it exists.",
    "stage": "Put a key's pin into the draft: the pin file.",
    "csr": "Make a certificate request (CSR) for a key, so that it gets a certificate.",
    "publish": "Record that the pin file goes out to clients, under the next version.",
    "activate": "Allow the servers to use a key. Run it before you install its certificate.",
    "retire": "Note that no server uses a key any more. Clients accept it until it is removed.",
    "remove": "Take a pin out of the draft. Clients hear of it when the file is published.",
    "compromise": "Note that somebody else may have a key. It never comes back.",
    "ended": "Record that no client holds a version any more.",
}
_MODULES = {
    "status": "rotate.status",
    "plan": "rotate.plan",
    "simulate": "rotate.simulate",
    "generate": "rotate.keys",
    "stage": "rotate.keys",
    "csr": "rotate.keys",
    "publish": "rotate.publish",
    "activate": "rotate.transitions",
    "retire": "rotate.transitions",
    "remove": "rotate.transitions",
    "compromise": "rotate.transitions",
    "ended": "rotate.publish",
}


@click.group(cls=LazyGroup, lazy=COMMANDS, modules=_MODULES)
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
