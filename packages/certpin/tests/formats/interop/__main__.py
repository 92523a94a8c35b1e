"""Run every export in its real client, and write docs/reference/formats-proof.md.

All these programs must be installed.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.formats.interop._dart import CLIENTS, MISTAKES, DartClient, Mistake, failures
from tests.formats.interop._dart_page import client_row, mistake_row
from tests.formats.interop._page import TARGET, row, text
from tests.formats.interop._proofs import PROOFS, Proof, failed

if TYPE_CHECKING:
    from scripts.dart import DartVM


def _prove(proof: Proof) -> str:
    with tempfile.TemporaryDirectory(prefix="certpin-proof-") as folder:
        run = proof.run(Path(folder) / "client")
    if not run.controlled or failed(run) != proof.fails:
        raise SystemExit(f"{proof.name}: {failed(run)}, and not {dict(proof.fails)}")
    sys.stdout.write(f"{proof.name}: as it is written\n")
    return row(proof, run)


def _prove_dart(client: DartClient, vm: DartVM) -> str:
    with tempfile.TemporaryDirectory(prefix="certpin-proof-") as folder:
        report = client.run(Path(folder), vm)
    if report["exit_code"]:
        raise SystemExit(f"{client.name}, Dart {vm.version}: {report['summary']}")
    sys.stdout.write(f"{client.name}, Dart {vm.version}: nothing is wrong\n")
    return client_row(client, vm, report)


def _prove_mistake(mistake: Mistake) -> str:
    with tempfile.TemporaryDirectory(prefix="certpin-proof-") as folder:
        report = mistake.run(Path(folder))
    if report["controlled"] != mistake.works or failures(report) != mistake.fails:
        raise SystemExit(f"{mistake.name}: {failures(report)}, and not {dict(mistake.fails)}")
    sys.stdout.write(f"{mistake.name}: as it is written\n")
    return mistake_row(mistake, report)


if __name__ == "__main__":
    rows = list(map(_prove, PROOFS))
    dart_rows = [_prove_dart(client, vm) for client in CLIENTS for vm in client.vms]
    mistake_rows = list(map(_prove_mistake, MISTAKES))
    TARGET.write_text(text(rows, dart_rows, mistake_rows), encoding="utf-8")
    sys.stdout.write(f"{TARGET.name}: {len(rows + dart_rows + mistake_rows)} runs\n")
