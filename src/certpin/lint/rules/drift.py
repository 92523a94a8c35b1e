"""Exported files that say something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.examples import GOOD, HERE, HOST, PINS
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for file in document.exported or ():
        where = f"{file.path[:80]} ({file.format})"
        if file.problem:
            yield Hit("", f"{where} cannot be compared: {file.problem[:200]}")
        for difference in file.differences:
            yield Hit("", f"{where} differs from the pin file: {difference[:200]}")


RULE = Rule(
    id="drift",
    severity="error",
    needs="exports",
    summary="An exported file differs from the pin file.",
    why=(
        "Clients of that platform hold other pins than all the rest: the next rotation locks "
        "them out, or they accept a key that was given up."
    ),
    fix="export it again: certpin export FORMAT; in CI, compare with --check",
    check=_check,
    bad=f'schema = 1{HERE}\nname = "drifted-app"\nversion = 12\n{HOST}{PINS}',
    good=f"{GOOD}",
)
