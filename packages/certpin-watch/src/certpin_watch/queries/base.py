"""What the facts share: moments, digests, and lists that end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

HOUR = 3600
DAY = 24 * HOUR
MOST = 500  # entries of any list that is asked for

Item = TypeVar("Item")


class Page(msgspec.Struct, Generic[Item], frozen=True):
    """Some entries of a list. ``next`` is where the following ones begin; none where it ends."""

    items: tuple[Item, ...]
    next: tuple[int | str, ...] | None = None


def page_of(found: Sequence[Item], limit: int, keys: Sequence[tuple[int | str, ...]]) -> Page[Item]:
    """The first ``limit`` of what was found; one more than that was asked for, to know of it."""
    more = len(found) > limit
    return Page(tuple(found[:limit]), keys[limit - 1] if more else None)


def bounded(limit: int) -> int:
    """A limit that is one."""
    return max(1, min(limit, MOST))


def moment(seconds: int) -> datetime:
    """A moment of the store."""
    return datetime.fromtimestamp(seconds, UTC)


def moment_or_none(seconds: int | None) -> datetime | None:
    """A moment of the store, where there is one."""
    return None if seconds is None else moment(seconds)


def seconds(at: datetime) -> int:
    """A moment as the store has it."""
    return int(at.timestamp())


def hexadecimal(digest: bytes) -> str:
    """A digest as text; empty where there is nothing that it could be of."""
    return bytes(digest).hex()


def whole_days(since: datetime, until: datetime) -> float:
    """Days between two moments, to the hour."""
    return round((until - since).total_seconds() / DAY, 2)
