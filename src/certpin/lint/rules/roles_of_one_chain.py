"""Roles that say: all of this is one chain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.examples import GOOD, HEAD, HERE, HOST
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        roles = [entry.role for entry in host.live.values()]
        alone = len(roles) == len(set(roles)) and len(roles) > 1 and not host.unread
        if host.mode == "enforce" and alone and "backup" not in roles:
            yield Hit(
                f"{host.key}.pin", f"{host} has a pin of each {', '.join(roles)}, and no backup"
            )


RULE = Rule(
    id="roles-of-one-chain",
    severity="warning",
    summary="By their roles, all pins of a host are of one chain.",
    why=(
        "A leaf, its intermediate and its root are changed together when the authority is: then "
        "no pin is left. A backup is a key outside that chain, which no server uses yet."
    ),
    fix=(
        'add a backup key of your own (role = "backup"), or another authority\'s; certpin lint '
        "--live asks the server"
    ),
    source="RFC 7469 sections 2.5 and 4.3",
    check=_check,
    bad=f'{HEAD}{HOST}\n[[host.pin]]{HERE}\npin = "sha256/ONE"\nrole = "leaf"\n'
    '\n[[host.pin]]\npin = "sha256/TWO"\nrole = "root"\n',
    good=f'{GOOD}\n[[host.pin]]\npin = "sha256/THREE"\nrole = "root"\n',
)
