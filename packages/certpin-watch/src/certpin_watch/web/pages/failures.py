"""What clients reported: over time by whatever tells them apart, and the chains that they met."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from certpin_watch.store.queries import failures, report_counts
from certpin_watch.store.queries.failures import breakdown_and_chains
from certpin_watch.web.pages import series, unknowns
from certpin_watch.web.pages.met import described

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection
    from starlette.responses import Response

    from certpin_watch.web.pages.asking import Asked

RANGES = {
    "24h": ("24 hours", timedelta(days=1)),
    "7d": ("7 days", timedelta(days=7)),
    "30d": ("30 days", timedelta(days=30)),
    "90d": ("90 days", timedelta(days=90)),
    "365d": ("year", timedelta(days=365)),
}
DIMENSIONS: dict[report_counts.By, str] = {
    "app_version": "App version",
    "platform": "Platform",
    "network": "Network",
    "version": "Pin-set version",
    "reason": "Reason",
    "host": "Host",
    "app": "App",
    "pin_set": "Pin set",
    "decision": "What was done",
}
_FILTERS = ("host", "app", "app_version", "platform", "network", "pin_set", "reason")
_BY_HOUR = timedelta(days=7)
_CHAINS_OF = timedelta(days=14)  # the longest time for which chains are counted


def overview(asked: Asked) -> Response:
    """The page."""
    by = next(each for each in DIMENSIONS if each == asked.choice("by", tuple(DIMENSIONS)))
    key = asked.choice("range", tuple(RANGES))
    words, length = RANGES[key]
    within = _range(asked.now, length)
    lately = _range(asked.now, min(length, _CHAINS_OF))
    only = only_of(asked)
    with asked.connection() as connection:
        found = _series(connection, within, by, only)
        split, met = breakdown_and_chains(connection, lately, tuple(DIMENSIONS), only, limit=12)
        known = described(connection, asked, met)
    return asked.page(
        "failures.html",
        by=by,
        key=key,
        words=words,
        chains_words="14 days" if length > _CHAINS_OF else words,
        ranges={name: each[0] for name, each in RANGES.items()},
        dimensions=DIMENSIONS,
        drawn=series.drawn("over-time", f"Failures by {DIMENSIONS[by].lower()}", found, asked.now),
        split={name: counts for name, counts in split.items() if name != by},
        chains=known,
        unknowns=list(unknowns.of_a_time(found)),
        filters={name: asked.text(name) for name in _FILTERS if asked.text(name)},
    )


def only_of(asked: Asked) -> report_counts.ReportFilter | None:
    """What the query asks for."""
    found = {name: asked.text(name) for name in _FILTERS if asked.text(name)}
    found = {name: "" if value == "-" else value for name, value in found.items()}
    return msgspec.convert(found, report_counts.ReportFilter) if found else None


def _range(now: datetime, length: timedelta) -> report_counts.Range:
    """A long one begins with a day: whole days are there as sums."""
    since = now - length
    if length > _BY_HOUR:
        since = since.replace(hour=0, minute=0, second=0, microsecond=0)
    return report_counts.Range(since, now)


def _series(
    connection: Connection,
    within: report_counts.Range,
    by: report_counts.By,
    only: report_counts.ReportFilter | None,
) -> failures.Series:
    bucket: report_counts.Bucket = "hour" if within.until - within.since <= _BY_HOUR else "day"
    return failures.series(connection, within, by=by, bucket=bucket, only=only, lines=6)
