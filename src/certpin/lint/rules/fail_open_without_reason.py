"""Pinning that ends by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.examples import HEAD, HERE, HOST, PINS
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        if host.on_expiry == "fail-closed" or host.mode == "report":
            continue  # report mode refuses nobody, before or after
        key = f"{host.key}.on_expiry"
        if not document.places.reason(document.line(key)):
            yield Hit(key, f"{host} stops refusing at its expiry, and no comment says why")


RULE = Rule(
    id="fail-open-without-reason",
    severity="warning",
    summary="on_expiry lets everything pass, and no comment says why.",
    why=(
        "After the expiry, a client that was never updated accepts whatever its machine trusts, "
        "the men in the middle that pinning was meant to keep out included: an attacker has "
        "only to wait, or to hold the updates back. It may be right (an app that must keep "
        "working), but somebody has to have decided it."
    ),
    fix='write the reason as a comment on that line or the one above; or on_expiry = "fail-closed"',
    source=(
        "Android network security config fails open after its expiration; OWASP Pinning Cheat Sheet"
    ),
    check=_check,
    bad=f'{HEAD}{HOST}on_expiry = "fail-open"{HERE}\n{PINS}',
    good=f'{HEAD}{HOST}on_expiry = "fail-open"  # read-only: old apps must go on\n{PINS}',
)
