"""An anchor past its date."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.anchors import ending
from certpin.lint.examples import HEAD, HERE, HOST, PINS
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for file, name, end in ending(document):
        if end < now:
            yield Hit(file.key, f"{file.name[:80]}: {name} ended on {end:%Y-%m-%d}")


RULE = Rule(
    id="anchor-expired",
    severity="error",
    summary="A file of trust anchors holds a certificate that is past its date.",
    why=(
        "A chain below an expired anchor does not verify. If it is the only anchor, every "
        "client is locked out, whatever the pins say."
    ),
    fix=(
        "put the new certificate of the authority into the file; ship both until every client "
        "has it"
    ),
    source="RFC 5280 section 6.1.3",
    check=_check,
    bad=f'{HEAD}{HOST}trust = "old-root.pem"{HERE}\n{PINS}',
    good=f'{HEAD}{HOST}trust = "bank-root.pem"\n{PINS}',
)
