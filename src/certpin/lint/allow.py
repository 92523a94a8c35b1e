"""Findings that somebody allowed: ``# certpin: allow RULE because REASON``.

The comment stands on the line of the finding, or on the lines above it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from certpin.pinfile.places import Comment

_OURS = re.compile(r"certpin:\s*+(.*)", re.DOTALL)
_BECAUSE = re.compile(r"\bbecause\b")


@dataclass(frozen=True)
class Allowance:
    """Rules that are allowed on a line. ``comment`` is the line on which that is written."""

    comment: int
    line: int
    rules: tuple[str, ...]
    reason: str


def allowances(comments: Mapping[int, Comment]) -> Iterator[Allowance]:
    """Every comment that is meant for certpin, also one that says nothing it knows."""
    below: dict[int, int] = {}  # by the line of a comment alone, the line under its block
    for number in sorted(comments, reverse=True):
        if comments[number].alone:
            below[number] = below.get(number + 1, number + 1)
        if ours := _OURS.fullmatch(comments[number].text):
            yield _allowance(ours[1], number, below.get(number, number))


def _allowance(words: str, comment: int, line: int) -> Allowance:
    before, *because = _BECAUSE.split(words, maxsplit=1)
    verb, *rules = before.replace(",", " ").split() or [""]
    reason = because[0].strip(" .:") if because else ""
    return Allowance(comment, line, tuple(rules) if verb == "allow" else (), reason)
