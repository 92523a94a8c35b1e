"""A moment that means another one elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.examples import HEAD, HERE, NAME, PINS
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        if host.expires is not None and host.expires.utcoffset() is None:
            yield Hit(f"{host.key}.expires", f"{host} expires at a moment without a time zone")


RULE = Rule(
    id="expiry-without-zone",
    severity="error",
    refuses=True,
    summary="An expiry has a time and no time zone.",
    why=(
        "Clients in other zones would let the pins go hours earlier or later than its author meant."
    ),
    fix="write a date (its first moment in UTC), or add Z for UTC",
    source="RFC 3339 section 4.4 (unqualified local time)",
    check=_check,
    bad=f"{HEAD}{NAME}expires = 2027-09-01T12:00:00{HERE}\n{PINS}",
    good=f"{HEAD}{NAME}expires = 2027-09-01T12:00:00Z\n{PINS}",
)
