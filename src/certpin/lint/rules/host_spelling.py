"""Another spelling than the one that is compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.examples import EXPIRES, GOOD, HEAD, HERE, PINS
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        name = host.data.get("name")
        if host.pattern is not None and name != str(host.pattern):
            yield Hit(f"{host.key}.name", f"{str(name)[:80]!r} means {host}")


RULE = Rule(
    id="host-spelling",
    severity="note",
    summary="A host is not spelt as it is compared: lower case, A-labels, no last dot.",
    why=(
        "certpin compares the normalised name, but whoever searches for it, or copies it into "
        "the file of a platform that compares letters, misses the host and leaves it unpinned."
    ),
    fix="write the name as the message has it",
    source="RFC 5890; RFC 6125 section 6.4",
    check=_check,
    bad=f'{HEAD}\n[[host]]\nname = "API.Bank.example."{HERE}\n{EXPIRES}{PINS}',
    good=f"{GOOD}",
)
