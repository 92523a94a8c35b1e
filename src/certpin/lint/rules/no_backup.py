"""One pin alone, while it is enforced."""

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
        if host.mode == "enforce" and len(host.live) + host.unread == 1:
            yield Hit(f"{host.key}.pin", f"{host} has one pin alone, and no backup")


RULE = Rule(
    id="no-backup",
    severity="error",
    refuses=True,
    summary="An enforced host has one pin alone.",
    why=(
        "When its key is lost, stolen, or replaced by a renewal, no key is left that clients "
        "accept: all of them are locked out until each has an update, which it may have no way "
        "to fetch."
    ),
    fix=(
        "add a backup whose key is kept off the server: certpin add makes one with --backup-key "
        'FILE; or write mode = "report" until there is one'
    ),
    source="RFC 7469 sections 2.5 and 4.3; OWASP Pinning Cheat Sheet; TrustKit asks for two pins",
    check=_check,
    bad=f'{HEAD}{HOST}\n[[host.pin]]{HERE}\npin = "sha256/ONE"\n',
    good=f"{HEAD}{HOST}{PINS}",
)
