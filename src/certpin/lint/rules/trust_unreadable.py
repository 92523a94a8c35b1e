"""Trust anchors that are not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.examples import HEAD, HERE, HOST, PINS
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for file in document.anchor_files():
        if file.problem:
            yield Hit(file.key, file.problem)


RULE = Rule(
    id="trust-unreadable",
    severity="error",
    refuses=True,
    summary="A file of trust anchors is missing, or holds something else.",
    why=(
        "The pin set does not load without the anchors that it names. A private key or a "
        "request in that file is refused too: such a file is shipped to every client."
    ),
    fix="name a PEM file of certificates, relative to the pin file",
    check=_check,
    bad=f'{HEAD}{HOST}trust = "no-such-root.pem"{HERE}\n{PINS}',
    good=f'{HEAD}{HOST}trust = "bank-root.pem"\n{PINS}',
)
