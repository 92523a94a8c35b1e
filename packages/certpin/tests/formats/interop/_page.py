"""docs/reference/formats-proof.md: a table of the exports' runs in their real clients."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from certpin.lab.verdict import Outcome
from scripts import peers
from tests.formats.interop._dart_page import dart_text
from tests.formats.interop._proofs import NOT_RUN, PROOFS, REASONS, failed
from tests.formats.interop._recipes import recipes_text

if TYPE_CHECKING:
    from certpin.lab.runner import Run
    from tests.formats.interop._proofs import Proof

TARGET = Path(__file__).parents[5] / "docs/reference/formats-proof.md"
_HEADER = """\
# Formats, proven

<!-- Made by `make proof` from packages/certpin/tests/formats/interop. Do not edit. -->

Each export was loaded into its real client, and the client was run against the lab's
[matrix](attacks/index.md). The lab creates keys and pins, and certpin exports them; the client gets
the pins only from the exported file. *Right* counts the cases with the correct result for a client
that is pinned in this [style](../guides/prove.md#correct-behaviour): attacks that were refused, and
legitimate changes that were accepted, among them the backup key and a renewal. The runs were made
on Debian 13. The tests compare the failed cases of every line with those of its client, and the
numbers with the cases of the lab.

| format | client | made with | pinned on | right | policy | not run | failed cases |
|---|---|---|---|---|---|---|---|
"""
_BETWEEN = """
*Policy* counts the cases that are not judged, because the result depends on your own policy.
*Not run* counts the cases that do not apply to the client, or that it does not reach:
`certpin prove` prints the reason for each. nginx and HAProxy have no pins, so they
are run with the lab's root as their only trust anchor. Java's own client has no pins and no format:
it uses the trust anchors of another format, here the file that is exported with nginx's directives.

Cases with a [compromised key](attacks/compromised-key.md) are *not run* if the client's format has
no list of keys to refuse. Node.js and Dart see only the server's own key, so the case of a
compromised intermediate is not run for them. Go runs all of these cases.

## Reasons for the failures

Except for `rogue-trailing-dot`, the pins cause none of these failures: each comes from the way in
which a client checks names and chains before it checks a pin. If the leaf is pinned, an attacker
also needs the pinned key. The [gallery](../../examples/clients/README.md) explains how each failure
was traced to its client. It leaves out HAProxy, which refuses the same name with a dot instead of
the NUL.

"""
_REST = """
## Formats that were not run

| format | |
|---|---|
"""


def row(proof: Proof, run: Run) -> str:
    """Return the line of the table for the run of one export in its client."""
    right = run.count(Outcome.RIGHT) - 2  # the good control, first and last
    tried = right + sum(run.count(each) for each in (Outcome.WRONG, Outcome.WARNING))
    fails = ", ".join(f"`{name}`" for name in sorted(failed(run))) or "nothing"
    chosen = f"{right} of {tried}" + (" (chosen)" if proof.cases else "")
    cells = (f"`{proof.format}`", proof.client, version(proof), f"{proof.style}", chosen)
    left = [
        "-" if proof.cases else f"{run.count(each)}" for each in (Outcome.TOLD, Outcome.NOT_RUN)
    ]
    return f"| {' | '.join((*cells, *left, fails))} |"


def version(proof: Proof) -> str:
    """Run the client of a proof with its option for the version. Return its name and version."""
    program, *words = proof.version
    peer = peers.by_name().get(program)
    path = peer.find() if peer else None
    done = subprocess.run(
        [path or program, *words], capture_output=True, text=True, check=True, timeout=60
    )
    found = re.search(r"\d+\.\d+(?:\.\d+)*", done.stdout + done.stderr)
    return f"{program} {found[0] if found else '?'}"


def text(rows: list[str], dart_rows: list[str], mistake_rows: list[str]) -> str:
    """Return the whole page, from the lines of its tables.

    Args:
        rows: the exports in their clients.
        dart_rows: the clients of the Dart package.
        mistake_rows: the Dart clients with mistakes.
    """
    named = sorted({name for proof in PROOFS for name in proof.fails})
    reasons = "".join(f"- `{name}`: {REASONS[name]}.\n" for name in named)
    rest = "".join(f"| `{name}` | {why} |\n" for name, why in NOT_RUN.items())
    dart = dart_text(dart_rows, mistake_rows)
    proven = _HEADER + "\n".join(rows) + "\n" + _BETWEEN + reasons + dart + _REST + rest
    return proven + recipes_text()
