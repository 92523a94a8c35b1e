"""A server shows a chain that does not verify."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin_watch.expiry import HAS_EXPIRED
from certpin_watch.monitor.case import chain_details
from certpin_watch.monitor.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin_watch.finding import Finding
    from certpin_watch.monitor.case import Case

ID = "chain-unverified"


def _look(case: Case) -> Iterator[Finding]:
    for look in case.looks:
        if look.outcome == "unverified" and look.code != HAS_EXPIRED:
            yield case.finding(
                ID,
                "critical",
                f"{look.where}: its chain does not verify: {look.problem}",
                case.check(look),
                subject=look.where,
                vantage=look.vantage,
                address=look.edge or look.address,
                since=int(look.since.timestamp()),
                code=look.code,
                chain=chain_details(look.served),
            )


RULE = Rule(
    ID,
    "a server shows a chain that does not verify for its name",
    "Every client refuses it, pinned or not: an intermediate is missing, the name is wrong, or "
    "somebody stands before that server.",
    case=_look,
)
