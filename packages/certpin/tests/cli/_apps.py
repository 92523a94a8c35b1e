"""Helpers for ``certpin import dart``: write the source code of small apps and import its pins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from certpin.pins import Pin
from tests.apps._project import write
from tests.kit import NOBODY

if TYPE_CHECKING:
    from tests.cli.conftest import Done, Run

HOST = "api.bank.example"
BAD = "void start(HttpClient c) {\n  c.badCertificateCallback = (cert, host, port) => true;\n}\n"


def colons(pin: Pin) -> str:
    return pin.digest.hex(":").upper()


def dart_code(*pins: Pin, host: str = "") -> str:
    """Return Dart code of an app with these pins as fingerprints.

    The code has a map from ``host`` to the fingerprints, or only a list of them without a host.
    """
    items = [f"    '{colons(pin) if pin.kind == 'cert-sha256' else pin}',\n" for pin in pins]
    if host:
        return f"const pins = {{\n  '{host}': [\n{''.join(items)}  ],\n}};\n"
    return f"const allowedFingerprints = [\n{''.join(items)}];\n"


WHOLE = Pin("cert-sha256", bytes(range(3, 35)))
TWO = dart_code(NOBODY, WHOLE, host=HOST)


def imported(run: Run, code: str, *words: str, **files: str) -> Done:
    write(Path(), {"lib/api.dart": code, **files})
    return run("import", "dart", "lib", *(("pubspec.yaml",) if files else ()), *words)
