"""A version below 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.examples import GOOD, HERE, HOST, PINS
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    version = document.data.get("version")
    if isinstance(version, int) and not isinstance(version, bool) and version < 1:
        yield Hit("version", f"version {version} is below the first, which is 1")


RULE = Rule(
    id="version-too-low",
    severity="error",
    refuses=True,
    summary="The version is below 1.",
    why=(
        "Clients keep the highest version that they have met, so that nobody can bring old pins "
        "back. A version of 0 or less is below any that they may hold."
    ),
    fix="write a version that is higher than the last one that was shipped, and at least 1",
    check=_check,
    bad=f'schema = 1\nname = "bank-app"\nversion = 0{HERE}\n{HOST}{PINS}',
    good=f"{GOOD}",
)
