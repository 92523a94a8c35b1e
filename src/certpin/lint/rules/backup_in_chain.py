"""A backup that is in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.examples import BACKUP, HEAD, HERE, HOST, SERVED
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for host, asked in document.verified():
        if asked.served_pins.keys() >= host.live.keys():
            continue  # another rule tells that all of them are
        for pin, entry in host.live.items():
            if entry.role == "backup" and pin in asked.served_pins:
                yield Hit(
                    f"{entry.key}.pin", f"this backup is in the chain that {asked.host} serves now"
                )


RULE = Rule(
    id="backup-in-chain",
    severity="error",
    needs="live",
    summary="A backup is in the chain that is served now.",
    why=(
        "It is lost together with what it should replace. If the server was moved to the backup "
        "on purpose, there is no backup any more."
    ),
    fix=(
        "make a new backup: certpin add --backup-key, or a key in a safe; and call this one by "
        'what it is (role = "leaf")'
    ),
    source="RFC 7469 section 4.3",
    check=_check,
    bad=f"{HEAD}{HOST}{SERVED}{BACKUP}"
    f'\n[[host.pin]]\npin = "sha256/INTERMEDIATE"{HERE}\nrole = "backup"\n',
    good=f"{HEAD}{HOST}{SERVED}{BACKUP}",
)
