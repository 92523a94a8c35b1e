"""TODO: one docstring."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Table

from certpin_watch.store.tables.columns import METADATA, count, digest, moment, number, text

# People with a password. `password` is Argon2's own text, with its parameters.
ACCOUNTS = Table(
    "accounts",
    METADATA,
    number(),
    text("name", unique=True),
    text("role"),
    text("password"),
    moment("made_at"),
    moment("password_at"),
    moment("login_at", nullable=True),
)

# Credentials of programs. `id` is the part of a token that is no secret, `secret` is Argon2's text
# of the other part, `scopes` are words with spaces between them. `until` is NULL for no end.
TOKENS = Table(
    "tokens",
    METADATA,
    text("id", primary_key=True),
    text("name"),
    text("secret"),
    text("scopes"),
    text("made_by"),
    moment("made_at"),
    moment("until", nullable=True),
    moment("used_at", nullable=True),
    moment("revoked_at", nullable=True),
)

# Who is signed in. `id` is the SHA-256 of what the cookie holds. `account` is NULL for people of an
# OpenID provider: then `subject` is who it says they are, `name` and `role` what it said of them.
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
    moment("made_at"),
    moment("seen_at"),
    moment("until"),
    Index(None, "account"),
    Index(None, "until"),
    info={"transient": True},  # a back-up must not bring back a session that was ended
)

# Who guesses passwords, for a quarter of an hour: digests of sources and of names.
GUESSES = Table(
    "guesses",
    METADATA,
    digest("who", primary_key=True),
    count(),
    moment("last_at"),
    Index(None, "last_at"),
    info={"transient": True},
)

# What was done, and by whom. Rows are added, and never changed. `source` is a prefix.
AUDIT = Table(
    "audit",
    METADATA,
    number(),
    moment("at"),
    text("who"),
    text("what"),
    text("subject"),
    text("source"),
    text("outcome"),
    Index(None, "at"),
)


# The leases of workers begin with this, and end with the identity of a target and its location.
# They are many, and short: the pages and the API leave them out.
PROBES = "probe:"

# `term` rises with each change of holder, so that a holder which slept is told from one that went
# on. `info`: docs/watch-operations.md names the transient tables, which a back-up leaves out.
LEASES = Table(
    "leases",
    METADATA,
    text("name", primary_key=True),
    text("holder"),
    moment("until"),
    count("term"),
    info={"transient": True},
)


# One row. `at` is the last moment that was believed; `leapt_at` is where the clock stood when it
# was found to be far beyond that, NULL where it was not. Back-ups are of another time.
CLOCK = Table(
    "clock",
    METADATA,
    text("name", primary_key=True),
    moment("at"),
    moment("leapt_at", nullable=True),
    info={"transient": True},
)


# `tried_at` is the end of the last attempt of any process, `done_at` of the last one that deleted
# everything that was past its time; NULL if none did. `reason` is a word of `store/failures.py`,
# empty if the last attempt succeeded.
SWEEPS = Table(
    "sweeps",
    METADATA,
    text("kind", primary_key=True),
    moment("tried_at"),
    moment("done_at", nullable=True),
    text("reason"),
)
