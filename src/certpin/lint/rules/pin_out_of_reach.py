"""One pin that match leaves out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.examples import HEAD, HERE, HOST, PINS
from certpin.lint.roles import ADMITTED
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        entries = [entry for entry in host.live.values() if entry.role != "backup"]
        left_out = [entry for entry in entries if entry.role not in ADMITTED[host.match]]
        if len(left_out) == len(entries):
            continue  # another rule tells that none is left
        for entry in left_out:
            message = (
                f'match = "{host.match}" leaves out this pin of {host}, whose role is {entry.role}'
            )
            yield Hit(f"{entry.key}.pin", message)


RULE = Rule(
    id="pin-out-of-reach",
    severity="warning",
    summary="match leaves out one of the pins.",
    why=(
        "A pin that match leaves out accepts nothing. Whoever counts on it as the way out of a "
        "lost key is locked out."
    ),
    fix='write match = "any", or remove the pin',
    check=_check,
    bad=f'{HEAD}{HOST}match = "leaf"\n{PINS}'
    f'\n[[host.pin]]\npin = "sha256/THREE"{HERE}\nrole = "root"\n',
    good=f'{HEAD}{HOST}match = "any"\n{PINS}\n[[host.pin]]\npin = "sha256/THREE"\nrole = "root"\n',
)
