"""Who does what only one process at a time may do."""

from __future__ import annotations

from sqlalchemy import Table

from certpin_watch.store.tables.base import METADATA, count, moment, text

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
