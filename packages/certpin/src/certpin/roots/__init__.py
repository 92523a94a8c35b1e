"""Facts about public roots, with dates: their history in root stores, and announced changes.

The data is part of each release of certpin, and nothing is downloaded. ``history.json`` is
generated (``make roots``); ``announcements.toml`` is written by hand, with a source for each entry.
"""

from __future__ import annotations

from certpin.roots.facts import RootData, RootFact, load_data
from certpin.roots.records import Announcement, PublicRoot, ScheduledRemoval

__all__ = [
    "Announcement",
    "PublicRoot",
    "RootData",
    "RootFact",
    "ScheduledRemoval",
    "load_data",
]
