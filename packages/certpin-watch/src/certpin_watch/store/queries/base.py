"""TODO: one docstring."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from certpin_watch.collector.settings import Settings as Collector
from certpin_watch.retention import Settings as Retention

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin_watch.settings import ServiceSettings


HOUR = 3600
DAY = 24 * HOUR
MAX_ITEMS = 500  # entries of any list that is asked for

Item = TypeVar("Item")


class Page(msgspec.Struct, Generic[Item], frozen=True):
    """Some entries of a list. ``next`` is where the following ones begin; none where it ends."""

    items: tuple[Item, ...]
    next: tuple[int | str, ...] | None = None


def make_page(
    found: Sequence[Item], limit: int, keys: Sequence[tuple[int | str, ...]]
) -> Page[Item]:
    """The first ``limit`` of what was found; one more than that was asked for, to know of it."""
    more = len(found) > limit
    return Page(tuple(found[:limit]), keys[limit - 1] if more else None)


def clamp_limit(limit: int) -> int:
    """A limit that is one."""
    return max(1, min(limit, MAX_ITEMS))


def to_datetime(seconds: int) -> datetime:
    """A moment of the store."""
    return datetime.fromtimestamp(seconds, UTC)


def to_datetime_or_none(seconds: int | None) -> datetime | None:
    """A moment of the store, where there is one."""
    return None if seconds is None else to_datetime(seconds)


def to_seconds(at: datetime) -> int:
    """A moment as the store has it."""
    return int(at.timestamp())


def hexadecimal(digest: bytes) -> str:
    """A digest as text; empty where there is nothing that it could be of."""
    return bytes(digest).hex()


def days_between(since: datetime, until: datetime) -> float:
    """Days between two moments, to the hour."""
    return round((until - since).total_seconds() / DAY, 2)


@dataclass(frozen=True)
class Thresholds:
    """How long before their ends certificates and pins are told, and how long a probe is news.

    Certificates at most so long: see ``watch/expiry.py``.
    ``collector`` has the bounds of what reports make the watch keep, and ``identities`` is for how
    many days repeats are recognised (``[retention]``).
    """

    certificates: timedelta = timedelta(days=30)
    pins: timedelta = timedelta(days=60)
    stale: timedelta = timedelta(hours=1)
    collector: Collector = field(default_factory=Collector)
    identities: int = Retention.identities

    @staticmethod
    def of(settings: ServiceSettings) -> Thresholds:
        """As monitor and collector have them."""
        monitor = settings.monitor
        return Thresholds(
            monitor.certificate_warning,
            monitor.pins_warning,
            monitor.interval * monitor.silent_after,
            settings.collector,
            settings.retention.identities,
        )


DEFAULT_THRESHOLDS = Thresholds()
