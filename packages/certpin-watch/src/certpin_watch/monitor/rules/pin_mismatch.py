"""A server shows a chain in which nothing is pinned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.pins.verdict import advice
from certpin.rotation.adoption import count_clients
from certpin_watch.monitor.case import chain_details
from certpin_watch.monitor.rules.matching import match
from certpin_watch.monitor.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin_watch.finding import Finding, Severity
    from certpin_watch.monitor.case import Case

ID = "pin-mismatch"


def _look(case: Case) -> Iterator[Finding]:
    number = case.charge.pins.version
    holders = [each for each in case.alive if each.number == number]
    for look, chain in case.verified:
        verdict = match(case, case.policy, chain)
        if verdict.matched:
            continue
        severity, outcome = _outcome(case, out=bool(holders) or not case.alive)
        yield case.finding(
            ID,
            severity,
            f"{look.where}: no pin of version {number} matches what it serves; {outcome}",
            case.check(look),
            subject=look.where,
            vantage=look.vantage,
            address=look.edge or look.address,
            since=int(look.since.timestamp()),
            version=number,
            clients=count_clients(holders) if holders else None,
            advice=advice(verdict, look.target.host),
            chain=chain_details(chain),
        )


def _outcome(case: Case, *, out: bool) -> tuple[Severity, str]:
    if not out:
        return "warning", "whoever gets this version, which is not out yet, will refuse it"
    if case.policy.mode == "enforce":
        return "critical", "clients refuse it"
    return "warning", "clients would refuse it in mode enforce"


RULE = Rule(
    ID,
    "a server shows a chain that verifies and in which nothing is pinned",
    "Clients that hold this version are locked out there, or somebody stands before that server.",
    case=_look,
)
