"""Pins enough, and each of them in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.examples import GOOD, HEAD, HERE, HOST
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document, Host

_USED = {"active", "retiring"}


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        if host.mode == "enforce" and len(host.live) > 1 and not host.unread and _in_use(host):
            yield Hit(f"{host.key}.pin", f"{host} has {len(host.live)} pins, and each is in use")


def _in_use(host: Host) -> bool:
    """Whether each pin is, by role and state; not where another rule calls them one chain."""
    entries = host.live.values()
    spare = [entry for entry in entries if entry.role == "backup" or entry.state not in _USED]
    return not spare and len({entry.role for entry in entries}) < len(entries)


RULE = Rule(
    id="no-spare",
    severity="warning",
    summary="A host has pins enough, and none of them is a spare.",
    why=(
        "Two keys that servers use, an RSA and an EC one, say, or those of two machines, are two "
        "pins and no backup: whoever breaks into the servers has both, and after that no key is "
        "left that clients accept."
    ),
    fix=(
        "add a key that no server uses: certpin add makes one with --backup-key FILE; or call the "
        'pin that is one by its name (role = "backup")'
    ),
    source="RFC 7469 sections 2.5 and 4.3",
    check=_check,
    bad=f'{HEAD}{HOST}\n[[host.pin]]{HERE}\npin = "sha256/ONE"\nrole = "leaf"\n'
    '\n[[host.pin]]\npin = "sha256/TWO"\nrole = "leaf"\n',
    good=f'{GOOD}\n[[host.pin]]\npin = "sha256/THREE"\nrole = "leaf"\n',
)
