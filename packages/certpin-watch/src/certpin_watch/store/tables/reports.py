"""Reports of clients: counted in groups, a few stored as samples, repeats recognised.

The groups are also added up by day, so that a year of them can be read quickly. A day's sums are
written in the transaction that counts the reports in their groups (``store/reports.py``), so the
two always agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, UniqueConstraint, event

from certpin_watch.store.tables.columns import (
    METADATA,
    counter,
    digest,
    row_id,
    text,
    timestamp,
    trait_columns,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection


# The bound is the second day of 1970.
_UNDATED = """
CREATE TABLE report_identities_undated PARTITION OF report_identities
FOR VALUES FROM (MINVALUE) TO ('\\x0000015180')
"""
_REST = "CREATE TABLE report_identities_rest PARTITION OF report_identities DEFAULT"

# Reports of one hour with the same content. `key` is the SHA-256 of that content. `served` and
# `verified` are digests of chains, empty if the reports had none. `version` is 0 if the format has
# none. `folded` is above 0 if the hour was full and the group has less detail than its reports had
# (collector/grouping.py).
REPORT_GROUPS = Table(
    "report_groups",
    METADATA,
    row_id(),
    digest("key", unique=True),
    timestamp("hour"),
    text("host"),
    digest("served"),
    digest("verified"),
    *trait_columns(),
    Column("folded", BigInteger, nullable=False, server_default="0"),
    counter(),
    timestamp("first_at"),
    timestamp("last_at"),
    Index(None, "hour"),
    Index(None, "host", "hour"),
    Index(None, "served", "hour"),
    Index(None, "verified"),
    Index(None, "pin_set", "hour"),
)

# The reports that were counted: a report that is sent again is not counted again. An identity
# begins with the client's second (collector/decode.py), so on PostgreSQL the table is partitioned
# by the day of the report itself (store/identities.py): a unique index can't span partitions, and a
# repeat must reach the partition of the first one, whenever it arrives.
REPORT_IDENTITIES = Table(
    "report_identities",
    METADATA,
    digest("identity", primary_key=True),
    timestamp("received_at", index=True),
    postgresql_partition_by="RANGE (identity)",
)


@event.listens_for(REPORT_IDENTITIES, "after_create")
def _make_partitions(_: Table, connection: Connection, **__: Any) -> None:
    """Create the two permanent partitions of report identities.

    One is for identities without a day, the other for days that have no partition.
    """
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql(_UNDATED)
        connection.exec_driver_sql(_REST)


# The number of identities that arrived in an hour (its first second), as retention counted them; 0
# if they were deleted before they expired, because there were too many.
IDENTITY_HOURS = Table(
    "identity_hours",
    METADATA,
    timestamp("hour", primary_key=True, autoincrement=False),
    counter(),
)

# A few reports of each group as they arrived. `source` is the client's network (a prefix), `share`
# the watched host or pattern that the report is about.
REPORT_SAMPLES = Table(
    "report_samples",
    METADATA,
    row_id(),
    digest("key", index=True),
    timestamp("received_at"),
    text("source"),
    Column("body", LargeBinary, nullable=False),
    text("share", server_default=""),
    Index(None, "received_at", "key"),
)

# The networks from which a chain, or a failure without one, was reported on a day (its first
# second), widened to those of whole providers (IPv4 /16, IPv6 /32). `share` is the watched host or
# pattern, `met` the digest of the chain. They distinguish many clients from one that reports often.
REPORT_NETWORKS = Table(
    "report_networks",
    METADATA,
    timestamp("day", primary_key=True),
    text("network", primary_key=True),
    text("share", primary_key=True),
    digest("met", primary_key=True),
    Index(None, "share", "day"),
)

# The number of clients that reported which version they have, by day (its first second).
PRESENCES = Table(
    "presences",
    METADATA,
    timestamp("day", primary_key=True),
    text("pin_set", primary_key=True),
    Column("version", BigInteger, primary_key=True),
    text("app", primary_key=True),
    text("app_version", primary_key=True),
    text("platform", primary_key=True),
    counter(),
    Index(None, "pin_set", "day"),
)

# Each combination of traits, once. `key` is the SHA-256 of it, `seen` the last day on which it was
# counted: sums of later days don't refer to it.
REPORT_TRAITS = Table(
    "report_traits",
    METADATA,
    row_id(),
    digest("key", unique=True),
    *trait_columns(),
    timestamp("seen"),
)

# Each combination of a host and the chain that it served to a client, once. `seen` as above.
REPORT_PLACES = Table(
    "report_places",
    METADATA,
    row_id(),
    text("host"),
    digest("served"),
    timestamp("seen"),
    UniqueConstraint("host", "served"),
    Index(None, "served"),
)

# The number of reports on a day (its first second) with these traits, for all places.
DAY_TRAITS = Table(
    "day_traits",
    METADATA,
    timestamp("day", primary_key=True),
    Column("trait", BigInteger, primary_key=True),
    counter(),
    sqlite_with_rowid=False,
)

# The same for each place. The key begins with the place, so that the rows of a host are stored
# together and a query over them needs no sorting.
DAY_PLACES = Table(
    "day_places",
    METADATA,
    Column("place", BigInteger, primary_key=True),
    timestamp("day", primary_key=True),
    Column("trait", BigInteger, primary_key=True),
    counter(),
    timestamp("first_at"),
    timestamp("last_at"),
    Index(None, "day"),
    sqlite_with_rowid=False,
)

# The periods in which at least one process accepted reports: without them, a time without reports
# would look the same as a time without a service. Processes extend the last row; after a pause
# there is a new one. Nothing is known about the time before the first row.
LISTENED = Table(
    "listened",
    METADATA,
    row_id(),
    timestamp("since"),
    timestamp("until", index=True),
)

# The stream of reports as a writer saw it last: `messages` that wait to be counted, the oldest
# since `oldest_at` (by the clock of the NATS server), NULL if there is none.
REPORT_QUEUE = Table(
    "report_queue",
    METADATA,
    text("stream", primary_key=True),
    counter("messages"),
    timestamp("oldest_at", nullable=True),
    timestamp("looked_at"),
    info={"transient": True},
)
