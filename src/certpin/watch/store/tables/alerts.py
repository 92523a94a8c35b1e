"""What is wrong, who was told, and what is kept quiet."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Table

from certpin.watch.store.tables.base import METADATA, count, moment, number, text

# One trouble from when it was first seen to when it was gone. `key` is its rule and what it is
# about; `details` is JSON. `clients` is how many it touches, NULL where nobody knows.
ALERTS = Table(
    "alerts",
    METADATA,
    number(),
    text("key"),
    text("rule"),
    text("severity"),
    text("host"),
    text("pin_set"),
    text("summary"),
    text("command"),
    text("details"),
    Column("clients", BigInteger, nullable=True),
    moment("opened_at"),
    moment("last_at"),
    moment("resolved_at", nullable=True),
    moment("told_at", nullable=True),
    count("repeats"),
    Index(None, "key", "resolved_at"),
    Index(None, "resolved_at"),
    Index(None, "host", "resolved_at"),
)

# What became of an alert, in order: opened, repeated, resolved, silenced, told, untold.
ALERT_EVENTS = Table(
    "alert_events",
    METADATA,
    number(),
    Column("alert", BigInteger, nullable=False, index=True),
    moment("at"),
    text("what"),
    text("who"),
    text("note"),
)

# Nobody is told of what matches until `until`; `rule` and `host` are empty for all.
SILENCES = Table(
    "silences",
    METADATA,
    number(),
    text("rule"),
    text("host"),
    moment("since"),
    moment("until"),
    text("who"),
    text("why"),
    moment("ended_at", nullable=True),
)
