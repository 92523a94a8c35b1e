"""The parts of which the examples of the rules are made, and the moment at which they are judged.

In place of pins stand words: ``sha256/ONE``. Nobody shall copy a pin from an example; the tests
put real ones there. ``LEAF``, ``INTERMEDIATE`` and ``ROOT`` are those of the server that is asked.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

NOW = datetime(2027, 3, 1, tzinfo=UTC)
HERE = "  # <- here"  # marks the line of the finding, and is no part of the file

HEAD = 'schema = 1\nname = "bank-app"\nversion = 12\n'
NAME = '\n[[host]]\nname = "api.bank.example"\n'
EXPIRES = "expires = 2027-09-01\n"
HOST = NAME + EXPIRES
FIRST = '\n[[host.pin]]\npin = "sha256/ONE"\nrole = "leaf"\n'
BACKUP = '\n[[host.pin]]\npin = "sha256/TWO"\nrole = "backup"\nstate = "published"\n'
PINS = FIRST + BACKUP
GOOD = HEAD + HOST + PINS

SERVED = '\n[[host.pin]]\npin = "sha256/LEAF"\nrole = "leaf"\n'
AUTHORITY = '\n[[host.pin]]\npin = "sha256/INTERMEDIATE"\nrole = "intermediate"\n'
GOOD_LIVE = HEAD + HOST + SERVED + BACKUP


def here(part: str) -> str:
    """A part of a file, with its first header marked."""
    return part.replace("]]\n", f"]]{HERE}\n", 1)


def filled(example: str, words: Mapping[str, str]) -> tuple[str, list[int]]:
    """An example with pins (base64) in place of words, and the lines (from 1) that are marked."""
    lines = example.split("\n")
    marked = [number for number, line in enumerate(lines, 1) if line.endswith(HERE)]
    text = example.replace(HERE, "")
    for word, digest in words.items():
        text = text.replace(f'/{word}"', f'/{digest}"')
    return text, marked
