"""Tables of the service itself: alerts and silences, accounts, tokens and sessions, the audit log.

Secrets are stored only as digests.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Table

from certpin_watch.store.tables.columns import METADATA, counter, digest, row_id, text, timestamp

# Accounts with a password. `password` is Argon2's encoded hash, with its parameters.
ACCOUNTS = Table(
    "accounts",
    METADATA,
    row_id(),
    text("name", unique=True),
    text("role"),
    text("password"),
    timestamp("made_at"),
    timestamp("password_at"),
    timestamp("login_at", nullable=True),
)

# Credentials of programs. `id` is the public part of a token, `secret` Argon2's encoded hash of the
# other part, `scopes` are separated by spaces. `until` is NULL if the token doesn't expire.
TOKENS = Table(
    "tokens",
    METADATA,
    text("id", primary_key=True),
    text("name"),
    text("secret"),
    text("scopes"),
    text("made_by"),
    timestamp("made_at"),
    timestamp("until", nullable=True),
    timestamp("used_at", nullable=True),
    timestamp("revoked_at", nullable=True),
)

# Logins in browsers. `id` is the SHA-256 of the cookie's value. `account` is NULL for a login
# through an OpenID provider: then `subject`, `name` and `role` are as the provider stated them.
SESSIONS = Table(
    "sessions",
    METADATA,
    digest("id", primary_key=True),
    Column("account", BigInteger, nullable=True),
    text("subject"),
    text("name"),
    text("role"),
    text("source"),
    text("agent"),
    timestamp("made_at"),
    timestamp("seen_at"),
    timestamp("until"),
    Index(None, "account"),
    Index(None, "until"),
    info={"transient": True},  # a restored back-up must not revive a session that was ended
)

# Failed logins of the last quarter of an hour. `who` is the digest of a source or of a name.
GUESSES = Table(
    "guesses",
    METADATA,
    digest("who", primary_key=True),
    counter(),
    timestamp("last_at"),
    Index(None, "last_at"),
    info={"transient": True},
)

# The audit log. Rows are added and never changed. `source` is a network (a prefix).
AUDIT = Table(
    "audit",
    METADATA,
    row_id(),
    timestamp("at"),
    text("who"),
    text("what"),
    text("subject"),
    text("source"),
    text("outcome"),
    Index(None, "at"),
)

# The prefix of workers' leases: a target's identity and its location follow. They are many and
# short, so the pages and the API leave them out.
PROBES = "probe:"

# The prefix of the rows that record the files of each instance (store/instances.py): the identity
# of its process follows. `holder` is JSON. The pages and the API leave them out, too.
INSTANCES = "instance:"

# Leases of work that only one process may do at a time. `term` rises with each change of holder, so
# that a holder that was suspended meanwhile is recognised. `info`: docs/operate/operations.md lists
# the transient tables, which a back-up leaves out.
LEASES = Table(
    "leases",
    METADATA,
    text("name", primary_key=True),
    text("holder"),
    timestamp("until"),
    counter("term"),
    info={"transient": True},
)

# The time up to which the clock is trusted, in one row (store/retention.py). `at` is the last
# trusted time; `leapt_at` the time to which the clock jumped, NULL if it didn't. A back-up leaves
# it out, because it is restored at another time.
CLOCK = Table(
    "clock",
    METADATA,
    text("name", primary_key=True),
    timestamp("at"),
    timestamp("leapt_at", nullable=True),
    info={"transient": True},
)

# The last result of retention for each kind of row. `tried_at` is the end of the last attempt of
# any process, `done_at` of the last one that deleted everything that was expired; NULL if there was
# none. `reason` is a key of REASONS in store/engine.py, empty if the last attempt succeeded.
SWEEPS = Table(
    "sweeps",
    METADATA,
    text("kind", primary_key=True),
    timestamp("tried_at"),
    timestamp("done_at", nullable=True),
    text("reason"),
)


# A problem, from its first detection until it is resolved. `key` is the rule and the subject;
# `details` is JSON. `clients` is the number of affected clients, NULL if it isn't known. `gone_at`
# is when the problem was no longer detected; the alert resolves if it doesn't return for a while.
# `told_at` is when a notification was last due, `peak` the severity at that time, `told_clients`
# the number of affected clients; `highest` is the highest severity of all notifications. `quiet` is
# empty, `silenced` or `maintenance`. `flaps` is the number of times that the problem returned soon
# after it was gone. `acknowledged_at` and `acknowledged_by` are when, and by which person, it was
# acknowledged; NULL and empty until then.
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
    text("highest", server_default="info"),
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
