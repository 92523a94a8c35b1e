"""A host that no key could ever match."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.examples import EXPIRES, GOOD, HEAD, HERE
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        if not host.live and not host.unread:
            yield Hit(f"{host.key}.pin", f"{host} has no pin that could match")


RULE = Rule(
    id="no-live-pin",
    severity="error",
    refuses=True,
    summary="A host has no pin that accepts: none at all, or only removed and compromised ones.",
    why=(
        "Whatever the server presents is refused: every client is locked out, until it gets "
        "another pin set."
    ),
    fix=(
        "add the pin of the key that the server uses, and a backup: certpin add HOST "
        "--backup-key FILE"
    ),
    check=_check,
    bad=f'{HEAD}\n[[host]]{HERE}\nname = "api.bank.example"\n{EXPIRES}',
    good=f"{GOOD}",
)
