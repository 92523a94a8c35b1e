"""What probes saw: a row for each time that something changed."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Table, true
from sqlalchemy import text as sql

from certpin_watch.store.tables.base import METADATA, count, digest, moment, number, text

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
