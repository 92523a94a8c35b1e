"""No key that is in service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.examples import BACKUP, HEAD, HERE, HOST, PINS
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        states = {entry.state for entry in host.live.values()}
        if states and not states & {"active", "retiring"} and not host.unread:
            yield Hit(
                f"{host.key}.pin",
                f"none of the pins of {host} is in service: {', '.join(sorted(states))}",
            )


RULE = Rule(
    id="no-active-pin",
    severity="warning",
    summary="No pin of a host is in service: none is active or retiring.",
    why=(
        "The states say that no server uses any of these keys: then clients accept none that is "
        "used now. Or the states are stale, and the next step of a rotation will be judged by "
        "them."
    ),
    fix='give the pin of the key that the server uses state = "active"',
    check=_check,
    bad=f'{HEAD}{HOST}\n[[host.pin]]{HERE}\npin = "sha256/ONE"\nstate = "published"\n{BACKUP}',
    good=f"{HEAD}{HOST}{PINS}",
)
