"""The servers of a host, and the rule that a server that was seen once is not forgotten.

The pin file lists the servers of a host (``[[host.server]]``); without a list, the host itself is
the only one. A step contacts all of them. The journal keeps the last observation of each server
until a user confirms that the server is gone. A server that was seen once, and that neither is
listed nor answered now, blocks the steps that depend on the keys of all servers.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from certpin.pins.hosts import split_address
from certpin.probe import endpoint_at, served_at
from certpin.rotation.adoption import in_utc
from certpin.rotation.fleet import client_count
from certpin.rotation.journal import Event, pin_state
from certpin.rotation.sightings import ServerObservation, server_name
from certpin.rotation.violation import Violation
from certpin.support.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from certpin.pins import HostPolicy, Pin, State
    from certpin.rotation.adoption import Situation

# An observation that changes nothing is journaled again after this time: the journal shows that a
# server still presented its key, and does not grow with each run.
_OBSERVED_AGAIN = timedelta(days=1)


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
    """Return the status of each server of a host, with the key it presents, to compare regions.

    Returns:
        The listed servers in the order of the pin file, then the others by name. A chain from a
        file (``--served``) counts as a server that isn't listed. A listed server that was never
        seen has no time; a server that did not answer has its last observation.
    """
    regions = listed_servers(situation.policy)
    found = {
        name: ServerStatus(name, region, None, None, "", None, current=False, listed=True)
        for name, region in regions.items()
    }
    others = {
        seen.server: _status(situation, regions, seen, current=False)
        for seen in observed_here(situation)
    }
    for each in situation.sightings:
        name = each.server or each.vantage
        seen = ServerObservation(situation.pattern, name, situation.now, each.leaf, each.problem)
        others[name] = _status(situation, regions, seen, current=True)
    return tuple((found | dict(sorted(others.items()))).values())


def listed_servers(policy: HostPolicy) -> dict[str, str]:
    """Return the region of each server that a policy lists, by the server's name in the journal.

    Without a list in the pin file, the host of the pattern is the only server. A wildcard then has
    none.
    """
    return {
        server_name(endpoint_at(host, server), policy.pattern): server.region
        for host, server in served_at(policy)
    }


def observed_here(situation: Situation) -> tuple[ServerObservation, ...]:
    """Return the last observations of the servers that belong to the policy of a situation.

    If the pin file no longer has the pattern for which a server was observed, the server belongs to
    the policy that now covers its host: a changed pattern does not make a server unknown.
    """
    patterns = {policy.pattern for policy in situation.pins.policies}
    return tuple(
        each
        for each in situation.observed
        if each.host == situation.pattern
        or (each.host not in patterns and _covers(situation, each))
    )


def no_unlisted_server(situation: Situation) -> Violation | None:
    """Return a violation if a server that was seen once is neither listed nor contacted now.

    It may present a key that a step would take from the clients. A user has to confirm that it is
    gone (``certpin rotate gone``).
    """
    known = {*listed_servers(situation.policy), *(each.server for each in situation.sightings)}
    missing = [seen for seen in observed_here(situation) if seen.server not in known]
    if not missing:
        return None
    last = missing[0]
    others = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
    return Violation(
        "unlisted",
        f"{printable(last.server)} presented {last.leaf or 'a chain'} on {in_utc(last.time)}, and "
        f"the pin file does not list it{others}: its present key is unknown",
        client_count(situation),
        fix="list it ([[host.server]]) or contact it (--connect); if it is switched off: certpin "
        f"rotate gone {shlex.quote(last.server)} --reason TEXT",
    )


def new_observations(situation: Situation, who: str) -> tuple[Event, ...]:
    """Return the journal entries for the servers that answered a probe.

    If a server's key and problem are those of its last observation, it gets an entry only once a
    day.

    Args:
        situation: the facts about the host, with its sightings.
        who: the person who takes the step.
    """
    host, now = str(situation.pattern), situation.now
    known = {each.server: each for each in situation.observed if each.host == situation.pattern}
    found: dict[str, Event] = {}
    for each in situation.sightings:
        last = known.get(each.server)
        same = last is not None and (last.leaf, last.problem) == (each.leaf, each.problem)
        if each.server and not (last and same and now - last.time < _OBSERVED_AGAIN):
            found[each.server] = Event(
                now, who, "observe", host, each.leaf, server=each.server, problem=each.problem
            )
    return tuple(found.values())


def _covers(situation: Situation, seen: ServerObservation) -> bool:
    host = seen.host.name
    if seen.host.wildcard:
        host = split_address(seen.server.partition(" at ")[0])[0]
    return situation.pins.policy_for(host) is situation.policy


def _status(
    situation: Situation, regions: Mapping[str, str], seen: ServerObservation, *, current: bool
) -> ServerStatus:
    leaf, name = seen.leaf, seen.server
    is_known = leaf is not None and (situation.entry(leaf) or leaf in situation.past.states)
    state = pin_state(situation, leaf) if leaf and is_known else None
    region, listed = regions.get(name, ""), name in regions
    return ServerStatus(name, region, leaf, state, seen.problem, seen.time, current, listed)
