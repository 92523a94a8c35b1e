"""Accounts, tokens and sessions, the audit log, and the service's own records.

Of secrets, only digests are stored.
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

# Leases of work that only one process may do at a time. `term` rises with each change of holder, so
# that a holder that was suspended meanwhile is recognised. `info`: docs/watch-operations.md lists
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

# The time up to which the clock is trusted, in one row (store/clock_guard.py). `at` is the last
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
# none. `reason` is a key of REASONS in store/failures.py, empty if the last attempt succeeded.
SWEEPS = Table(
    "sweeps",
    METADATA,
    text("kind", primary_key=True),
    timestamp("tried_at"),
    timestamp("done_at", nullable=True),
    text("reason"),
)
