"""Mutation: a change of certpin's source that removes a rule, and the test that must then fail."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """One change of the source for mutation testing, and the test that must detect it.

    The change replaces ``old``, which occurs exactly once in ``file`` (a path below ``src``), by
    ``new``. ``rule`` names the rule that the change removes; ``test`` is a pytest node id.
    """

    rule: int | str
    file: str
    old: str
    new: str
    test: str
