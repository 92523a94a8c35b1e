"""A server shows a key that a version in the field refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.rotation.adoption import count_clients, policy_in
from certpin.rotation.gate import served_chain, version_list
from certpin_watch.monitor.case import chain_details
from certpin_watch.monitor.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.rotation import Version
    from certpin_watch.finding import Finding
    from certpin_watch.monitor.case import Case

ID = "field-mismatch"


def _look(case: Case) -> Iterator[Finding]:
    for look, chain in case.verified:
        situation = case.situation([look])
        breaches = {
            at: served_chain(situation, [version])
            for at, version in enumerate(case.alive)
            if not _is_the_file(case, version)
        }
        refusing = [case.alive[at] for at, breach in breaches.items() if breach is not None]
        if not refusing:
            continue
        clients = count_clients(refusing)
        how_many = "nobody knows how many clients" if clients is None else f"{clients} clients"
        yield case.finding(
            ID,
            "critical",
            f"{look.where}: {version_list(refusing)} in the field cannot accept what it serves; "
            f"{how_many} are locked out there",
            f"certpin rotate status --file {case.file} {look.ways}",
            subject=look.where,
            vantage=look.vantage,
            address=look.edge or look.address,
            since=int(look.since.timestamp()),
            versions=[each.number for each in refusing],
            clients=clients,
            chain=chain_details(chain),
        )


def _is_the_file(case: Case, version: Version) -> bool:
    """Whether it says of this host what the file says: that is the rule ``pin-mismatch``'s."""
    return policy_in(version.pins, case.policy.pattern) == case.policy


RULE = Rule(
    ID,
    "a server shows a key that a version which is still in the field refuses",
    "Apps that were not updated yet are locked out there, though the newest pins match.",
    case=_look,
)
