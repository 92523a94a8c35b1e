"""Certificates and chains, each once: reports and sightings name them by their digest."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, LargeBinary, Table, false

from certpin_watch.store.tables.base import METADATA, digest, moment, text

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

# What reports made the store keep, in bytes, as `store/budget.py` counts them: a row by itself, so
# that whoever adds to it has it for himself. Reckoned anew where it is missing.
BUDGETS = Table(
    "budgets",
    METADATA,
    text("name", primary_key=True),
    Column("used", BigInteger, nullable=False),
    info={"transient": True},
)
