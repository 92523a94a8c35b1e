"""The chains that clients met, and how many reports there are at all."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  # msgspec reads the fields when it first encodes
from typing import TYPE_CHECKING

import msgspec

from certpin_watch.queries import chains, sums
from certpin_watch.queries.base import bounded, hexadecimal, moment, seconds
from certpin_watch.queries.chain_check import ChainJudge, Verdict  # noqa: TC001  # as above
from certpin_watch.queries.reported import parts_until

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from certpin_watch.queries.reported import Only, Parts, Range


class ChainCount(msgspec.Struct, frozen=True):
    """A chain that clients met at a host, and how often; ``served`` is empty if none was reported.

    ``verdict`` is what alerts say of it, too (``facts.chain_check``).
    """

    host: str
    served: str
    count: int
    first_at: datetime
    last_at: datetime
    verdict: Verdict = "unknown"


class Total(msgspec.Struct, frozen=True):
    """How many reports, at how many hosts, with how many chains, and when the last one came."""

    count: int
    hosts: int
    chains: int
    last_at: datetime | None = None


def total(connection: Connection, within: Range, only: Only | None = None) -> Total:
    """How many there were."""
    found = sums.places(connection, _parts(connection, within), only)
    return Total(
        sum(met.number for met in found),
        len({met.host for met in found}),
        len({met.served for met in found}),
        max((moment(met.last_at) for met in found), default=None),
    )


def top_chains(
    connection: Connection, within: Range, *, only: Only | None = None, limit: int = 20
) -> tuple[ChainCount, ...]:
    """The chains that clients met most often."""
    found = sums.places(connection, _parts(connection, within), only)[: bounded(limit)]
    return tuple(map(chain_count, found))


def with_verdicts(
    connection: Connection, judge: ChainJudge, counts: Iterable[ChainCount]
) -> tuple[ChainCount, ...]:
    """Return the same counts, each with the verdict of the pins."""
    found = []
    for each in counts:
        ders = chains.ders(connection, bytes.fromhex(each.served)) if each.served else None
        verdict = judge.verdict(each.host, ders or (), each.first_at)
        found.append(msgspec.structs.replace(each, verdict=verdict))
    return tuple(found)


def chain_count(met: sums.Met) -> ChainCount:
    """Return one of them as the API has it."""
    first, last = moment(met.first_at), moment(met.last_at)
    return ChainCount(met.host, hexadecimal(met.served), met.number, first, last)


def _parts(connection: Connection, within: Range) -> Parts:
    return parts_until(connection, seconds(within.since), seconds(within.until))
