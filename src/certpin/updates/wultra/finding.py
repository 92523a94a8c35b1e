"""What is wrong with a list, and what to do about it."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """One thing. ``rule`` is a stable word for programs; ``problem`` a sentence without its stop.

    What a list says may stand in it: it is hostile, and escaped by whoever prints it.
    """

    rule: str
    problem: str
    fix: str
