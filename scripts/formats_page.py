"""Write docs/formats.md from the registry of the formats."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from certpin.formats import FORMATS

if TYPE_CHECKING:
    from certpin.formats import Format
    from certpin.formats.projection import Limitation

TARGET = Path(__file__).parent.parent / "docs" / "formats.md"
HEADER = """\
# One pin set for every platform

<!-- Made by scripts/formats_page.py (make formats) from certpin/formats. Do not edit. -->

`certpin export FORMAT` writes the pins of `pins.toml` in the format of another platform, and
`certpin import FORMAT FILE` reads them from there. Maintain the pins only in `pins.toml`, and let
CI check that every copy is up to date: `certpin export FORMAT --out PATH --check`.

Most platforms cannot express all settings of a pin file. The export prints a warning for each
omitted setting, with the reason; with `--strict` this is an error. An export that would lock users
out or protect nothing is refused. `removed` pins, roles, states and notes are exported only by
`json`. If the platform has a list of keys to refuse, it contains the
[`compromised`](pinfile.md#removed-and-compromised-keys) keys; otherwise they are omitted with a
warning. `strict_x509` applies only to Python, and is exported only by `json`. An import prints a
warning for each setting that it skips.

The results of attacks on real clients with their exports are in
[formats, proven](formats-proof.md).

"""


def text() -> str:
    """Return the whole page."""
    rows = "\n".join(map(_row, FORMATS.values()))
    table = f"| format | platform |\n|---|---|\n{rows}\n"
    return HEADER + table + "".join(map(_section, FORMATS.values()))


def _row(chosen: Format) -> str:
    return f"| [`{chosen.name}`](#{chosen.name}) | {chosen.title} |"


def _section(chosen: Format) -> str:
    limits = "\n".join(map(_limit, chosen.limits)) or "Nothing: it can express all settings."
    out, file = ("FOLDER", f"FOLDER/{chosen.file}") if chosen.folder else (chosen.file,) * 2
    needs = "".join(f"\n- {need}" for need in chosen.needs)
    notes = f"\n\nIt relies on:\n{needs}" if needs else ""
    return f"""
## {chosen.name}

{chosen.title}. {chosen.use}

    certpin export {chosen.name} --out {out}
    certpin import {chosen.name} {file}

Omissions, changes and refusals:

{limits}{notes}
"""


def _limit(limit: Limitation) -> str:
    return f"- {limit.summary}. {limit.why[0].upper()}{limit.why[1:]}."


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
    sys.stdout.write(f"{TARGET.name}: {len(FORMATS)} formats\n")
