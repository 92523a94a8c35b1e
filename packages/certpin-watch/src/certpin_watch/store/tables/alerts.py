"""Alerts, their events and notifications, and silences."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Table

from certpin_watch.store.tables.columns import METADATA, counter, row_id, text, timestamp

# A problem, from its first detection until it is resolved. `key` is the rule and the subject;
# `details` is JSON. `clients` is the number of affected clients, NULL if it isn't known. `gone_at`
# is when the problem was no longer detected; the alert resolves if it doesn't return for a while.
# `told_at` is when a notification was last due, `peak` the severity at that time, `told_clients`
# the number of affected clients. `quiet` is empty, `silenced` or `maintenance`. `flaps` is the
# number of times that the problem returned soon after it was gone. `acknowledged_at` and
# `acknowledged_by` are when, and by which person, it was acknowledged; NULL and empty until then.
ALERTS = Table(
    "alerts",
    METADATA,
    row_id(),
    text("key"),
    text("rule"),
    text("severity"),
    text("host"),
    text("pin_set"),
    text("summary"),
    text("command"),
    text("details"),
    Column("clients", BigInteger, nullable=True),
    timestamp("opened_at"),
    timestamp("last_at"),
    timestamp("resolved_at", nullable=True),
    timestamp("told_at", nullable=True),
    counter("repeats"),
    timestamp("gone_at", nullable=True),
    text("peak", server_default=""),
    text("quiet", server_default=""),
    Column("told_clients", BigInteger, nullable=True),
    Column("flaps", BigInteger, nullable=False, server_default="0"),
    timestamp("acknowledged_at", nullable=True),
    text("acknowledged_by", server_default=""),
    Index(None, "key", "resolved_at"),
    Index(None, "resolved_at"),
    Index(None, "host", "resolved_at"),
)

# The history of an alert: opened, repeated, escalated, resumed, resolved, silenced, maintenance,
# acknowledged, unacknowledged; and told or untold, with the notification service in `who`.
ALERT_EVENTS = Table(
    "alert_events",
    METADATA,
    row_id(),
    Column("alert", BigInteger, nullable=False, index=True),
    timestamp("at"),
    text("what"),
    text("who"),
    text("note"),
)

# Matching alerts are not sent until `until`. `rule` and `host` are empty for all.
SILENCES = Table(
    "silences",
    METADATA,
    row_id(),
    text("rule"),
    text("host"),
    timestamp("since"),
    timestamp("until"),
    text("who"),
    text("why"),
    timestamp("ended_at", nullable=True),
)

# Notifications, due or sent: a row for each event and notification service. `service` is its name
# in the settings, `incident` the key that a service with incidents got. Nothing is sent before
# `next_at`. A row is finished when `told_at` or `given_up_at` is set.
TELLINGS = Table(
    "tellings",
    METADATA,
    row_id(),
    Column("event", BigInteger, nullable=False),
    Column("alert", BigInteger, nullable=False, index=True),
    text("service"),
    text("what"),
    text("incident"),
    timestamp("at"),
    timestamp("next_at"),
    counter("attempts"),
    timestamp("told_at", nullable=True),
    timestamp("given_up_at", nullable=True),
    text("problem"),
    Index(None, "told_at", "given_up_at", "service"),
)
