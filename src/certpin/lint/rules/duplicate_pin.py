"""The same digest twice under one host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.examples import GOOD, HERE
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document
    from certpin.pins import Pin


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        first: dict[Pin, str] = {}
        for entry in host.pins:
            if entry.pin is None:
                continue
            if entry.pin in first:
                line = document.line(first[entry.pin])
                message = f"{host} has {entry.pin} already, on line {line}"
                yield Hit(f"{entry.key}.pin", message)
            first.setdefault(entry.pin, f"{entry.key}.pin")


RULE = Rule(
    id="duplicate-pin",
    severity="error",
    refuses=True,
    summary="One pin stands twice under a host, perhaps in two spellings.",
    why=(
        "Two entries look like a pin and its backup, and are one key: with it, both are lost. "
        'sha256/…, sha256//… and pin-sha256="…" of the same letters are the same pin.'
    ),
    fix="remove one of the two, and put a real backup in its place",
    source="RFC 7469 section 2.4 (one fingerprint); curl --pinnedpubkey (the other spelling)",
    check=_check,
    bad=f'{GOOD}\n[[host.pin]]\npin = "sha256//ONE"{HERE}\nrole = "backup"\n',
    good=f'{GOOD}\n[[host.pin]]\npin = "sha256//THREE"\nrole = "backup"\n',
)
