"""The code blocks of a page of the documentation, for the tests that run them.

A comment on the line above a block excludes it: ``<!-- not run: REASON -->``. ``test_blocks``
checks that every other block is valid in its language, and that a test of its page
reads or runs it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[4]
DOCS = ROOT / "docs"

# Two attacks and an honest server. test_five_minutes and test_action run all cases.
FEW = "--case untrusted-ca --case rogue-ca-in-store --case rot-renewed-same-key"

_BLOCK = re.compile(
    r"(?:^(?P<indent> *)<!-- not run: (?P<reason>[^\n]+) -->\n+)?"
    r"^(?P<margin> *)```(?P<language>[\w-]*)[^\n]*\n(?P<text>.*?)^(?P=margin)```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A code block of a page, with its line, its language and its text.

    ``line`` is where the block begins. ``not_run`` is the reason why no test runs the block; it is
    empty if a test does.
    """

    page: str
    line: int
    language: str
    text: str
    not_run: str


def blocks(page: str) -> list[Block]:
    """Return the code blocks of a page, in their order.

    Args:
        page: its path below ``docs``, or below the root of the repository.
    """
    text = path_of(page).read_text(encoding="utf-8")
    return [
        Block(
            page,
            text.count("\n", 0, found.start("language")) + 1,
            found["language"],
            re.sub(rf"(?m)^{found['margin']}", "", found["text"]),
            found["reason"] or "",
        )
        for found in _BLOCK.finditer(text)
    ]


def path_of(page: str) -> Path:
    """Return the file of a page: below ``docs``, or else below the root of the repository."""
    return DOCS / page if (DOCS / page).exists() else ROOT / page


def shell_blocks(page: str) -> list[str]:
    """Return the shell blocks of a page that are run, in their order."""
    return [each.text for each in blocks(page) if each.language == "sh" and not each.not_run]


def with_few_cases(script: str) -> str:
    """Return the script with a few cases for each ``certpin prove``, and no other change."""
    assert "certpin prove " in script
    return script.replace("certpin prove ", f"certpin prove {FEW} ")


def shell_script(page: str, before: str = "") -> str:
    """Return one script with all shell blocks of a page, in order, without those that are excluded.

    The script ends at the first command that fails. Tests run it in a new folder, with
    servers on this machine in place of the hosts that the page names.

    Args:
        page: its path below ``docs``, or below the root of the repository.
        before: commands that the page expects to have been run.
    """
    return "\n".join(["set -eu", before, *shell_blocks(page)])
