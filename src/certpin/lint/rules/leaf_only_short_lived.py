"""Leaf keys, and certificates that are soon replaced."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from certpin.lint.anchors import dates_of
from certpin.lint.examples import AUTHORITY, BACKUP, EXPIRES, HEAD, SERVED, here
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document

_SHORT = timedelta(days=100)


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for host, asked in document.verified():
        leaf = asked.path[0] if asked.path else None
        dates = dates_of(leaf) if leaf else None
        if dates is None or dates[1] - dates[0] > _SHORT:
            continue
        used = [asked.path_pins[pin] for pin in host.live if pin in asked.path_pins]
        if used and all(each is leaf for each in used):
            days = round((dates[1] - dates[0]) / timedelta(days=1))
            yield Hit(
                f"{host.key}.pin",
                f"{asked.host} is pinned by its leaf alone, whose certificate lives {days} days",
            )


RULE = Rule(
    id="leaf-only-short-lived",
    severity="warning",
    needs="live",
    summary=(
        "The only pin that matches is that of a leaf, whose certificate lives 100 days or less."
    ),
    why=(
        "Such certificates are renewed by a program, and ACME clients make a new key at each "
        "renewal by default: the pin then matches nothing, and every client is locked out. "
        "Public certificates live 100 days at most from 2027-03-15, and 47 from 2029-03-15."
    ),
    fix=(
        "keep the key through renewals (certbot --reuse-key, lego --reuse-key) and allow this "
        "with that reason; or pin the authority too, beside a backup"
    ),
    source="CA/B Forum SC-081v3; OWASP Pinning Cheat Sheet",
    check=_check,
    bad=f'{HEAD}\n[[host]]\nname = "short.bank.example"\n{EXPIRES}{here(SERVED)}{BACKUP}',
    good=f'{HEAD}\n[[host]]\nname = "short.bank.example"\n{EXPIRES}{SERVED}{AUTHORITY}{BACKUP}',
)
