"""Reports that stay where they are."""

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
            if address.startswith("http://") and is_report_address(address):
                message = f"reports of {host} go to the machine of the client: {address[:80]}"
                yield Hit(f"{host.key}.report_to", message)


RULE = Rule(
    id="report-to-this-machine",
    severity="warning",
    summary="Reports go to the client's own machine.",
    why=(
        "http:// to this machine is for a collector under test. On a client, nobody listens "
        "there, or another app does."
    ),
    fix="write the https:// address of your collector",
    check=_check,
    bad=f'{HEAD}{HOST}report_to = ["http://127.0.0.1:8080/"]{HERE}\n{PINS}',
    good=f'{HEAD}{HOST}report_to = ["https://pins.other.example/"]\n{PINS}',
)
