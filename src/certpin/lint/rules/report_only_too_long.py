"""A trial without an end."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from certpin.lint.examples import HEAD, HERE, NAME, PINS
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document

_LONGEST = timedelta(days=90)


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        if host.mode != "report":
            continue
        ends = host.expires
        if ends is None:
            yield Hit(
                f"{host.key}.mode", f"{host} is only reported on, and expires says no end of that"
            )
        elif ends.tzinfo and ends - now > _LONGEST:
            message = f"{host} is only reported on, until {ends:%Y-%m-%d}: more than 90 days"
            yield Hit(f"{host.key}.mode", message)


RULE = Rule(
    id="report-only-too-long",
    severity="warning",
    summary='A host stays in mode "report" for more than 90 days, or without an end.',
    why=(
        'In mode "report" nothing is refused: an attack is told of, after it has worked. It is '
        "for trying pins out. Its end is written as expires: the day by which somebody has "
        "looked at the reports and has decided."
    ),
    fix='write mode = "enforce"; or an expires at most 90 days from now, by which you will',
    source="RFC 7469 section 2.1 (Public-Key-Pins-Report-Only)",
    check=_check,
    bad=f'{HEAD}{NAME}mode = "report"{HERE}\nexpires = 2027-12-01\n'
    f'report_to = ["https://pins.other.example/"]\n{PINS}',
    good=f'{HEAD}{NAME}mode = "report"\nexpires = 2027-05-01\n'
    f'report_to = ["https://pins.other.example/"]\n{PINS}',
)
