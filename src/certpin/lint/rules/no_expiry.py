"""Pins for ever."""

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
        if host.mode == "enforce" and "expires" not in host.data:
            yield Hit(f"{host.key}.expires", f"the pins of {host} have no end")


RULE = Rule(
    id="no-expiry",
    severity="note",
    summary="An enforced host has no expiry.",
    why=(
        "A client that is never updated keeps its pins for ever. When the last of their keys is "
        "retired, it is locked out, and nothing has told anybody that the day was near."
    ),
    fix=(
        "write expires = YYYY-MM-DD, a date by which you will have shipped newer pins; "
        "on_expiry says what old clients do then"
    ),
    source=(
        "RFC 7469 section 4.1; Android network security config (expiration); TrustKit "
        "(kTSKExpirationDate)"
    ),
    check=_check,
    bad=f'{HEAD}\n[[host]]{HERE}\nname = "api.bank.example"\n{PINS}',
    good=f"{HEAD}{HOST}{PINS}",
)
