"""Write docs/lint.md from the registry of the lint rules."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from certpin.lint import RULES

if TYPE_CHECKING:
    from certpin.lint import LintRule

TARGET = Path(__file__).parent.parent / "docs" / "lint.md"
HEADER = """\
# The rules of certpin lint

<!-- Made by scripts/lint_page.py (make rules) from the rules themselves. Do not edit. -->

The mistakes that [`certpin lint`](commands.md#certpin-lint) finds in a pin file. `certpin explain
RULE` prints the same on a terminal.

An **error** locks users out or exposes them, and a **warning** may; a **note** is easily misread.
Findings of rules marked *refused* cannot be allowed, because no client loads such a file. Rules
marked *live* need `--live`, and those marked *exports* need `--exported`.

Any other finding can be allowed, with a reason, by a comment on its line or on the lines above it:

```toml
# certpin: allow leaf-only-short-lived because certbot runs with --reuse-key
```

A finding about a missing key has the line of its table (`[[host]]`). In a list of inline tables,
each table has its line, and its keys have the same one.

In the examples, words such as `sha256/ONE` replace pins; `LEAF`, `INTERMEDIATE` and `ROOT` are
those of the server that is asked. The line of the finding is marked, as of 2027-03-01.

| rule | severity | needs | |
|---|---|---|---|
"""
_NEEDS = {"file": "", "live": "live", "exports": "exports"}


def text() -> str:
    """Return the whole page."""
    rows = "\n".join(map(_row, RULES.values()))
    return HEADER + rows + "\n\n" + "\n".join(map(_section, RULES.values()))


def _row(rule: LintRule) -> str:
    needs = "refused" if rule.refuses else _NEEDS[rule.needs]
    return f"| [{rule.id}](#{rule.id}) | {rule.severity} | {needs} | {_plain(rule.summary)} |"


def _section(rule: LintRule) -> str:
    facts = [f"*{rule.severity}.* {_plain(rule.summary)} {_plain(rule.why)}"]
    facts.append(f"**Fix:** {_plain(rule.fix)}.")
    facts += [f"**Source:** {_plain(rule.source)}."] if rule.source else []
    examples = [f"Bad:\n\n{_block(rule.bad)}", f"Good:\n\n{_block(rule.good)}"]
    return "\n\n".join([f"## {rule.id}", *facts, *examples]) + "\n"


def _block(example: str) -> str:
    return f"```toml\n{example.strip()}\n```"


def _plain(line: str) -> str:
    """Escape the characters of a line that Markdown reads as markup."""
    for mark in ("\\", "*", "_", "<", "`", "[", "|"):
        line = line.replace(mark, f"\\{mark}")
    return line


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
    sys.stdout.write(f"{TARGET.name}: {len(RULES)} rules\n")
