"""Which of the chains that clients met some version of the pins accepts."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from certpin.watch.alerts.authority import REMEMBERED, is_vouched_for, roots_of
from certpin.watch.alerts.evidence import watched_set
from certpin.watch.facts.issuer import public_roots
from certpin.watch.store.keeping import read_chains

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from certpin.pins import HostPin
    from certpin.watch.alerts.evidence import Group
    from certpin.watch.patterns import Patterns
    from certpin.watch.watched import WatchedSet

_MOST_CHAINS = 300  # the ones that most reports are of: each has signatures to check
_LONGEST_CHAIN = 12


class Verdicts(NamedTuple):
    """Chains by host: those that are accepted, and those that are not; and who issued them.

    ``vouched`` are those among the strange ones that an authority issued for the host.
    """

    accepted: frozenset[tuple[str, bytes]]
    strange: frozenset[tuple[str, bytes]]
    vouched: frozenset[tuple[str, bytes]]
    issuers: dict[bytes, str]

    @property
    def judged(self) -> frozenset[tuple[str, bytes]]:
        """All of them."""
        return self.accepted | self.strange


def judge(
    connection: Connection, patterns: Patterns, groups: Sequence[Group], now: datetime
) -> Verdicts:
    """Against every version alive. A chain that is not kept any more is not judged.

    Each pattern has its turn: chains that somebody invents for one host hide none of another.
    """
    counts: dict[tuple[str, bytes], tuple[int, str]] = {}
    for each in groups:
        if each.chain:
            before, _ = counts.get((each.host, each.chain), (0, ""))
            counts[each.host, each.chain] = (before + each.reports, each.pin_set)
    most = _by_turns(counts, patterns)[:_MOST_CHAINS]
    chains = read_chains(connection, {digest for _, digest in most})
    roots = _roots(patterns.sets)
    accepted: set[tuple[str, bytes]] = set()
    strange: set[tuple[str, bytes]] = set()
    vouched: set[tuple[str, bytes]] = set()
    for host, digest in most:
        watched = watched_set(patterns.sets, host, counts[host, digest][1])
        if watched is None or digest not in chains:
            continue
        chain = chains[digest][:_LONGEST_CHAIN]
        if matches(chain, host, pins_alive(watched, host, now), roots):
            accepted.add((host, digest))
            continue
        strange.add((host, digest))
        if is_vouched_for(chain, host, roots_of(watched.pins.policy_for(host)), now):
            vouched.add((host, digest))
    issuers = {key: _issuer(chain[0]) for key, chain in chains.items() if chain}
    return Verdicts(frozenset(accepted), frozenset(strange), frozenset(vouched), issuers)


def _by_turns(
    counts: Mapping[tuple[str, bytes], tuple[int, str]], patterns: Patterns
) -> list[tuple[str, bytes]]:
    """Of each pattern what most reports are of, then of each what comes next, and so on."""
    turns: Counter[str] = Counter()
    ordered: list[tuple[int, tuple[str, bytes]]] = []
    for key in sorted(counts, key=lambda key: -counts[key][0]):
        share = patterns.share(key[0])
        ordered.append((turns[share], key))
        turns[share] += 1
    return [key for _, key in sorted(ordered, key=lambda each: each[0])]


def pins_alive(watched: WatchedSet, host: str, now: datetime) -> tuple[HostPin, ...]:
    """The pins of a host in the file and in every version that some client may hold."""
    sets = [watched.pins, *(each.pins for each in watched.alive(now))]
    policies = [each.policy_for(host) for each in sets]
    live = (each for policy in policies if policy for each in policy.pins if each.live)
    return tuple(dict.fromkeys(live))


def _roots(sets: Sequence[WatchedSet]) -> tuple[bytes, ...]:
    """Those of the pin files and of this machine. Servers send none, and one may be the pin: a
    client whose clock is wrong has verified nothing, and reports what was sent.
    """
    policies = (policy for each in sets for policy in each.pins.policies)
    named = (der for policy in policies if policy.trust for der in policy.trust.der)
    return tuple(dict.fromkeys((*named, *public_roots())))


@lru_cache(maxsize=REMEMBERED)
def matches(
    chain: tuple[bytes, ...],
    host: str,
    pins: tuple[HostPin, ...],
    roots: tuple[bytes, ...] = (),
) -> bool:
    """Whether a pin is on the path from the leaf, along signatures that hold, up to ``roots``.

    A certificate that was merely sent along never counts (CVE-2016-2402).
    """
    from certpin.lab.report.chain import Scene, Signature, strands

    for strand in strands(chain, Scene(host, roots, pins)):
        if not strand.on_path:
            break
        for place in strand.places:
            if place.pinned:
                return True
            if place.above is not Signature.GOOD:
                return False
    return False


def _issuer(leaf: bytes) -> str:
    from certpin.lab.report.certificates import read

    return read(leaf).issuer or ""
