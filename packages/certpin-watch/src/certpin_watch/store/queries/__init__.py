"""Read the store for pages, API, alerts and metrics, which share these functions.

Each function takes a connection and returns small, frozen values. Long lists are returned in pages;
the field ``next`` of a page is the key with which to request the following page. Times have a time
zone, digests are hexadecimal. Texts from reports and servers are returned as they arrived, so the
caller must escape them.

- ``hosts``: the monitored hosts: policies, latest probe results, status
- ``sightings``: probe results: the latest ones, the history, the changes
- ``chains``: stored chains as text; the expected path of a host
- ``failures``: reports in total, by chain, over time, by field
- ``reports``: single reports: groups and samples; counts for the alert rules
- ``report_counts``: filters, time ranges and counts of reports
- ``adoption``: the pin-set versions that clients hold
- ``alerts``: alerts, their events, silences
- ``freshness``: how current the data is: locations, workers, leases, last reports
- ``capacity``: limits and their use, report queue, retention, repeat window

The functions in this file convert times and digests, and divide lists into pages.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from certpin_watch.store.identities import DAY

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_ITEMS = 500  # of one page of any list

Item = TypeVar("Item")


class Page(msgspec.Struct, Generic[Item], frozen=True):
    """One page of a list: some items, and the key of the following page.

    To read the following page, pass ``next`` as ``before`` or ``after`` to the function that
    returned this page. It is null on the last page.
    """

    items: tuple[Item, ...]
    next: tuple[int | str, ...] | None = None


def make_page(
    found: Sequence[Item], limit: int, keys: Sequence[tuple[int | str, ...]]
) -> Page[Item]:
    """Return a page with the first ``limit`` of the items.

    Args:
        found: the items of this page, and one more if another page follows. So read at most ``limit
            + 1`` items from the database.
        limit: the size of the page.
        keys: the sort key of each item. If another page follows, the key of the last item on this
            page becomes ``next``.
    """
    more = len(found) > limit
    return Page(tuple(found[:limit]), keys[limit - 1] if more else None)


def clamp_limit(limit: int) -> int:
    """Return the size of a page: ``limit``, raised to 1 or lowered to ``MAX_ITEMS`` if needed."""
    return max(1, min(limit, MAX_ITEMS))


def to_datetime(seconds: int) -> datetime:
    """Convert a time of the store (seconds since 1970) to a ``datetime`` in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def to_datetime_or_none(seconds: int | None) -> datetime | None:
    """Convert a time of the store (Unix seconds) to a ``datetime`` in UTC; None stays None."""
    return None if seconds is None else to_datetime(seconds)


def to_seconds(at: datetime) -> int:
    """Convert a ``datetime`` to a time of the store, in seconds since 1970."""
    return int(at.timestamp())


def hexadecimal(digest: bytes) -> str:
    """Return a digest in hexadecimal. An empty digest (no chain) gives an empty text."""
    return bytes(digest).hex()


def days_between(since: datetime, until: datetime) -> float:
    """Return the days from ``since`` to ``until``, rounded to a hundredth."""
    return round((until - since).total_seconds() / DAY, 2)
