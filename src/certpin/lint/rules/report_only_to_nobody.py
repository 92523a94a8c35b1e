"""Reports that nobody gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.examples import HEAD, HERE, NAME, PINS
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        if host.mode == "report" and not host.report_to:
            yield Hit(f"{host.key}.mode", f"{host} is only reported on, and has no report_to")


RULE = Rule(
    id="report-only-to-nobody",
    severity="note",
    summary='A host is in mode "report", and nobody gets the reports.',
    why=(
        "Without report_to, what does not match is told to the log of the client and to its "
        "hooks alone. In an app on a phone, that is nobody."
    ),
    fix='name a collector: report_to = ["https://…"]; or allow it, if the log is read',
    source="RFC 7469 section 2.1.4",
    check=_check,
    bad=f'{HEAD}{NAME}mode = "report"{HERE}\nexpires = 2027-05-01\n{PINS}',
    good=f'{HEAD}{NAME}mode = "report"\nexpires = 2027-05-01\n'
    f'report_to = ["https://pins.other.example/"]\n{PINS}',
)
