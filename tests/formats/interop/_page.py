"""docs/formats-proof.md: one table, of what was run."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from certpin.lab.verdict import Outcome
from scripts import peers
from tests.formats.interop._proofs import NOT_RUN, PROOFS, REASONS, failed

if TYPE_CHECKING:
    from certpin.lab.runner import Run
    from tests.formats.interop._proofs import Proof

TARGET = Path(__file__).parents[3] / "docs" / "formats-proof.md"
_HEADER = """\
# Formats, proven

<!-- Made by `make proof` from tests/formats/interop. Do not edit. -->

Each export was given to its real client, and the client run against the lab's
[matrix](attacks.md): the lab makes keys and pins, certpin exports them, and the client has them in
no other way. *Right* counts what came out as it should for a client that is [pinned so](prove.md):
attacks that were refused, and legitimate changes that were accepted, the backup key and a renewal
among them. Made on Debian 13; the tests insist on every line.

| format | client | made with | pinned on | right | not run | what it fails |
|---|---|---|---|---|---|---|
"""
_BETWEEN = """
*Not run* are cases that mean nothing for such a client, or that it never comes to:
[why](prove.md#verdicts). nginx and HAProxy know no pins, so they are proven with the lab's root as
their only anchor. Java's own client knows none either, and there is no format for it: it takes the
anchors of another, here those that lie beside nginx's directives.

Cases with a [compromised key](attacks.md#compromised-key) are *not run* for a client whose format
has no list of keys to refuse. Node.js and Dart see only the server's own key, so they are not run
with a compromised intermediate. Go runs all.

## What they really fail

None of this is the pins' doing: each is how a client reads names and chains before it comes to a
pin. With a pin on the leaf, an attacker needs the pinned key besides. How it was found to be the
client's own is told in the [gallery](../examples/clients/README.md) for all but HAProxy, which
refuses the same name with a dot where the NUL is.

"""
_REST = """
## What was not run

| format | |
|---|---|
"""


def row(proof: Proof, run: Run) -> str:
    """Return the line of one run."""
    right = run.count(Outcome.RIGHT) - 2  # the good control, first and last
    tried = right + sum(run.count(each) for each in (Outcome.WRONG, Outcome.WARNING))
    fails = ", ".join(f"`{name}`" for name in sorted(failed(run))) or "nothing"
    chosen = f"{right} of {tried}" + (" (chosen)" if proof.cases else "")
    cells = (f"`{proof.format}`", proof.client, version(proof), f"{proof.style}", chosen)
    left = "-" if proof.cases else run.count(Outcome.NOT_RUN)
    return f"| {' | '.join(cells)} | {left} | {fails} |"


def version(proof: Proof) -> str:
    """Return a program and its version."""
    program, *words = proof.version
    peer = peers.by_name().get(program)
    path = peer.find() if peer else None
    done = subprocess.run(
        [path or program, *words], capture_output=True, text=True, check=True, timeout=60
    )
    found = re.search(r"\d+\.\d+(?:\.\d+)*", done.stdout + done.stderr)
    return f"{program} {found[0] if found else '?'}"


def text(rows: list[str]) -> str:
    """The whole page."""
    named = sorted({name for proof in PROOFS for name in proof.fails})
    reasons = "".join(f"- `{name}`: {REASONS[name]}.\n" for name in named)
    rest = "".join(f"| `{name}` | {why} |\n" for name, why in NOT_RUN.items())
    return _HEADER + "\n".join(rows) + "\n" + _BETWEEN + reasons + _REST + rest
