"""Who may come in, and what they did. Of secrets there are digests alone."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Table

from certpin_watch.store.tables.base import METADATA, count, digest, moment, number, text

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
