"""Chains and certificates, each kept once: whoever meets a chain keeps it here, and names it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Table, select, text

from certpin.watch.store.engine import insert
from certpin.watch.store.tables.chains import CERTIFICATES, CHAINS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

NO_CHAIN = b""  # the digest of a chain that is not there

_AT_ONCE = 500  # values in a statement: SQLite takes 32,766 (SQLITE_MAX_VARIABLE_NUMBER)


def keep_chains(
    connection: Connection, chains: Iterable[Sequence[bytes]], now: datetime
) -> list[bytes]:
    """Keep every chain (DER, leaf first) that is not there yet. Their digests, in their order.

    An empty chain is ``NO_CHAIN``, and is not kept. Not checked: what the bytes are.
    """
    certificates: dict[bytes, bytes] = {}
    found: dict[bytes, bytes] = {}
    digests = []
    for chain in chains:
        members = b"".join(_digests(chain, certificates))
        digests.append(hashlib.sha256(members).digest() if members else NO_CHAIN)
        found[digests[-1]] = members
    found.pop(NO_CHAIN, None)
    moment = int(now.timestamp())
    hold_chains(connection)
    new = _missing(connection, CHAINS.c.digest, found)
    if not new:
        return digests  # a chain that is kept has its certificates
    wanted = {each[i : i + 32] for each in new.values() for i in range(0, len(each), 32)}
    ders = _missing(connection, CERTIFICATES.c.sha256, {key: certificates[key] for key in wanted})
    put(connection, CERTIFICATES, [{"sha256": key, "der": der} for key, der in ders.items()])
    rows = [{"digest": key, "members": each, "first_at": moment} for key, each in new.items()]
    put(connection, CHAINS, rows)
    return digests


def hold_chains(connection: Connection) -> None:
    """Let nobody delete a chain between here and the row that names it (``sweeping``)."""
    if connection.dialect.name != "sqlite":  # SQLite has one writer anyhow
        connection.execute(text("LOCK TABLE chains IN ROW EXCLUSIVE MODE"))


def chain_digest(chain: Sequence[bytes]) -> bytes:
    """What a chain is named by."""
    members = b"".join(_digests(chain, {}))
    return hashlib.sha256(members).digest() if members else NO_CHAIN


def read_chains(connection: Connection, digests: Iterable[bytes]) -> dict[bytes, tuple[bytes, ...]]:
    """The chains that are kept, as DER, by their digests; one that is not kept is left out."""
    members: dict[bytes, bytes] = {}
    for part in _parts(set(digests) - {NO_CHAIN}):
        rows = connection.execute(
            select(CHAINS.c.digest, CHAINS.c.members).where(CHAINS.c.digest.in_(part))
        )
        members |= {row.digest: row.members for row in rows}
    split = {key: _split(each) for key, each in members.items()}
    ders = read_certificates(connection, {one for each in split.values() for one in each})
    return {
        key: tuple(ders[one] for one in each)
        for key, each in split.items()
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


def _digests(chain: Sequence[bytes], certificates: dict[bytes, bytes]) -> list[bytes]:
    found = []
    for der in chain:
        key = hashlib.sha256(der).digest()
        certificates[key] = der
        found.append(key)
    return found


def _split(members: bytes) -> list[bytes]:
    return [members[i : i + 32] for i in range(0, len(members), 32)]


def _missing(
    connection: Connection, column: Column[bytes], wanted: dict[bytes, bytes]
) -> dict[bytes, bytes]:
    """Those that are not there yet: most chains are met again and again, and are read, not sent."""
    there: set[bytes] = set()
    for part in _parts(wanted):
        there.update(connection.execute(select(column).where(column.in_(part))).scalars())
    return {key: value for key, value in wanted.items() if key not in there}


def _parts(keys: Iterable[bytes]) -> Iterable[list[bytes]]:
    ordered = sorted(keys)
    return (ordered[i : i + _AT_ONCE] for i in range(0, len(ordered), _AT_ONCE))
