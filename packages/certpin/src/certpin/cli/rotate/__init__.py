"""``certpin rotate``: the commands that change a server's key without locking out any client."""

from __future__ import annotations

import click

from certpin.cli.main import LazyGroup

COMMANDS = {
    "start": "Begin a rotation: put a key's pin into the pin file, under the next version.",
    "status": "Show the state of each key at each server, and the next safe action with its date.",
    "switch": "Check a chain before servers use it. Run it before you install a certificate.",
    "finish": "End a rotation: take the replaced keys out of the pin file, under the next version.",
    "emergency": "A key was stolen or lost: record it, and print the shortest way out.",
    "shipped": "Record that a version gets to clients in an app, or in another way.",
    "plan": "Print the dated steps to another key.",
    "simulate": "Simulate a fleet: which clients would a plan, or a mistake, lock out?",
    "csr": "Make a certificate request (CSR) for a key, so that it gets a certificate.",
    "webhook": "Serve the gate as an admission webhook for cert-manager, until SIGTERM or SIGINT.",
    "history": "Print the journal: who did what, and when.",
    "gone": "Record that a server that was seen once is switched off.",
    "clock": "Repair journal entries that came from a clock that was ahead.",
}
_MODULES = {"csr": "keys"}


@click.group(cls=LazyGroup, lazy=COMMANDS, package="certpin.cli.rotate", modules=_MODULES)
def rotate() -> None:
    """Change a key without locking anyone out.

    \b
    certpin rotate start --new next.key      a new key: its pin is in the next version
    certpin rotate status                    the safe steps, with their dates
    certpin rotate switch fullchain.pem      check that servers may use the key
    certpin rotate finish                    no server uses the old key: take it out

    The pin file is the draft of the next version. A version counts as released once that is
    recorded: by certpin publish sign and push for a signed set, by certpin rotate shipped for a
    release of an app or any other release. T_adopt is the time that the slowest client takes to
    get a version: the sum of the delays --cdn, --cache, --poll, --opened and --skew.

    A key goes through these states: GENERATED (it exists), STAGED (its pin is in the draft),
    PUBLISHED (in the version for clients), ADOPTED (T_adopt later: every client accepts it), ACTIVE
    (servers may use it), RETIRING (no server uses it), REMOVED. COMPROMISED (an attacker may
    have it) is possible from any of them, and LOST (it no longer exists) from any before REMOVED.

    Each step is written to a journal beside the pin file (pins.journal.jsonl), which belongs in
    version control with it. A step that would lock clients out is refused, with the invariant
    that it violates and the number of clients; --force --reason TEXT takes it anyway.

    Exit code 0: done. 1: refused, nothing was changed. 2: wrong usage, or an invalid file. 3: a
    server did not answer.
    """  # noqa: D301  # click reads the \b itself
