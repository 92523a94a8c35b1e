"""A report that cannot be sent."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from certpin.lint.examples import HEAD, HERE, HOST, PINS
from certpin.lint.rule import Hit, Rule
from certpin.pins import normalise

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        for address in host.report_to:
            name = _host_of(address)
            policy = next(document.covering(name), None) if name else None
            if policy is not None and policy.mode == "enforce":
                message = f"reports of {host} go to {name[:80]}, which {policy} pins"
                yield Hit(f"{host.key}.report_to", message)


def _host_of(address: str) -> str:
    """The normalised host of an address; empty where there is none."""
    try:
        return normalise(urlsplit(address).hostname or "")
    except ValueError:
        return ""


RULE = Rule(
    id="report-loop",
    severity="warning",
    summary="Reports go to a host that is pinned itself.",
    why=(
        "The report of a failure fails for the same reason: when the pins of the collector do "
        "not match, nobody hears of it, and a client that reports that failure too is in a "
        "loop."
    ),
    fix=(
        "send reports to a host that no policy of the file covers, on another domain and "
        "another key"
    ),
    source="RFC 7469 section 2.1.4",
    check=_check,
    bad=f'{HEAD}{HOST}report_to = ["https://api.bank.example/reports"]{HERE}\n{PINS}',
    good=f'{HEAD}{HOST}report_to = ["https://pins.other.example/reports"]\n{PINS}',
)
