"""Certificates and chains, the results of probes, and certificates in logs.

Certificates and chains are stored once. Reports and sightings refer to a chain by its digest.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, LargeBinary, Table, false, true
from sqlalchemy import text as sql

from certpin_watch.store.tables.columns import METADATA, counter, digest, row_id, text, timestamp

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
# watched host or pattern that the report was about.
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


def split_digests(members: bytes) -> list[bytes]:
    """Return the SHA-256 digests of the certificates of a chain, from ``CHAINS.c.members``."""
    return [members[i : i + 32] for i in range(0, len(members), 32)]


# The bytes that reported data uses (store/quota.py): a table with one row, so that a transaction
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
# unverified or unreachable. `slot` is the time for which the last probe was planned, so that an
# answer is counted once. `changes` is the number of rows directly before this one that ended before
# a second probe confirmed them. `took` is the duration of the last probe in microseconds, 0 if it
# wasn't measured.
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

# Certificates in a log (Certificate Transparency, RFC 6962) for a watched host. A certificate and
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
