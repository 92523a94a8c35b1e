"""What probes saw: a row for each time that something changed."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Table, true

from certpin.watch.store.tables.base import METADATA, count, digest, moment, number, text

# From `first_at` to `last_at`, in `count` probes, a vantage saw the same. `latest` marks the row of
# each host, port and vantage that goes on. `served` and `verified` are digests of chains, empty
# where there was none; `problem` is then why, and `code` OpenSSL's number for it. `outcome` is
# verified, unverified or unreachable.
SIGHTINGS = Table(
    "sightings",
    METADATA,
    number(),
    text("host"),
    Column("port", BigInteger, nullable=False),
    text("vantage"),
    text("address"),
    text("outcome"),
    digest("served"),
    digest("verified"),
    text("tls"),
    text("problem"),
    Column("code", BigInteger, nullable=False),
    moment("first_at"),
    moment("last_at"),
    count(),
    Column("latest", Boolean, nullable=False, server_default=true()),
    Index(None, "host", "port", "vantage", "last_at"),
    Index(None, "host", "last_at"),
    Index(None, "last_at"),
)
