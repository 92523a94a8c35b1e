"""Run every export in its client, and write the page. All programs must be installed."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.formats.interop._page import TARGET, row, text
from tests.formats.interop._proofs import PROOFS, Proof, failed


def _prove(proof: Proof) -> str:
    with tempfile.TemporaryDirectory(prefix="certpin-proof-") as folder:
        run = proof.run(Path(folder) / "client")
    if not run.controlled or failed(run) != proof.fails:
        raise SystemExit(f"{proof.name}: {failed(run)}, and not {dict(proof.fails)}")
    sys.stdout.write(f"{proof.name}: as it is written\n")
    return row(proof, run)


if __name__ == "__main__":
    TARGET.write_text(text(list(map(_prove, PROOFS))), encoding="utf-8")
    sys.stdout.write(f"{TARGET.name}: {len(PROOFS)} runs\n")
