"""Write certpin/pins/public_suffix.txt: the ICANN section of the Public Suffix List.

The list comes from the `publicsuffixlist` package.
"""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path

import idna

TARGET = (
    Path(__file__).parent.parent
    / "packages"
    / "certpin"
    / "src"
    / "certpin"
    / "pins"
    / "public_suffix.txt"
)
HEADER = """\
# The ICANN section of the Public Suffix List, https://publicsuffix.org/list/
# This Source Code Form is subject to the terms of the Mozilla Public License, v. 2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# https://mozilla.org/MPL/2.0/.
# Made by scripts/public_suffix.py: names in A-labels, sorted. Do not edit.
"""


def rules() -> list[str]:
    """Return the rules in the ICANN section of the Public Suffix List, sorted, as A-labels."""
    source = files("publicsuffixlist").joinpath("public_suffix_list.dat").read_text("utf-8")
    section = source.partition("===BEGIN ICANN DOMAINS===")[2].partition("===END ICANN")[0]
    lines = (line.strip() for line in section.splitlines())
    return sorted(_ascii(line) for line in lines if line and not line.startswith("//"))


def _ascii(rule: str) -> str:
    prefix = next((mark for mark in ("!", "*.") if rule.startswith(mark)), "")
    name = rule.removeprefix(prefix)
    return prefix + (name if name.isascii() else idna.encode(name, uts46=True).decode("ascii"))


def text() -> str:
    """Return the content of public_suffix.txt: a header with the licence, and the rules."""
    return HEADER + "\n".join(rules()) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="ascii")
    sys.stdout.write(f"{TARGET.name}: {len(rules())} rules\n")
