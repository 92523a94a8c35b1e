"""Run every incident of the incident book, and write docs/concepts/incidents.md."""

from __future__ import annotations

import sys

from tests.incidents._incident import INCIDENTS, TARGET, import_all, page

if __name__ == "__main__":
    import_all()
    records = {}
    for number, known in sorted(INCIDENTS.items()):
        records[number] = known.record()
        sys.stdout.write(f"{number}. {known.title}: {len(records[number].said)} outputs\n")
    TARGET.write_text(page(records), encoding="utf-8")
    sys.stdout.write(f"{TARGET.name}: {len(records)} incidents\n")
