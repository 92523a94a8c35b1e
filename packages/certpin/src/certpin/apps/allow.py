"""Comments in an app's source that allow a mistake, with a reason.

    // certpin: allow RULE because REASON

The comment allows the mistakes of ``RULE`` on its own line and, if the line has only the comment,
on the first line below that doesn't begin with a comment. Comments begin with ``//``, ``#`` or
``<!--``. Without a reason the comment has no effect, and the message of the mistake says so.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from certpin.support.sarif import parse_allowance

if TYPE_CHECKING:
    from certpin.apps.model import Mistake, SourceFile

_MARK = r"(?://|#|<!--)"
_COMMENT = re.compile(rf"\s*+{_MARK}")
_OURS = re.compile(rf"{_MARK}\s*+certpin:")
_NO_REASON = " (the comment that allows it has no reason, so it has no effect: write because …)"


def with_allowances(file: SourceFile, mistakes: list[Mistake]) -> list[Mistake]:
    """Return all mistakes of a file; those that a comment in the file allows are marked.

    A marked mistake has the comment's reason in its field ``allowed``. If the comment has no
    reason, the mistake isn't marked, and its message says that the reason is missing.
    """
    if not mistakes or "certpin:" not in file.text:
        return mistakes
    lines = file.lines()
    # A hostile file may have all of its mistakes on one long line.
    nearby = {line: _nearby(lines, line) for line in {each.place.line for each in mistakes}}
    allowances = {line: _allowances(texts) for line, texts in nearby.items()}
    found = []
    for each in mistakes:
        reason = allowances[each.place.line].get(each.rule)
        if reason == "":
            found.append(replace(each, message=each.message + _NO_REASON))
        else:
            found.append(replace(each, allowed=reason or ""))
    return found


def _nearby(lines: list[str], line: int) -> list[str]:
    """Return a line of a file, and the comment lines directly above it, the nearest first.

    An ``allow`` comment for the line can be in any of them.

    Args:
        lines: the lines of the file.
        line: the number of the line, from 1.
    """
    at = line - 1
    if not 0 <= at < len(lines):
        return []
    nearby = [lines[at]]
    while at > 0 and _COMMENT.match(lines[at - 1]):
        at -= 1
        nearby.append(lines[at])
    return nearby


def _allowances(nearby: list[str]) -> dict[str, str]:
    """Return the reasons in ``certpin: allow`` comments, by the ID of the allowed rule.

    The reason is empty if the comment has none. ``nearby`` are lines of a file.
    """
    allowed: dict[str, str] = {}
    for line in nearby:
        for words in _OURS.split(line)[1:]:
            rules, reason = parse_allowance(words.removesuffix("\r").removesuffix("-->"))
            for rule in rules:
                allowed[rule] = allowed.get(rule) or reason
    return allowed
