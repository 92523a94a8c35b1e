"""What is wrong, who was told, and what is kept quiet."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Table

from certpin_watch.store.tables.columns import METADATA, count, moment, number, text

# One trouble from when it was first seen to when it was gone. `key` is its rule and what it is
# about; `details` is JSON. `clients` is how many it touches, NULL where nobody knows. `gone_at` is
# since when it is not seen, while it is waited whether it stays away. `told_at` is when anybody was
# last to be told, `peak` the severity then, `told_clients` how many it touched. `quiet` is empty,
# `silenced` or `maintenance`. `flaps` is how often it has come back soon after it was gone.
# `acknowledged_at` is when a person took it on, `acknowledged_by` who; NULL and empty until then.
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
    moment("gone_at", nullable=True),
    text("peak", server_default=""),
    text("quiet", server_default=""),
    Column("told_clients", BigInteger, nullable=True),
    Column("flaps", BigInteger, nullable=False, server_default="0"),
    moment("acknowledged_at", nullable=True),
    text("acknowledged_by", server_default=""),
    Index(None, "key", "resolved_at"),
    Index(None, "resolved_at"),
    Index(None, "host", "resolved_at"),
)

# What became of an alert, in order: opened, repeated, escalated, resumed, resolved, silenced,
# maintenance, acknowledged, unacknowledged; and told or untold, with the service in `who`.
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

# Who has yet to be told what, and who was: a row for each event and service. `service` is its name
# in the settings, `incident` the key under which a service that keeps incidents was told. Nothing
# is tried before `next_at`. A row is done when `told_at` or `given_up_at` stands in it.
TELLINGS = Table(
    "tellings",
    METADATA,
    number(),
    Column("event", BigInteger, nullable=False),
    Column("alert", BigInteger, nullable=False, index=True),
    text("service"),
    text("what"),
    text("incident"),
    moment("at"),
    moment("next_at"),
    count("attempts"),
    moment("told_at", nullable=True),
    moment("given_up_at", nullable=True),
    text("problem"),
    Index(None, "told_at", "given_up_at", "service"),
)
