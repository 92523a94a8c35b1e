"""``certpin rotate``: change a key without locking any client out."""

from __future__ import annotations

import click

from certpin.cli.group import LazyGroup

COMMANDS = {
    "status": "Show the state of each pin, and until when each step is unsafe.",
    "plan": "Print the dated steps to another key.",
    "simulate": "Simulate a fleet: which clients would a plan, or a mistake, lock out?",
    "generate": "Make the key of the next backup, and record that it exists.",
    "stage": "Put a key's pin into the draft: the pin file.",
    "csr": "Make a certificate request (CSR) for a key, so that it gets a certificate.",
    "publish": "Record that the pin file goes out to clients, under the next version.",
    "activate": "Allow the servers to use a key. Run it before you install its certificate.",
    "retire": "Record that no server uses a key any more. Clients accept it until it is removed.",
    "remove": "Take a pin out of the draft. Clients drop it when the file is published.",
    "compromise": "Record that an attacker may have a key. It is never used again.",
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
    certpin rotate publish                                   record the version that clients have
    certpin rotate status                                    print the state of each pin
    certpin rotate plan --to NEW.key                         print the steps and their dates
    certpin rotate simulate --to NEW.key                     which clients would be locked out?

    Each step is written to a journal beside the pin file (pins.journal.jsonl), which belongs in
    version control with it. A step that would lock clients out is refused, with the invariant
    that it violates and the number of clients; --force --reason TEXT takes it anyway.

    Exit code 0: done. 1: refused, nothing was changed. 2: wrong usage, or an invalid file. 3: a
    server did not answer.
    """  # noqa: D301  # click reads the \b itself
