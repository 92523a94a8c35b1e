"""Reports in the clear."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.examples import HEAD, HERE, HOST, PINS
from certpin.lint.rule import Hit, Rule
from certpin.pins.policy import is_report_address

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        for address in host.report_to:
            if not is_report_address(address):
                message = f"{host} reports to {address[:80]!r}, which is no https:// address"
                yield Hit(f"{host.key}.report_to", message)


RULE = Rule(
    id="report-not-https",
    severity="error",
    refuses=True,
    summary="Reports go to an address that is not https.",
    why=(
        "A report names the host, the chain and the pins. In the clear, the attacker whom it "
        "tells about reads it, and stops it."
    ),
    fix="write an https:// address, without a name and a password in it",
    source="RFC 7469 section 3",
    check=_check,
    bad=f'{HEAD}{HOST}report_to = ["http://pins.bank.example/"]{HERE}\n{PINS}',
    good=f'{HEAD}{HOST}report_to = ["https://pins.bank.example/"]\n{PINS}',
)
