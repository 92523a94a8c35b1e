"""Pins from documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.examples import FIRST, GOOD, HEAD, HERE, HOST
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        for entry in host.pins:
            if entry.pin is not None and entry.pin.is_placeholder:
                yield Hit(
                    f"{entry.key}.pin", f"{host} has a pin from some documentation: {entry.pin}"
                )


RULE = Rule(
    id="placeholder-pin",
    severity="error",
    refuses=True,
    summary="A pin is an example from some documentation, or one letter over and over.",
    why=(
        "Nobody has the key of an example. As the only pin it locks everybody out; as a backup "
        "it looks like one, and is none on the day it is needed."
    ),
    fix="put your own there: certpin pin HOST prints it",
    source=(
        "RFC 7469 section 2.1.5; the documentation of Android and of TrustKit: their pins are "
        "refused"
    ),
    check=_check,
    bad=f'{HEAD}{HOST}{FIRST}\n[[host.pin]]\npin = "sha256/EXAMPLE"{HERE}\nrole = "backup"\n',
    good=f"{GOOD}",
)
