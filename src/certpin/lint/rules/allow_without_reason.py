"""An allowance that says nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.allow import allowances
from certpin.lint.examples import HEAD, HERE, HOST, NAME, PINS
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for allowance in allowances(document.places.comments):
        if allowance.rules and not allowance.reason:
            names = ", ".join(allowance.rules)
            yield Hit("", f"{names[:80]} is allowed without a reason", line=allowance.comment)


RULE = Rule(
    id="allow-without-reason",
    severity="error",
    summary="A comment allows a finding, and does not say why.",
    why=(
        "The reason is for whoever reads the file next: without it nobody dares to take the "
        "comment away, or to keep it. An allowance without one does not count."
    ),
    fix="write # certpin: allow RULE because REASON",
    check=_check,
    bad=f"{HEAD}\n# certpin: allow expired{HERE}\n{HOST.lstrip()}{PINS}",
    good=f"{HEAD}\n# certpin: allow no-expiry because the app is replaced each month\n"
    f"{NAME.lstrip()}{PINS}",
)
