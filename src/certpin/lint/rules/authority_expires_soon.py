"""A pinned authority near its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.anchors import SOON, dates_of
from certpin.lint.examples import AUTHORITY, BACKUP, EXPIRES, HEAD, HOST, here
from certpin.lint.rule import Hit, Rule
from certpin.pins import pins_of
from certpin.pins.explain import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for host, asked in document.verified():
        for certificate in asked.path[1:] if asked.path else ():
            pinned = any(pin in host.live for pin in pins_of(certificate))
            dates = dates_of(certificate)
            if pinned and dates is not None and dates[1] < now + SOON:
                when = f"{dates[1]:%Y-%m-%d}"
                message = f"{host} pins an authority that ends on {when}: {name_of(certificate)}"
                yield Hit(f"{host.key}.pin", message)


RULE = Rule(
    id="authority-expires-soon",
    severity="warning",
    needs="live",
    summary=(
        "A pinned intermediate or root, on the path that verifies now, ends within half a year."
    ),
    why=(
        "The authority will move its customers to another certificate, with another key "
        "perhaps. Then the pin of the old one matches nothing."
    ),
    fix=(
        "ask the authority for its next intermediate or root, pin that beside the old one, and "
        "ship it"
    ),
    source="RFC 7469 section 4.2",
    check=_check,
    bad=f'{HEAD}\n[[host]]\nname = "old.bank.example"\n{EXPIRES}{here(AUTHORITY)}{BACKUP}',
    good=f"{HEAD}{HOST}{AUTHORITY}{BACKUP}",
)
