"""Chains and certificates in the store, and how many bytes the reported ones use.

Each chain is stored once, and other rows refer to it by its digest. Chains that a probe observed,
and chains that only clients reported, are in the same tables. A chain that only clients reported
counts for the quota until a probe observes it, too.

The *quota* is a limit on the bytes of reported data. Three kinds of rows count for it: chains and
certificates that only clients reported, and samples of reports. The *usage* is the sum of the bytes
of each such row's content plus ``ROW_OVERHEAD``. Code that inserts or deletes such a row updates
the usage in the same transaction, so the usage is exact with any number of writers. When most of
the quota is used, the module ``quota`` evicts data.

Locks are taken in this order: the table of chains, the quota's usage, the rows. The usage is one
row, and stays locked until the transaction ends.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import delete, func, select, text, update

from certpin_watch.store.engine import insert, pieces
from certpin_watch.store.tables.observations import BUDGETS, CERTIFICATES, CHAINS, REPORT_SAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Column, ColumnElement, Connection, Table

NO_CHAIN = b""  # the digest in a row that has no chain
ROW_OVERHEAD = 256  # bytes of a row beside its content: keys, index entries, half-empty pages

_REPORTS = "reports"  # the name of the usage's row
_MAX_VALUES = 500  # in a statement: SQLite takes 32,766 (SQLITE_MAX_VARIABLE_NUMBER)


class ChainRecord(NamedTuple):
    """A certificate chain as it is stored.

    Attributes:
        digest: the SHA-256 of ``members``, which identifies the chain.
        members: the SHA-256 of each certificate, concatenated.
        certificates: the certificates as DER, leaf first.
    """

    digest: bytes
    members: bytes
    certificates: tuple[bytes, ...]

    @property
    def row_size(self) -> int:
        """The bytes of the storage quota that the chain's row uses, without its certificates."""
        return len(self.members) + ROW_OVERHEAD

    @property
    def by_digest(self) -> Iterator[tuple[bytes, bytes]]:
        """Pairs of the SHA-256 and the DER of each certificate, leaf first."""
        return zip(split_digests(self.members), self.certificates, strict=True)


class ReportedChain(NamedTuple):
    """A chain that a client reported, to be stored.

    Attributes:
        chain: the chain.
        at: the time of the report, in seconds since 1970.
        source: the network of the client.
        share: the monitored host or pattern that the report was about. Each share has separate
            limits on reported data.
    """

    chain: ChainRecord
    at: int
    source: str
    share: str


def chain_record(certificates: Sequence[bytes]) -> ChainRecord:
    """Compute the digests of a chain, and return it as it is stored.

    ``certificates`` are DER, leaf first. The bytes are NOT parsed or checked.
    """
    members = b"".join([hashlib.sha256(der).digest() for der in certificates])
    digest = hashlib.sha256(members).digest() if members else NO_CHAIN
    return ChainRecord(digest, members, tuple(certificates))


def split_digests(members: bytes) -> list[bytes]:
    """Split the column ``members`` of a chain into the SHA-256 of each certificate, leaf first."""
    return [members[i : i + 32] for i in range(0, len(members), 32)]


def lock_chain_inserts(connection: Connection) -> None:
    """Lock the table of chains, so that no process deletes a chain until the transaction ends.

    Without the lock, a chain could be deleted before the row that refers to it is committed.
    """
    if connection.dialect.name != "sqlite":  # SQLite has only one writer
        connection.execute(text("LOCK TABLE chains IN ROW EXCLUSIVE MODE"))


def insert_observed_chains(
    connection: Connection, chains: Iterable[Sequence[bytes]], now: datetime
) -> list[bytes]:
    """Store chains that a probe observed. They don't use the quota (limit) for reported data.

    If clients reported such a chain before, it no longer counts for the quota either. Call this
    only once in a transaction: a second call could deadlock, because it would take locks in the
    wrong order.

    Args:
        connection: a transaction that may write.
        chains: the certificates of each chain as DER, the leaf first.
        now: the time that is stored for new chains.

    Returns:
        The digest of each chain, in the order given; ``NO_CHAIN`` for an empty one.
    """
    records = [chain_record(certificates) for certificates in chains]
    wanted = {record.digest: record for record in records if record.digest}
    lock_chain_inserts(connection)
    new, reported = missing_chains(connection, wanted), _only_reported(connection, wanted)
    if new or reported:
        lock_usage(connection)
        new, reported = missing_chains(connection, wanted), _only_reported(connection, wanted)
        _mark_observed(connection, {*reported, *new}, wanted)
        rows = [_chain_row(record, int(now.timestamp())) for record in new.values()]
        insert_missing(connection, CERTIFICATES, _new_certificate_rows(connection, new.values()))
        insert_missing(connection, CHAINS, rows)
    return [record.digest for record in records]


def insert_reported_chains(connection: Connection, reported: Iterable[ReportedChain]) -> int:
    """Store chains that clients reported, if they are not stored yet.

    Call ``lock_usage`` before this function. Afterwards, call ``add_usage`` with the result.

    Returns:
        The bytes of the new rows, which this function does not add to the usage of the quota.
    """
    chains = list(reported)
    certificates = _new_certificate_rows(
        connection, (entry.chain for entry in chains), reported=True
    )
    insert_missing(connection, CERTIFICATES, certificates)
    sizes = {row["sha256"]: len(row["der"]) + ROW_OVERHEAD for row in certificates}
    rows, total = [], 0
    for chain, at, source, share in chains:
        new = sum(sizes.pop(digest, 0) for digest in split_digests(chain.members))
        size = chain.row_size + new
        rows.append(_chain_row(chain, at) | {"told": size, "source": source, "share": share})
        total += size
    insert_missing(connection, CHAINS, rows)
    return total


def missing_chains(
    connection: Connection, chains: Mapping[bytes, ChainRecord]
) -> dict[bytes, ChainRecord]:
    """Return those of the given chains that are not in the database yet, by digest.

    Call this before an INSERT. It sends only digests to the database. An INSERT of all chains would
    send all of their certificates, although most chains are usually stored already.
    """
    stored = _stored(connection, CHAINS.c.digest, chains)
    return {digest: chain for digest, chain in chains.items() if digest not in stored}


def new_certificate_sizes(
    connection: Connection, chains: Iterable[ChainRecord]
) -> dict[bytes, int]:
    """Return how many bytes of the storage quota each certificate of these chains would use.

    The result maps the SHA-256 of a certificate to the bytes. Certificates that are stored already
    are left out.
    """
    rows = _new_certificate_rows(connection, chains)
    return {row["sha256"]: len(row["der"]) + ROW_OVERHEAD for row in rows}


def read_chains(connection: Connection, digests: Iterable[bytes]) -> dict[bytes, tuple[bytes, ...]]:
    """Read chains from the database.

    Returns:
        The DER certificates of each chain, leaf first, by the chain's digest. Chains that are not
        stored are left out.
    """
    members: dict[bytes, bytes] = {}
    for part in pieces(set(digests) - {NO_CHAIN}, _MAX_VALUES):
        rows = connection.execute(
            select(CHAINS.c.digest, CHAINS.c.members).where(CHAINS.c.digest.in_(part))
        )
        members |= {row.digest: row.members for row in rows}
    chains = {digest: split_digests(hashed) for digest, hashed in members.items()}
    ders = read_certificates(connection, {sha256 for chain in chains.values() for sha256 in chain})
    return {
        digest: tuple(ders[sha256] for sha256 in chain)
        for digest, chain in chains.items()
        if ders.keys() >= set(chain)
    }


def read_certificates(connection: Connection, digests: Iterable[bytes]) -> dict[bytes, bytes]:
    """Read certificates from the database.

    Returns:
        The DER of each certificate, by its SHA-256. Certificates that are not stored are left out.
    """
    found: dict[bytes, bytes] = {}
    table = CERTIFICATES.c
    for part in pieces(set(digests), _MAX_VALUES):
        rows = connection.execute(select(table.sha256, table.der).where(table.sha256.in_(part)))
        found |= {row.sha256: row.der for row in rows}
    return found


def lock_chain_deletes(connection: Connection) -> None:
    """Lock the table of chains, so that no process inserts a chain until the transaction ends.

    First, this waits until transactions that are inserting chains have ended. Call this before you
    decide which chains to delete. Without the lock, another transaction could insert a row that
    refers to a chain at the moment at which the chain is deleted.
    """
    if connection.dialect.name != "sqlite":  # SQLite has only one writer
        connection.execute(text("LOCK TABLE chains IN SHARE ROW EXCLUSIVE MODE"))


def delete_chains(connection: Connection, chains: Sequence[Any]) -> None:
    """Delete these chains, and the certificates that are in no other chain.

    Args:
        connection: a transaction that called ``lock_chain_deletes``.
        chains: rows of ``CHAINS``, with ``digest``, ``members`` and ``told``, which is above 0 if
            only clients reported the chain.
    """
    if not chains:
        return
    lock_usage(connection)
    freed = sum(len(row.members) + ROW_OVERHEAD for row in chains if row.told)
    connection.execute(delete(CHAINS).where(CHAINS.c.digest.in_([row.digest for row in chains])))
    unused = {digest for row in chains for digest in split_digests(row.members)}
    for members in connection.execute(select(CHAINS.c.members)).scalars():
        unused.difference_update(split_digests(members))
    for piece in pieces(unused, _MAX_VALUES):
        chosen = CERTIFICATES.c.sha256.in_(piece)
        freed += rows_size(connection, CERTIFICATES.c.der, chosen, CERTIFICATES.c.told)
        connection.execute(delete(CERTIFICATES).where(chosen))
    add_usage(connection, -freed)


def insert_missing(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows into a table, except those with a key that is already stored.

    They are inserted in the order of their keys, so that two writers can't deadlock.
    """
    if rows:
        key = next(iter(table.primary_key)).name
        statement = insert(connection, table).on_conflict_do_nothing()
        connection.execute(statement, sorted(rows, key=lambda row: row[key]))


def _only_reported(connection: Connection, chains: Iterable[bytes]) -> set[bytes]:
    found: set[bytes] = set()
    for part in pieces(chains, _MAX_VALUES):
        rows = select(CHAINS.c.digest).where(CHAINS.c.digest.in_(part), CHAINS.c.told > 0)
        found.update(connection.execute(rows).scalars())
    return found


def _mark_observed(
    connection: Connection, digests: set[bytes], chains: Mapping[bytes, ChainRecord]
) -> None:
    """Mark chains and their certificates as observed by a probe.

    Their bytes no longer count for the quota of reported data.

    Args:
        connection: a transaction that has called ``lock_usage``.
        digests: the digests of the chains to mark.
        chains: these chains, and perhaps others, by digest.
    """
    freed = 0
    certificates = {
        sha256 for digest in digests for sha256 in split_digests(chains[digest].members)
    }
    observed = {"told": 0, "source": "", "share": ""}
    for part in pieces(digests, _MAX_VALUES):
        where = CHAINS.c.digest.in_(part) & (CHAINS.c.told > 0)
        freed += rows_size(connection, CHAINS.c.members, where)
        connection.execute(update(CHAINS).where(where).values(observed))
    for part in pieces(certificates, _MAX_VALUES):
        where = CERTIFICATES.c.sha256.in_(part) & CERTIFICATES.c.told
        freed += rows_size(connection, CERTIFICATES.c.der, where)
        connection.execute(update(CERTIFICATES).where(where).values(told=False))
    add_usage(connection, -freed)


def _new_certificate_rows(
    connection: Connection, chains: Iterable[ChainRecord], *, reported: bool = False
) -> list[dict[str, Any]]:
    """Return the row to insert for each certificate of these chains that is not stored yet.

    A row is a dictionary with the values of the columns. ``reported`` is True if only clients, and
    no probe, observed the chains.
    """
    ders = dict(pair for chain in chains for pair in chain.by_digest)
    stored = _stored(connection, CERTIFICATES.c.sha256, ders)
    new = ((sha256, der) for sha256, der in ders.items() if sha256 not in stored)
    return [{"sha256": sha256, "der": der, "told": reported} for sha256, der in new]


def _chain_row(chain: ChainRecord, first_at: int) -> dict[str, Any]:
    return {"digest": chain.digest, "members": chain.members, "first_at": first_at}


def _stored(connection: Connection, column: Column[bytes], keys: Iterable[bytes]) -> set[bytes]:
    found: set[bytes] = set()
    for part in pieces(keys, _MAX_VALUES):
        found.update(connection.execute(select(column).where(column.in_(part))).scalars())
    return found


def lock_usage(connection: Connection) -> int:
    """Lock the row with the used bytes of the storage quota until the transaction ends.

    The quota limits the chains, certificates and samples that only clients reported. If the row is
    missing, the used bytes are computed from all stored data.

    Returns:
        The used bytes. No other transaction can change them until this transaction ends.
    """
    used = _locked_usage(connection)
    if used is None:
        first = {"name": _REPORTS, "used": compute_usage(connection)}
        connection.execute(insert(connection, BUDGETS).values(first).on_conflict_do_nothing())
        used = _locked_usage(connection)
    return used or 0


def add_usage(connection: Connection, amount: int) -> None:
    """Add ``amount`` bytes to the used bytes of the storage quota; a negative number subtracts.

    The quota limits the data that clients reported. Call ``lock_usage`` before.
    """
    if amount:
        connection.execute(
            update(BUDGETS).where(BUDGETS.c.name == _REPORTS).values(used=BUDGETS.c.used + amount)
        )


def read_usage(connection: Connection) -> int:
    """Return the used bytes of the quota for data that clients reported.

    This takes no lock, so another transaction can change the number. It is 0 if none is stored.
    """
    found = connection.execute(select(BUDGETS.c.used).where(BUDGETS.c.name == _REPORTS)).scalar()
    return int(found or 0)


def compute_usage(connection: Connection) -> int:
    """Add up the used bytes of the storage quota from all rows that count for the quota.

    These are chains and certificates that only clients reported, and samples of reports.
    """
    return (
        rows_size(connection, CHAINS.c.members, CHAINS.c.told > 0)
        + rows_size(connection, CERTIFICATES.c.der, CERTIFICATES.c.told)
        + rows_size(connection, REPORT_SAMPLES.c.body)
    )


def rows_size(
    connection: Connection, content: Column[bytes], *where: ColumnElement[bool] | Column[bool]
) -> int:
    """Return how many bytes of the storage quota some rows of a table use.

    Each row uses the length of its column ``content``, and ``ROW_OVERHEAD`` bytes. ``where`` are
    SQL conditions that select the rows.
    """
    size = func.sum(func.length(content) + ROW_OVERHEAD)
    total = select(func.coalesce(size, 0)).where(*where)
    return int(connection.execute(total).scalar_one())


def _locked_usage(connection: Connection) -> int | None:
    chosen = select(BUDGETS.c.used).where(BUDGETS.c.name == _REPORTS).with_for_update()
    return connection.execute(chosen).scalar()
