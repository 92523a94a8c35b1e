"""A rule taken out: one change of the source, and the test that has to notice it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """``old`` is exactly once in ``file`` (below ``src``); ``test`` is a pytest node id."""

    rule: int | str
    file: str
    old: str
    new: str
    test: str
