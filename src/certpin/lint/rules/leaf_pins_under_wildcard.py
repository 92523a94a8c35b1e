"""Many hosts, and the keys of one."""

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
        roles = {entry.role for entry in host.live.values()}
        if host.pattern and host.pattern.wildcard and roles and roles <= {"leaf", "backup"}:
            yield Hit(
                f"{host.key}.name", f"every host that {host} covers has to serve one of these keys"
            )


RULE = Rule(
    id="leaf-pins-under-wildcard",
    severity="note",
    summary="A wildcard has pins of leaves alone.",
    why=(
        "Every host under the wildcard has to serve one of these very keys. A new host with a "
        "key of its own, such as an ACME client makes, is refused by every client."
    ),
    fix=(
        'pin an authority (match = "ca"), or give each host a policy of its own; if all of them '
        "share a certificate, allow it with that reason"
    ),
    source="RFC 7469 section 4.2 (includeSubDomains)",
    check=_check,
    bad=f'{HEAD}\n[[host]]\nname = "*.bank.example"{HERE}\n{EXPIRES}{PINS}',
    good=f'{HEAD}\n[[host]]\nname = "*.bank.example"\n{EXPIRES}match = "ca"\n{AUTHORITY}{BACKUP}',
)
