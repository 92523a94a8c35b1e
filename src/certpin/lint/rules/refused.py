"""What ``PinSet.load`` refuses, and no other rule has a name for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.examples import HEAD, HERE, HOST, PINS
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for problem in document.problems:
        yield Hit(problem.key, problem.problem, problem.fix)
    if document.refusal is not None:
        yield Hit(document.refusal.key, document.refusal.problem, document.refusal.fix)


RULE = Rule(
    id="refused",
    severity="error",
    refuses=True,
    summary="Something in the file is refused: no client loads it.",
    why=(
        "A pin file that does not load protects nobody: the program that needs it ends with a "
        "PinFileError, or an update is thrown away. certpin would rather refuse a file than "
        "guess what it means."
    ),
    fix="write what the message says; docs/pinfile.md has every key",
    check=_check,
    bad=f'{HEAD}{HOST}mode = "enforced"{HERE}\n{PINS}',
    good=f'{HEAD}{HOST}mode = "enforce"\n{PINS}',
)
