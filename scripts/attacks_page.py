"""Write docs/attacks.md from the registry of the lab's cases."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from certpin.lab.attacks import CASES, CONTROL
from certpin.lab.case import Expect, Family
from certpin.lab.pki import LEGEND, Style

if TYPE_CHECKING:
    from collections.abc import Iterable

    from certpin.lab.case import Case

TARGET = Path(__file__).parent.parent / "docs" / "attacks.md"
HEADER = """\
# The attacks

<!-- Made by scripts/attacks_page.py (make attacks) from certpin/lab/attacks. Do not edit. -->

The cases of `certpin prove` and `certpin lab serve`, and the correct result for each kind of
client: without pins (none), pinned to the server's key and a backup (leaf), and pinned to the
intermediate or the root (ca). `certpin lab attacks NAME` prints the same in a terminal.

"""
_TITLES = "| case | presents | none | leaf | ca |\n|---|---|---|---|---|"
_WORDS = {
    Expect.ACCEPT: "accept",
    Expect.REJECT: "refuse",
    Expect.EITHER: "either",
    Expect.WARN: "refuse, or warn",
    Expect.POLICY: "your policy",
    Expect.UNDEFINED: "-",
}


def text() -> str:
    """Return the whole page."""
    parts = (_family(family, (CONTROL, *CASES)) for family in Family)
    return f"{HEADER}{LEGEND}\n\n" + "\n".join(part for part in parts if part)


def _family(family: Family, cases: Iterable[Case]) -> str:
    known = [case for case in cases if case.family is family]
    if not known:
        return ""
    rows = "\n".join(map(_row, known))
    return f"## {family.value}\n\n{_TITLES}\n{rows}\n\n" + "\n".join(map(_details, known))


def _row(case: Case) -> str:
    rights = " | ".join(_WORDS[case.expected.of(style)] for style in Style)
    return f"| [{case.name}](#{case.name}) | {_cell(case.presents)} | {rights} |"


def _details(case: Case) -> str:
    lines = {
        "Guards": case.guards,
        "Reference": case.reference,
        "To meet it": case.exercise,
        "Fix": case.fix,
    }
    facts = [f"- {label}: {_plain(line)}" for label, line in lines.items() if line]
    return "\n".join([f"### {case.name}", "", *facts, ""])


def _cell(line: str) -> str:
    return _plain(line).replace("|", r"\|")


def _plain(line: str) -> str:
    """Escape the characters of a line that Markdown reads as markup."""
    for mark in ("\\", "*", "_", "<", "`", "["):
        line = line.replace(mark, f"\\{mark}")
    return line


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
    sys.stdout.write(f"{TARGET.name}: {1 + len(CASES)} cases\n")
