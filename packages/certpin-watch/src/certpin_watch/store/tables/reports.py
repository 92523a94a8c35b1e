"""TODO: one docstring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, UniqueConstraint, event

from certpin_watch.store.tables.columns import METADATA, count, digest, moment, number, text, traits

if TYPE_CHECKING:
    from sqlalchemy import Connection


# The bound is the second day of 1970.
_UNDATED = """
CREATE TABLE report_identities_undated PARTITION OF report_identities
FOR VALUES FROM (MINVALUE) TO ('\\x0000015180')
"""
_REST = "CREATE TABLE report_identities_rest PARTITION OF report_identities DEFAULT"

# Reports of one hour that say the same. `key` is the SHA-256 of what they have in common.
# `served` and `verified` are digests of chains, empty where the reports had none. `version` is 0
# where the format has none. `folded` is above 0 where the hour was full, and the group says less
# than its reports did (certpin_watch/collector/grouping.py).
REPORT_GROUPS = Table(
    "report_groups",
    METADATA,
    number(),
    digest("key", unique=True),
    moment("hour"),
    text("host"),
    digest("served"),
    digest("verified"),
    *traits(),
    Column("folded", BigInteger, nullable=False, server_default="0"),
    count(),
    moment("first_at"),
    moment("last_at"),
    Index(None, "hour"),
    Index(None, "host", "hour"),
    Index(None, "served", "hour"),
    Index(None, "verified"),
    Index(None, "pin_set", "hour"),
)

# The reports that were counted, so that one that is sent again is not counted again. An identity
# begins with the client's second (certpin_watch/collector/decode.py), so on PostgreSQL the table is
# partitioned by the day of the report itself (watch/store/partitions.py): a unique index can't span
# partitions, and a repeat has to reach the partition of the first one, whenever it arrives.
REPORT_IDENTITIES = Table(
    "report_identities",
    METADATA,
    digest("identity", primary_key=True),
    moment("received_at", index=True),
    postgresql_partition_by="RANGE (identity)",
)


@event.listens_for(REPORT_IDENTITIES, "after_create")
def _make_partitions(_: Table, connection: Connection, **__: Any) -> None:
    """Make the two that are always there: of identities without a day, and of all other days."""
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql(_UNDATED)
        connection.exec_driver_sql(_REST)


# How many identities came in an hour (its first second), as retention counted them; 0 if they were
# deleted before their time, because there were too many.
IDENTITY_HOURS = Table(
    "identity_hours",
    METADATA,
    moment("hour", primary_key=True, autoincrement=False),
    count(),
)

# A few of each group as they came, for whoever has to look closer. `source` is a prefix, and
# `share` the watched host or pattern that it is about.
REPORT_SAMPLES = Table(
    "report_samples",
    METADATA,
    number(),
    digest("key", index=True),
    moment("received_at"),
    text("source"),
    Column("body", LargeBinary, nullable=False),
    text("share", server_default=""),
    Index(None, "received_at", "key"),
)

# From where a chain was told on a day (the first second of it), or a failure without one: the
# networks, cut until they are those of whole providers (IPv4 /16, IPv6 /32). `share` is the watched
# host or pattern, `met` the digest of the chain. They tell what many say from what one says often.
REPORT_NETWORKS = Table(
    "report_networks",
    METADATA,
    moment("day", primary_key=True),
    text("network", primary_key=True),
    text("share", primary_key=True),
    digest("met", primary_key=True),
    Index(None, "share", "day"),
)

# Clients that told which version they hold, by day (the first second of it).
PRESENCES = Table(
    "presences",
    METADATA,
    moment("day", primary_key=True),
    text("pin_set", primary_key=True),
    Column("version", BigInteger, primary_key=True),
    text("app", primary_key=True),
    text("app_version", primary_key=True),
    text("platform", primary_key=True),
    count(),
    Index(None, "pin_set", "day"),
)


# What reports say of themselves, each combination once. `key` is the SHA-256 of it, `seen` the last
# day on which it was counted: no sum of a later day names it.
REPORT_TRAITS = Table(
    "report_traits",
    METADATA,
    number(),
    digest("key", unique=True),
    *traits(),
    moment("seen"),
)

# Where reports met what: a host, and the chain that it was seen to serve. `seen` as above.
REPORT_PLACES = Table(
    "report_places",
    METADATA,
    number(),
    text("host"),
    digest("served"),
    moment("seen"),
    UniqueConstraint("host", "served"),
    Index(None, "served"),
)

# How many reports of a day (its first second) had these traits, wherever they came from.
DAY_TRAITS = Table(
    "day_traits",
    METADATA,
    moment("day", primary_key=True),
    Column("trait", BigInteger, primary_key=True),
    count(),
    sqlite_with_rowid=False,
)

# The same for each place. By place first: the reports of a host lie beside each other, and a look
# at all of them needs no sorting.
DAY_PLACES = Table(
    "day_places",
    METADATA,
    Column("place", BigInteger, primary_key=True),
    moment("day", primary_key=True),
    Column("trait", BigInteger, primary_key=True),
    count(),
    moment("first_at"),
    moment("last_at"),
    Index(None, "day"),
    sqlite_with_rowid=False,
)


# From `since` to `until` at least one process took reports. Each makes the last row longer, again
# and again; after a pause there is a new one. What was before the first row, nobody wrote down.
LISTENED = Table(
    "listened",
    METADATA,
    number(),
    moment("since"),
    moment("until", index=True),
)


# How the stream of the reports was when a writer last looked: `messages` wait, the first of them
# since `oldest_at` (by the clock of the NATS server), NULL where none does.
REPORT_QUEUE = Table(
    "report_queue",
    METADATA,
    text("stream", primary_key=True),
    count("messages"),
    moment("oldest_at", nullable=True),
    moment("looked_at"),
    info={"transient": True},
)
