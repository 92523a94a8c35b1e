"""A mutation: one change of the source that removes a rule, and the test that must fail then."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """``old`` occurs exactly once in ``file`` (below ``src``); ``test`` is a pytest node id."""

    rule: int | str
    file: str
    old: str
    new: str
    test: str
