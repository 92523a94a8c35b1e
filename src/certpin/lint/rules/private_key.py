"""A secret in a public file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.examples import BACKUP, FIRST, HEAD, HERE, HOST
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document

_MARK = "PRIVATE KEY-----"


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for number, line in enumerate(document.text.split("\n"), 1) if _MARK in document.text else ():
        if _MARK in line:
            yield Hit("", "a private key stands in the pin file", line=number)


RULE = Rule(
    id="private-key",
    severity="error",
    summary="A private key stands in the pin file.",
    why="The pin file is shipped to every client. Whoever reads the key can be your server.",
    fix=(
        "take it out, of the history too; make a new key, and mark the old one state = "
        '"compromised"'
    ),
    source="RFC 7468 section 10",
    check=_check,
    bad=f'{HEAD}{HOST}{FIRST}{BACKUP}note = "-----BEGIN PRIVATE KEY-----MC4CAQ"{HERE}\n',
    good=f'{HEAD}{HOST}{FIRST}{BACKUP}note = "the key is in the safe"\n',
)
