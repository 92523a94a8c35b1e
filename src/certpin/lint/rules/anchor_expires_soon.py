"""An anchor near its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.anchors import SOON, ending
from certpin.lint.examples import HEAD, HERE, HOST, PINS
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for file, name, end in ending(document):
        if now <= end < now + SOON:
            yield Hit(file.key, f"{file.name[:80]}: {name} ends on {end:%Y-%m-%d}")


RULE = Rule(
    id="anchor-expires-soon",
    severity="warning",
    summary="A trust anchor ends within half a year.",
    why=(
        "With trust = FILE, these anchors alone may vouch for the host. When the last of them "
        "ends, every client that has no newer pin set is locked out."
    ),
    fix="add the certificate of the next root to the file now, and ship it long before that day",
    check=_check,
    bad=f'{HEAD}{HOST}trust = "soon-root.pem"{HERE}\n{PINS}',
    good=f'{HEAD}{HOST}trust = "bank-root.pem"\n{PINS}',
)
