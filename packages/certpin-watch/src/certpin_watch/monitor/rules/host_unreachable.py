"""A server does not answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin_watch.monitor.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin_watch.finding import Finding
    from certpin_watch.monitor.case import Case

ID = "host-unreachable"


def _look(case: Case) -> Iterator[Finding]:
    answering = {each.target.host for each in case.looks if each.outcome != "unreachable"}
    for look in case.looks:
        if look.outcome == "unreachable":
            yield case.finding(
                ID,
                "warning" if look.target.host in answering else "critical",
                f"{look.where}: {look.problem}",
                case.check(look),
                subject=look.where,
                vantage=look.vantage,
                address=look.edge or look.address,
                since=int(look.since.timestamp()),
            )


RULE = Rule(
    ID,
    "a server does not answer, or TLS fails before there is a chain",
    "Clients that are led there have no connection, and nobody knows what it serves. It is "
    "critical where the host answers nowhere.",
    case=_look,
)
