"""Pins past their date."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.examples import HEAD, HERE, NAME, PINS
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document

_EFFECTS = {
    "fail-closed": "every client refuses it",
    "fail-open": "nothing is pinned any more",
    "report": "nothing is refused any more",
}


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        if host.expires and host.expires.tzinfo and host.expires <= now:
            effect = _EFFECTS[host.on_expiry]
            message = f"the pins of {host} expired on {host.expires:%Y-%m-%d}: {effect}"
            yield Hit(f"{host.key}.expires", message)


RULE = Rule(
    id="expired",
    severity="error",
    summary="The pins are past their date.",
    why=(
        "After its expiry a host does what on_expiry says: refuse everything (fail-closed), or "
        "accept everything that the machine trusts (fail-open, report). Neither is pinning."
    ),
    fix=(
        "check that the pins still hold (certpin check), give the host a later expires, raise "
        "the version, and ship it"
    ),
    source="RFC 7469 section 2.3.3 (max-age)",
    check=_check,
    bad=f"{HEAD}{NAME}expires = 2027-02-01{HERE}\n{PINS}",
    good=f"{HEAD}{NAME}expires = 2027-09-01\n{PINS}",
)
