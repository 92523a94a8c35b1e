"""Reports added up by day, beside their groups, so that a year of them is looked through at once.

Each sum is written in the transaction that counts its reports in their groups
(``watch/collector/sums.py``): the groups of a day and its sums never say two things.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Table, UniqueConstraint

from certpin_watch.store.tables.base import METADATA, count, digest, moment, number, text, traits

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
