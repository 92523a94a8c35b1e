"""Less time left than an update takes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from certpin.lint.examples import HEAD, HERE, NAME, PINS
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        if not host.expires or not host.expires.tzinfo:
            continue
        left = host.expires - now
        if timedelta(0) < left <= timedelta(days=document.adoption_days):
            adoption = f"and clients take {document.adoption_days} to adopt others"
            message = f"the pins of {host} end in {left.days} days, {adoption}"
            yield Hit(f"{host.key}.expires", message)


RULE = Rule(
    id="expires-too-soon",
    severity="error",
    summary="The pins end before every client can have newer ones.",
    why=(
        "A client gets a new pin set only after T_adopt: the time for which the CDN caches it, "
        "for which the client does, the poll interval, the time until somebody opens the app "
        "again, and what clocks differ by. If the pins end earlier, clients that are only slow "
        "are locked out (or, with fail-open, unprotected). --adoption-days says how long it "
        "takes for yours."
    ),
    fix=(
        "ship a pin set with a later expires now, or say how fast your clients are: "
        "--adoption-days N"
    ),
    source="RFC 7469 section 4.1 (how long to pin)",
    check=_check,
    bad=f"{HEAD}{NAME}expires = 2027-03-15{HERE}\n{PINS}",
    good=f"{HEAD}{NAME}expires = 2027-06-01\n{PINS}",
)
