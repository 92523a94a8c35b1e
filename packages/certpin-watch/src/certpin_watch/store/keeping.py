"""Chains and certificates, each kept once: whoever meets a chain keeps it here, and names it.

What the watch itself saw is kept without more ado. What clients tell counts for a budget
(``budget``) until the watch sees it, too. Both go the same way: who finds something that is not
there takes the budget, looks again, and writes certificates before chains, by their keys: two
never lock each other out.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Column, Table, func, select, text, update

from certpin_watch.store import budget
from certpin_watch.store.engine import insert
from certpin_watch.store.tables.chains import CERTIFICATES, CHAINS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

NO_CHAIN = b""  # the digest of a chain that is not there

_AT_ONCE = 500  # values in a statement: SQLite takes 32,766 (SQLITE_MAX_VARIABLE_NUMBER)
_DIGEST = 32  # bytes of a SHA-256


class Chain(NamedTuple):
    """A chain as it is kept: the digests of its certificates, and their digest."""

    digest: bytes
    members: bytes
    certificates: tuple[bytes, ...]

    @property
    def weight(self) -> int:
        """How many bytes its row counts for, without its certificates."""
        return len(self.members) + budget.ROW

    @property
    def named(self) -> Iterator[tuple[bytes, bytes]]:
        """Each certificate with its digest."""
        return zip(split(self.members), self.certificates, strict=True)


class Told(NamedTuple):
    """A chain that clients tell: the network that it came from, and the part it is told of."""

    chain: Chain
    at: int
    source: str
    share: str


def chain_of(certificates: Sequence[bytes]) -> Chain:
    """What a chain is named by. Not checked: what the bytes are."""
    members = b"".join([hashlib.sha256(each).digest() for each in certificates])
    digest = hashlib.sha256(members).digest() if members else NO_CHAIN
    return Chain(digest, members, tuple(certificates))


def keep_chains(
    connection: Connection, chains: Iterable[Sequence[bytes]], now: datetime
) -> list[bytes]:
    """Keep every chain (DER, leaf first) that the watch saw. Their digests, in their order.

    An empty chain is ``NO_CHAIN``, and is not kept. What only clients had met until now counts for
    no budget any more.
    """
    found = [chain_of(each) for each in chains]
    wanted = {each.digest: each for each in found if each.digest}
    hold_chains(connection)
    new, told = missing(connection, wanted), _told(connection, wanted)
    if new or told:
        budget.hold(connection)
        new, told = missing(connection, wanted), _told(connection, wanted)
        _own(connection, {*told, *new}, wanted)
        rows = [_row(each, int(now.timestamp())) for each in new.values()]
        put(connection, CERTIFICATES, _certificates(connection, new.values()))
        put(connection, CHAINS, rows)
    return [each.digest for each in found]


def keep_told(connection: Connection, told: Iterable[Told]) -> int:
    """Keep what clients tell, for whoever holds the budget. How many bytes it came to."""
    kept = list(told)
    certificates = _certificates(connection, (each.chain for each in kept), told=True)
    put(connection, CERTIFICATES, certificates)
    ours = {row["sha256"]: len(row["der"]) + budget.ROW for row in certificates}
    rows, spent = [], 0
    for chain, at, source, share in kept:
        size = chain.weight + sum(ours.pop(key, 0) for key in split(chain.members))
        rows.append(_row(chain, at) | {"told": size, "source": source, "share": share})
        spent += size
    put(connection, CHAINS, rows)
    return spent


def unkept(connection: Connection, chains: Iterable[Chain]) -> dict[bytes, int]:
    """How many bytes each certificate of theirs that is not kept yet would come to."""
    rows = _certificates(connection, chains)
    return {row["sha256"]: len(row["der"]) + budget.ROW for row in rows}


def missing(connection: Connection, chains: Mapping[bytes, Chain]) -> dict[bytes, Chain]:
    """Those that are not kept: most chains are met again and again, and are read, not sent."""
    there = _there(connection, CHAINS.c.digest, chains)
    return {key: chain for key, chain in chains.items() if key not in there}


def _told(connection: Connection, chains: Iterable[bytes]) -> set[bytes]:
    """Those that nobody but clients has met."""
    found: set[bytes] = set()
    for part in _parts(chains):
        rows = select(CHAINS.c.digest).where(CHAINS.c.digest.in_(part), CHAINS.c.told > 0)
        found.update(connection.execute(rows).scalars())
    return found


def _own(connection: Connection, digests: set[bytes], chains: Mapping[bytes, Chain]) -> None:
    """The watch saw these: they and their certificates are told no more."""
    freed = 0
    certificates = {key for digest in digests for key in split(chains[digest].members)}
    seen = {"told": 0, "source": "", "share": ""}
    for part in _parts(digests):
        where = CHAINS.c.digest.in_(part) & (CHAINS.c.told > 0)
        freed += _weight(connection, CHAINS.c.members, where)
        connection.execute(update(CHAINS).where(where).values(seen))
    for part in _parts(certificates):
        where = CERTIFICATES.c.sha256.in_(part) & CERTIFICATES.c.told
        freed += _weight(connection, CERTIFICATES.c.der, where)
        connection.execute(update(CERTIFICATES).where(where).values(told=False))
    budget.spend(connection, -freed)


def _weight(connection: Connection, column: Column[bytes], where: Any) -> int:
    total = select(func.coalesce(func.sum(func.length(column) + budget.ROW), 0)).where(where)
    return int(connection.execute(total).scalar_one())


def _certificates(
    connection: Connection, chains: Iterable[Chain], *, told: bool = False
) -> list[dict[str, Any]]:
    """The rows of those that are not kept yet."""
    ders = dict(pair for each in chains for pair in each.named)
    there = _there(connection, CERTIFICATES.c.sha256, ders)
    new = ((key, der) for key, der in ders.items() if key not in there)
    return [{"sha256": key, "der": der, "told": told} for key, der in new]


def _row(chain: Chain, moment: int) -> dict[str, Any]:
    return {"digest": chain.digest, "members": chain.members, "first_at": moment}


def hold_chains(connection: Connection) -> None:
    """Let nobody delete a chain between here and the row that names it (``sweeping``)."""
    if connection.dialect.name != "sqlite":  # SQLite has one writer anyhow
        connection.execute(text("LOCK TABLE chains IN ROW EXCLUSIVE MODE"))


def read_chains(connection: Connection, digests: Iterable[bytes]) -> dict[bytes, tuple[bytes, ...]]:
    """The chains that are kept, as DER, by their digests; one that is not kept is left out."""
    members: dict[bytes, bytes] = {}
    for part in _parts(set(digests) - {NO_CHAIN}):
        rows = connection.execute(
            select(CHAINS.c.digest, CHAINS.c.members).where(CHAINS.c.digest.in_(part))
        )
        members |= {row.digest: row.members for row in rows}
    apart = {key: split(each) for key, each in members.items()}
    ders = read_certificates(connection, {one for each in apart.values() for one in each})
    return {
        key: tuple(ders[one] for one in each)
        for key, each in apart.items()
        if ders.keys() >= set(each)
    }


def read_certificates(connection: Connection, digests: Iterable[bytes]) -> dict[bytes, bytes]:
    """The certificates that are kept, as DER, by their SHA-256."""
    found: dict[bytes, bytes] = {}
    table = CERTIFICATES.c
    for part in _parts(set(digests)):
        rows = connection.execute(select(table.sha256, table.der).where(table.sha256.in_(part)))
        found |= {row.sha256: row.der for row in rows}
    return found


def put(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert what is not there, in the order of its keys: two never lock each other out."""
    if rows:
        key = next(iter(table.primary_key)).name
        statement = insert(connection, table).on_conflict_do_nothing()
        connection.execute(statement, sorted(rows, key=lambda row: row[key]))


def split(members: bytes) -> list[bytes]:
    """The digests of the certificates of a chain."""
    return [members[i : i + _DIGEST] for i in range(0, len(members), _DIGEST)]


def _there(connection: Connection, column: Column[bytes], keys: Iterable[bytes]) -> set[bytes]:
    found: set[bytes] = set()
    for part in _parts(keys):
        found.update(connection.execute(select(column).where(column.in_(part))).scalars())
    return found


def _parts(keys: Iterable[bytes]) -> Iterable[list[bytes]]:
    ordered = sorted(keys)
    return (ordered[i : i + _AT_ONCE] for i in range(0, len(ordered), _AT_ONCE))
