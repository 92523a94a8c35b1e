"""The servers of a host side by side, and the rule that a server that was seen is not forgotten.

The pin file lists the servers of a host (``[[host.server]]``); without a list, the host itself is
the only one. A step contacts all of them. The journal keeps the last observation of each server
until a user confirms that the server is gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from certpin.pins.hosts import split_address
from certpin.probe import endpoint_at, served_at
from certpin.rotation.journal import pin_state
from certpin.rotation.sightings import server_name

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.pins import HostPolicy, Pin, State
    from certpin.rotation.adoption import Situation
    from certpin.rotation.sightings import ServerObservation


@dataclass(frozen=True)
class ServerStatus:
    """What one server of a host presents, now or when it was last seen.

    Attributes:
        server: its address and port, as in the pin file.
        region: its label in the pin file; empty if it has none.
        leaf: the pin of the key of its leaf certificate; ``None`` if it was never seen.
        state: the state of that pin at this host; ``None`` if the host never had that pin, as with
            pinned authorities.
        problem: why its chain did not verify; empty if it did.
        time: when it presented this key; ``None`` if it was never seen.
        current: True if it answered a probe of this command; False if only the journal knows.
        listed: True if the pin file lists it, or lists no server and it is the host itself.
    """

    server: str
    region: str
    leaf: Pin | None
    state: State | None
    problem: str
    time: datetime | None
    current: bool
    listed: bool


def server_states(situation: Situation) -> tuple[ServerStatus, ...]:
    """Return the key that each server of a host presents, so that regions can be compared.

    Returns:
        The listed servers in the order of the pin file, then the others by name. A chain from a
        file (``--served``) is a server that isn't listed. A listed server that was never seen has
        no time; one that did not answer has its last observation.
    """
    regions = listed_servers(situation.policy)
    found = {
        name: ServerStatus(name, region, None, None, "", None, current=False, listed=True)
        for name, region in regions.items()
    }
    others = {
        seen.server: _status(
            situation, seen.server, seen.leaf, seen.problem, seen.time, current=False
        )
        for seen in observed_here(situation)
    }
    for each in situation.sightings:
        name = each.server or each.vantage
        others[name] = _status(
            situation, name, each.leaf, each.problem, situation.now, current=True
        )
    return tuple((found | dict(sorted(others.items()))).values())


def listed_servers(policy: HostPolicy) -> dict[str, str]:
    """Return the servers of a policy by their names in the journal, each with its region.

    Without a list in the pin file, that is the host of the pattern; a wildcard has none then.
    """
    return {
        server_name(endpoint_at(host, server), policy.pattern): server.region
        for host, server in served_at(policy)
    }


def observed_here(situation: Situation) -> tuple[ServerObservation, ...]:
    """Return the last observations of the servers that now belong to the situation's policy.

    If its policy has left the draft, a server belongs to the policy that now covers its host: a
    changed pattern does not make a server unknown.
    """
    patterns = {policy.pattern for policy in situation.pins.policies}
    return tuple(
        each
        for each in situation.observed
        if each.host == situation.pattern
        or (each.host not in patterns and _covers(situation, each))
    )


def _covers(situation: Situation, seen: ServerObservation) -> bool:
    host = seen.host.name
    if seen.host.wildcard:
        host = split_address(seen.server.partition(" at ")[0])[0]
    return situation.pins.policy_for(host) is situation.policy


def _status(
    situation: Situation,
    name: str,
    leaf: Pin | None,
    problem: str,
    time: datetime,
    *,
    current: bool,
) -> ServerStatus:
    regions = listed_servers(situation.policy)
    is_known = leaf is not None and (situation.entry(leaf) or leaf in situation.past.states)
    state = pin_state(situation, leaf) if leaf and is_known else None
    region = regions.get(name, "")
    return ServerStatus(name, region, leaf, state, problem, time, current, name in regions)
