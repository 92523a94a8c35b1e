"""Write docs/lint.md from the registry of the rules."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from certpin.pinfile.lint import RULES

if TYPE_CHECKING:
    from certpin.pinfile.lint import Rule

TARGET = Path(__file__).parent.parent / "docs" / "lint.md"
HEADER = """\
# The rules of certpin lint

<!-- Made by scripts/lint_page.py (make rules) from the rules themselves. Do not edit. -->

What [`certpin lint`](commands.md#certpin-lint) looks for in a pin file. `certpin explain RULE` says
the same on a terminal.

An **error** locks users out or exposes them, and a **warning** may; a **note** is easily misread.
Rules marked *refused* tell of what no client loads: they cannot be allowed. Those marked *live*
need `--live`, and those marked *exports* need `--exported`.

Any other finding can be allowed, with a reason, by a comment on its line or on the lines above it:

```toml
# certpin: allow leaf-only-short-lived because certbot runs with --reuse-key
```

What is found on a missing key stands on the line of its table (`[[host]]`). In a list of inline
tables, each table has its line, and its keys have the same.

In the examples, `sha256/ONE` and the like stand for pins; `LEAF`, `INTERMEDIATE` and `ROOT` are
those of the server that is asked. The line of the finding is marked, as of 2027-03-01.

| rule | severity | needs | |
|---|---|---|---|
"""
_NEEDS = {"file": "", "live": "live", "exports": "exports"}


def text() -> str:
    """The whole page."""
    rows = "\n".join(map(_row, RULES.values()))
    return HEADER + rows + "\n\n" + "\n".join(map(_section, RULES.values()))


def _row(rule: Rule) -> str:
    needs = "refused" if rule.refuses else _NEEDS[rule.needs]
    return f"| [{rule.id}](#{rule.id}) | {rule.severity} | {needs} | {_plain(rule.summary)} |"


def _section(rule: Rule) -> str:
    facts = [f"*{rule.severity}.* {_plain(rule.summary)} {_plain(rule.why)}"]
    facts.append(f"**Fix:** {_plain(rule.fix)}.")
    facts += [f"**Source:** {_plain(rule.source)}."] if rule.source else []
    examples = [f"Bad:\n\n{_block(rule.bad)}", f"Good:\n\n{_block(rule.good)}"]
    return "\n\n".join([f"## {rule.id}", *facts, *examples]) + "\n"


def _block(example: str) -> str:
    return f"```toml\n{example.strip()}\n```"


def _plain(line: str) -> str:
    """A line in which Markdown reads no markup."""
    for mark in ("\\", "*", "_", "<", "`", "[", "|"):
        line = line.replace(mark, f"\\{mark}")
    return line


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
    sys.stdout.write(f"{TARGET.name}: {len(RULES)} rules\n")
