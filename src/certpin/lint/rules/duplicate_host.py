"""Two policies of one pattern."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.examples import EXPIRES, GOOD, HERE, PINS
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        first = document.by_pattern.get(str(host.pattern)) if host.pattern else None
        if first is not None and first is not host:
            line = document.line(f"{first.key}.name")
            yield Hit(f"{host.key}.name", f"{host} has another policy already, on line {line}")


RULE = Rule(
    id="duplicate-host",
    severity="error",
    refuses=True,
    summary="Two policies are for the same hosts, perhaps in two spellings.",
    why=(
        "Only one policy can hold. Whoever edits the other one believes that the host is pinned "
        "as it says there."
    ),
    fix="make one policy of the two",
    check=_check,
    bad=f'{GOOD}\n[[host]]\nname = "api.bank.example"{HERE}\n{EXPIRES}{PINS}',
    good=f'{GOOD}\n[[host]]\nname = "www.bank.example"\n{EXPIRES}{PINS}',
)
