"""TODO: one docstring."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, LargeBinary, Table, false, true
from sqlalchemy import text as sql

from certpin_watch.store.tables.columns import METADATA, count, digest, moment, number, text

# `told`: nobody but clients has met it, so that it counts for the budget of what reports bring.
CERTIFICATES = Table(
    "certificates",
    METADATA,
    digest("sha256", primary_key=True),
    Column("der", LargeBinary, nullable=False),
    Column("told", Boolean, nullable=False, server_default=false()),
)

# A chain's digest is the SHA-256 of its certificates' digests, one behind the other, leaf first;
# `members` is what was hashed. `told` is how many bytes came with it where nobody but clients has
# met it, and 0 where the watch itself has; `source` is the network that told it first, and `share`
# the host or pattern that it was told of.
CHAINS = Table(
    "chains",
    METADATA,
    digest("digest", primary_key=True),
    Column("members", LargeBinary, nullable=False),
    moment("first_at", index=True),
    Column("told", BigInteger, nullable=False, server_default="0"),
    text("source", server_default=""),
    text("share", server_default=""),
)


def split_digests(members: bytes) -> list[bytes]:
    """Return the SHA-256 digests of the certificates of a chain, from ``CHAINS.c.members``."""
    return [members[i : i + 32] for i in range(0, len(members), 32)]


# What reports made the store keep, in bytes, as `store/budget.py` counts them: a row by itself, so
# that whoever adds to it has it for himself. Reckoned anew where it is missing.
BUDGETS = Table(
    "budgets",
    METADATA,
    text("name", primary_key=True),
    Column("used", BigInteger, nullable=False),
    info={"transient": True},
)


# The rows that go on, in the very words of their index: SQLite uses it for no others.
LATEST = sql("latest")

# From `first_at` to `last_at`, in `count` probes, a vantage saw the same. `latest` marks the row
# of each host, port, vantage, way and edge that goes on. `way` tells apart the ways to one host and
# port (another address, STARTTLS, anchors of its own), and is empty for the plain one; `edge` is
# the address where each one of the name is asked, else empty. `address` is the one that answered
# last. `served` and `verified` are digests of chains, empty where there was none; `problem` is then
# why, and `code` OpenSSL's number for it. `outcome` is verified, unverified or unreachable. `slot`
# is the moment for which the last probe was planned: an answer is counted once. `changes` is how
# many rows right before it ended before anybody could see them twice. `took` is how many
# microseconds the last probe did, 0 where nobody measured it.
SIGHTINGS = Table(
    "sightings",
    METADATA,
    number(),
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
    moment("first_at"),
    moment("last_at"),
    moment("slot", server_default="0"),
    count(),
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

# Each vantage that is asked. `asked_at` is when somebody last looked whether it has to be asked,
# `since` when that began, the last time that it did; `heard_at` when an answer came.
VANTAGES = Table(
    "vantages",
    METADATA,
    text("name", primary_key=True),
    moment("since"),
    moment("asked_at"),
    moment("heard_at", nullable=True),
)


# A certificate and its precertificate have one `tbs`: they are one row. `kind` is certificate, or
# malformed for what nobody could read; `key` is the SHA-256 of its SPKI, `authorities` are those of
# the certificates above it, one behind the other. `names` are its DNS names, with spaces between.
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
    moment("not_after"),
    moment("first_at", index=True),
    moment("last_at"),
)
