"""Certificates that stand in a log (Certificate Transparency, RFC 6962) for a watched host."""

from __future__ import annotations

from sqlalchemy import Table

from certpin_watch.store.tables.base import METADATA, digest, moment, text

# A certificate and its precertificate have one `tbs`: they are one row. `kind` is certificate, or
# malformed for what nobody could read; `key` is the SHA-256 of its SPKI, `authorities` are those of
# the certificates above it, one behind the other. `names` are its DNS names, with spaces between.
LOGGED = Table(
    "logged",
    METADATA,
    digest("tbs", primary_key=True),
    text("kind"),
    digest("key"),
    digest("authorities"),
    text("names"),
    text("issuer"),
    text("log"),
    text("summary"),
    moment("not_after"),
    moment("first_at", index=True),
    moment("last_at"),
)
