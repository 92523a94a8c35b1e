"""Two policies that cover one name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.examples import AUTHORITY, BACKUP, EXPIRES, HEAD, HERE, PINS
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        if host.pattern is None:
            continue
        for other in document.covering(host.pattern.name):
            if other.pattern != host.pattern and other.live.keys() != host.live.keys():
                message = (
                    f"{other} (line {document.line(other.key)}) covers {host} too, with other pins"
                )
                yield Hit(f"{host.key}.name", message)
                break


RULE = Rule(
    id="overlapping-patterns",
    severity="note",
    summary="A policy is covered by a wider one with other pins.",
    why=(
        "certpin, TrustKit and Android take the most specific policy. OkHttp unites the pins of "
        "all patterns that match: exported for it, the host accepts the wider policy's pins "
        "too. A reader may take the one for the other."
    ),
    fix="give both the same pins, or allow it with the reason for the difference",
    source="OkHttp CertificatePinner (all matching patterns); TrustKit (the most specific)",
    check=_check,
    bad=f'{HEAD}\n[[host]]\nname = "**.bank.example"\n{EXPIRES}{AUTHORITY}{BACKUP}'
    f'\n[[host]]\nname = "api.bank.example"{HERE}\n{EXPIRES}{PINS}',
    good=f'{HEAD}\n[[host]]\nname = "**.shop.example"\n{EXPIRES}{AUTHORITY}{BACKUP}'
    f'\n[[host]]\nname = "api.bank.example"\n{EXPIRES}{PINS}',
)
