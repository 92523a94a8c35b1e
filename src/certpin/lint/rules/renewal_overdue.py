"""A certificate that should have been renewed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.anchors import dates_of
from certpin.lint.examples import BACKUP, EXPIRES, GOOD_LIVE, HEAD, HERE, SERVED
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for host, asked in document.verified():
        dates = dates_of(asked.path[0]) if asked.path else None
        if dates is not None and dates[1] - now < (dates[1] - dates[0]) / 6:
            days = (dates[1] - now).days
            yield Hit(f"{host.key}.name", f"the certificate of {asked.host} ends in {days} days")


RULE = Rule(
    id="renewal-overdue",
    severity="warning",
    needs="live",
    summary="Less than a sixth of the life of the certificate is left.",
    why=(
        "Programs renew when a third is left, so that a failed renewal can be seen in time. "
        "What is late may end, or be replaced in a hurry, with a key that is not pinned."
    ),
    fix="renew it with the same key, or with a key that clients have adopted; then certpin check",
    source="certbot and RFC 9773 (ACME renewal information)",
    check=_check,
    bad=f'{HEAD}\n[[host]]\nname = "late.bank.example"{HERE}\n{EXPIRES}{SERVED}{BACKUP}',
    good=f"{GOOD_LIVE}",
)
