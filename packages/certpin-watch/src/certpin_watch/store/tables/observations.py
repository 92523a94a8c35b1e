"""Tables of observations by probes and clients: certificates and chains, probe results, reports.

Certificates and chains are stored once. Reports and sightings (probe results) refer to a chain by
its digest.

Equal reports of one hour are counted in a group. A few are also stored as samples, and identities
recognise repeats. The groups are also added up by day, so that a year of them can be read quickly.
A day's sums are written in the transaction that counts the reports in their groups
(``store/reports.py``), so the two always agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    LargeBinary,
    Table,
    UniqueConstraint,
    event,
    false,
    true,
)
from sqlalchemy import text as sql

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


# `told`: only clients have reported it, so that it counts for the quota of reported data.
CERTIFICATES = Table(
    "certificates",
    METADATA,
    digest("sha256", primary_key=True),
    Column("der", LargeBinary, nullable=False),
    Column("told", Boolean, nullable=False, server_default=false()),
)

# A chain's digest is the SHA-256 of `members`, the concatenated digests of its certificates, the
# leaf first. `told` is the number of bytes that it added to the quota if only clients have reported
# it, and 0 if a probe observed it. `source` is the first network that reported it, and `share` the
# monitored host or pattern that the report was about.
CHAINS = Table(
    "chains",
    METADATA,
    digest("digest", primary_key=True),
    Column("members", LargeBinary, nullable=False),
    timestamp("first_at", index=True),
    Column("told", BigInteger, nullable=False, server_default="0"),
    text("source", server_default=""),
    text("share", server_default=""),
)


# The bytes that reported data uses (store/chains.py): a table with one row, so that a transaction
# can lock it. The row is computed again if it is missing.
BUDGETS = Table(
    "budgets",
    METADATA,
    text("name", primary_key=True),
    Column("used", BigInteger, nullable=False),
    info={"transient": True},
)

# The condition for current rows, exactly as in their index: SQLite uses the index only then.
LATEST = sql("latest")

# From `first_at` to `last_at`, in `count` probes, a location observed the same. `latest` marks the
# current row of each host, port, location (`vantage`), way and edge. `way` distinguishes several
# ways to one host and port (another address, STARTTLS, separate anchors), and is empty for the
# plain one. `edge` is the address if each address of the name is probed, else empty. `address` is
# the one that answered last. `served` and `verified` are digests of chains, empty if there was
# none; `problem` is then the reason, and `code` OpenSSL's number for it. `outcome` is verified,
# unverified, unreachable or no-starttls. `slot` is the time for which the last probe was planned,
# so that an answer is counted once. `changes` is the number of rows directly before this one that
# ended before a second probe confirmed them. `took` is the duration of the last probe in
# microseconds, 0 if it wasn't measured.
SIGHTINGS = Table(
    "sightings",
    METADATA,
    row_id(),
    text("host"),
    Column("port", BigInteger, nullable=False),
    text("vantage"),
    text("way", server_default=""),
    text("edge", server_default=""),
    text("address"),
    text("outcome"),
    digest("served"),
    digest("verified"),
    text("tls"),
    text("problem"),
    Column("code", BigInteger, nullable=False),
    timestamp("first_at"),
    timestamp("last_at"),
    timestamp("slot", server_default="0"),
    counter(),
    Column("changes", BigInteger, nullable=False, server_default="0"),
    Column("latest", Boolean, nullable=False, server_default=true()),
    Column("took", BigInteger, nullable=False, server_default="0"),
    Index(None, "host", "port", "vantage", "last_at"),
    Index(None, "host", "last_at"),
    Index(None, "last_at"),
    Index(None, "served"),
    Index(None, "verified"),
    Index(
        "ix_sightings_one_goes_on",
        *("host", "port", "vantage", "way", "edge"),
        unique=True,
        sqlite_where=LATEST,
        postgresql_where=LATEST,
    ),
)

# The locations that probe. `asked_at` is when the service last checked whether the location is due,
# `since` when that began, without a pause; `heard_at` when the last answer arrived.
VANTAGES = Table(
    "vantages",
    METADATA,
    text("name", primary_key=True),
    timestamp("since"),
    timestamp("asked_at"),
    timestamp("heard_at", nullable=True),
)

# The targets that a location has to probe and has no result of: a host, port and way. `since` is
# when the service first planned that. The row is deleted with the first result.
AWAITED = Table(
    "awaited",
    METADATA,
    text("host", primary_key=True),
    Column("port", BigInteger, primary_key=True, autoincrement=False),
    text("way", primary_key=True),
    text("vantage", primary_key=True),
    timestamp("since"),
)

# Certificates in a log (Certificate Transparency, RFC 6962) for a monitored host. A certificate and
# its precertificate have the same `tbs`, and are one row. `kind` is certificate, or malformed if it
# can't be parsed; `key` is the SHA-256 of its SPKI, `authorities` the concatenated ones of the
# certificates above it. `names` are its DNS names, separated by spaces.
LOGGED = Table(
    "logged",
    METADATA,
    digest("tbs", primary_key=True),
    text("kind"),
    digest("key"),
    digest("authorities"),
    text("names"),
    text("issuer"),
    text("log"),
    text("summary"),
    timestamp("not_after"),
    timestamp("first_at", index=True),
    timestamp("last_at"),
)


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
    """Create the two permanent partitions of PostgreSQL's table of report identities.

    A report identity is a digest that recognises a repeated report. One partition is for identities
    without a day, the other for days that have no partition.
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
# the monitored host or pattern that the report is about.
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
# second), widened to those of whole providers (IPv4 /16, IPv6 /32). `share` is the monitored host
# or pattern, `met` the digest of the chain. They distinguish many clients from one that reports
# often.
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
