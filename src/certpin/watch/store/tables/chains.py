"""Certificates and chains, each once: reports and sightings name them by their digest."""

from __future__ import annotations

from sqlalchemy import Column, LargeBinary, Table

from certpin.watch.store.tables.base import METADATA, digest, moment

CERTIFICATES = Table(
    "certificates",
    METADATA,
    digest("sha256", primary_key=True),
    Column("der", LargeBinary, nullable=False),
)

# A chain's digest is the SHA-256 of its certificates' digests, one behind the other, leaf first;
# `members` is what was hashed.
CHAINS = Table(
    "chains",
    METADATA,
    digest("digest", primary_key=True),
    Column("members", LargeBinary, nullable=False),
    moment("first_at", index=True),
)
