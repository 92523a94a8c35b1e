"""What a row of the sightings says, for whoever tells it on."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  # msgspec reads the fields when it first encodes
from typing import TYPE_CHECKING, Any

import msgspec

from certpin_watch.queries.base import hexadecimal, moment

if TYPE_CHECKING:
    from sqlalchemy import Row

_MICROSECONDS = 1_000_000  # of a second


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """From ``first_at`` to ``last_at`` a vantage saw the same. The digests are those of chains.

    ``way`` and ``edge`` tell several answers of one vantage and port apart, and are empty else.
    ``seconds`` is how long the last probe took, with all its attempts; none where nobody knows.
    """

    vantage: str
    port: int
    way: str
    edge: str
    address: str
    outcome: str
    served: str
    verified: str
    tls: str
    problem: str
    code: int
    first_at: datetime
    last_at: datetime
    probes: int
    seconds: float | None = None


def seen_of(row: Row[Any]) -> dict[str, Any]:
    """The fields of a row."""
    same = ("vantage", "port", "way", "edge", "address", "outcome", "tls", "problem", "code")
    return {
        **{name: row._mapping[name] for name in same},
        "served": hexadecimal(row.served),
        "verified": hexadecimal(row.verified),
        "first_at": moment(row.first_at),
        "last_at": moment(row.last_at),
        "probes": row._mapping["count"],  # `count` is a method of rows
        "seconds": row.took / _MICROSECONDS if row.took else None,
    }
