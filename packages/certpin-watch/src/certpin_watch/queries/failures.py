"""What clients reported: claims, counted. Over time, in groups, and by the chain that they met.

What there is to ask stands in files by subject; this is where all of it is asked from.
"""

from __future__ import annotations

from certpin_watch.queries.listing import Group, groups
from certpin_watch.queries.met import ChainCount, Total, top_chains, total, with_verdicts
from certpin_watch.queries.reported import Bucket, By, Only, Range
from certpin_watch.queries.series import MOST_LINES, MOST_POINTS, Line, Series, series

__all__ = [
    "MOST_LINES",
    "MOST_POINTS",
    "Bucket",
    "By",
    "ChainCount",
    "Group",
    "Line",
    "Only",
    "Range",
    "Series",
    "Total",
    "groups",
    "series",
    "top_chains",
    "total",
    "with_verdicts",
]
