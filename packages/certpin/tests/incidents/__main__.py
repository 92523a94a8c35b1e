"""Play every incident, and write the page."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from tests.incidents._incident import INCIDENTS, TARGET, page

if __name__ == "__main__":
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        import_module(f"tests.incidents.{path.stem}")
    records = {}
    for number, known in sorted(INCIDENTS.items()):
        records[number] = known.record()
        sys.stdout.write(f"{number}. {known.title}: {len(records[number].said)} outputs\n")
    TARGET.write_text(page(records), encoding="utf-8")
    sys.stdout.write(f"{TARGET.name}: {len(records)} incidents\n")
