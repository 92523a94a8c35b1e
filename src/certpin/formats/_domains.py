"""Platforms that have one entry for a name, and a flag for the names below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.errors import FormatError
from certpin.formats.table import read_timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from certpin.formats.format import Found


def pattern(name: str, *, below: bool) -> str:
    """The pattern of an entry. Raises ``FormatError`` on a name that no host has there."""
    if not name:
        raise FormatError("a host has no name")
    if "*" in name:
        raise FormatError(
            f"the platform takes {name[:80]!r} for a name, and no host has it",
            fix="name the domain without a star, and set the flag for the names below it",
        )
    return f"**.{name}" if below else name


def refuse_exclusions(found: Iterable[Found], unpinned: Iterable[str]) -> None:
    """Refuse a host that is taken out of the pins of a name above it. Raises ``FormatError``."""
    above = {each.pattern.removeprefix("**.").lower() for each in found if "*" in each.pattern}
    for name in unpinned:
        parent = name.lower().partition(".")[2]
        while parent:
            if parent in above:
                raise FormatError(
                    f"{name[:80]!r} is taken out of the pins of **.{parent}: certpin cannot say so",
                    fix="give it pins of its own, or name the pinned hosts one by one",
                )
            parent = parent.partition(".")[2]


def read_day(text: str) -> datetime:
    """The date on which a platform stops pinning: ``2027-06-01``. Raises ``FormatError``."""
    if len(text) != len("2027-06-01"):
        raise FormatError(f"{text[:40]!r} is not a date", fix="write it as 2027-06-01")
    return read_timestamp(text)
