"""What the collector of this process did, for the metrics: numbers that only rise."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Tally:
    """``answers`` are counted by status. The others are counts of reports.

    ``repeats`` were sent again and not counted again; ``folded`` went into a group that says less
    than they did; ``poisoned`` are messages of a stream that nobody can read.
    """

    answers: Counter[int] = field(default_factory=Counter)
    counted: int = 0
    repeats: int = 0
    folded: int = 0
    poisoned: int = 0
    failed_commits: int = 0


TALLY = Tally()
