"""Which of the chains that clients met some live version of the pins accepts."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from certpin_watch.store.chains import read_chains
from certpin_watch.store.queries.chain_check import ChainJudge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from certpin_watch.alerts.evidence import Group
    from certpin_watch.snapshot import Patterns

    Met = tuple[str, bytes]  # a host, and the digest of a chain

_MOST_CHAINS = 300  # the most reported: each has signatures to verify


class Verdicts(NamedTuple):
    """Chains by host: those that are accepted, and those that are not; and who issued them.

    ``vouched`` are the strange ones that an authority issued for the host.
    """

    accepted: frozenset[Met]
    strange: frozenset[Met]
    vouched: frozenset[Met]
    issuers: dict[bytes, str]

    @property
    def judged(self) -> frozenset[Met]:
        """All of them."""
        return self.accepted | self.strange


def judge(
    connection: Connection, patterns: Patterns, groups: Sequence[Group], now: datetime
) -> Verdicts:
    """Judge the chains of these groups against every live version of the pins.

    A chain that is no longer stored is not judged. Each pattern has its turn, so that chains that
    someone invents for one host hide none of another.
    """
    counts: Counter[Met] = Counter()
    first: dict[Met, int] = {}
    for each in groups:
        if each.chain:
            key = (each.host, each.chain)
            counts[key] += each.reports
            first[key] = min(first.get(key, each.first_at), each.first_at)
    most = _by_turns(counts, patterns)[:_MOST_CHAINS]
    chains = read_chains(connection, {digest for _, digest in most})
    judging = ChainJudge(patterns.sets, now)
    found: dict[str, set[Met]] = {"accepted": set(), "refused": set(), "issued": set()}
    for key in most:
        host, digest = key
        since = datetime.fromtimestamp(first[key], UTC)
        verdict = judging.verdict(host, chains.get(digest, ()), since)
        if verdict in found:
            found[verdict].add(key)
    issuers = {key: _issuer(chain[0]) for key, chain in chains.items() if chain}
    accepted, refused, issued = (frozenset(each) for each in found.values())
    return Verdicts(accepted, refused | issued, issued, issuers)


def _by_turns(counts: Mapping[Met, int], patterns: Patterns) -> list[Met]:
    """The most reported chain of each pattern, then the second of each, and so on."""
    turns: Counter[str] = Counter()
    ordered: list[tuple[int, Met]] = []
    for key in sorted(counts, key=lambda key: -counts[key]):
        share = patterns.share(key[0])
        ordered.append((turns[share], key))
        turns[share] += 1
    return [key for _, key in sorted(ordered, key=lambda each: each[0])]


def _issuer(leaf: bytes) -> str:
    from certpin.x509.chain import read_facts

    return read_facts(leaf).issuer or ""
