"""Write docs/formats.md from the registry of the formats."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from certpin.formats import FORMATS

if TYPE_CHECKING:
    from certpin.formats import Format
    from certpin.formats.fit import Limit

TARGET = Path(__file__).parent.parent / "docs" / "formats.md"
HEADER = """\
# One pin set for every platform

<!-- Made by scripts/formats_page.py (make formats) from src/certpin/formats. Do not edit. -->

`certpin export FORMAT` writes the pins of `pins.toml` as another platform wants them, and
`certpin import FORMAT FILE` reads them back. Keep one list, in `pins.toml`, and let CI see to it
that no copy drifts away from it: `certpin export FORMAT --out PATH --check`.

Hardly any platform can express all that a pin file says. Whatever is lost is told when you export,
with the reason, and is an error with `--strict`. What would lock users out, or protect nothing, is
refused. `removed` pins, roles, states and notes stay behind; only `json` has them. A
[`compromised`](pinfile.md#removed-and-compromised-keys) key is refused where the platform has a
list of keys to refuse; elsewhere it is left out, and the export says so. `strict_x509` is only for
Python, and only in `json`. An import likewise names everything that it leaves behind.

What real clients do with their exports, attacked: [formats, proven](formats-proof.md).

"""


def text() -> str:
    """The whole page."""
    rows = "\n".join(map(_row, FORMATS.values()))
    table = f"| format | platform |\n|---|---|\n{rows}\n"
    return HEADER + table + "".join(map(_section, FORMATS.values()))


def _row(chosen: Format) -> str:
    return f"| [`{chosen.name}`](#{chosen.name}) | {chosen.title} |"


def _section(chosen: Format) -> str:
    limits = "\n".join(map(_limit, chosen.limits)) or "It can express everything."
    out, file = ("FOLDER", f"FOLDER/{chosen.file}") if chosen.folder else (chosen.file,) * 2
    needs = "".join(f"\n- {need}" for need in chosen.needs)
    mind = f"\n\nMind:\n{needs}" if needs else ""
    return f"""
## {chosen.name}

{chosen.title}. {chosen.use}

    certpin export {chosen.name} --out {out}
    certpin import {chosen.name} {file}

What it cannot express:

{limits}{mind}
"""


def _limit(limit: Limit) -> str:
    return f"- {limit.summary}. {limit.why[0].upper()}{limit.why[1:]}."


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
    sys.stdout.write(f"{TARGET.name}: {len(FORMATS)} formats\n")
