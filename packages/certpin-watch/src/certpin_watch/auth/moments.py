"""Seconds since 1970, as the pages take them."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(seconds: int) -> datetime:
    """The moment of a column."""
    return datetime.fromtimestamp(seconds, UTC)
