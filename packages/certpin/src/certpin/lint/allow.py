"""Comments that allow a lint finding, and the lint rules about these comments.

    # certpin: allow RULE because REASON

allows the findings of ``RULE`` on one line: the line of the comment, if that line also has other
text. If the line has only the comment, it is the first line below that is not only a comment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from certpin.lint.rule import GOOD, HEAD, HERE, HOST, NAME, PINS, Hit, LintRule
from certpin.support.sarif import parse_allowance

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from certpin.lint.document import LintDocument
    from certpin.pinfile.places import Comment

_OURS = re.compile(r"certpin:\s*+(.*)", re.DOTALL)


@dataclass(frozen=True)
class Allowance:
    """A comment that begins with ``certpin:``. An ``allow`` comment allows lint findings on a line.

    Attributes:
        comment: the line number of the comment.
        line: the number of the line on which it allows findings: the same line, or a line below.
        rules: the IDs of the rules that the comment names; empty if it is not an ``allow`` comment.
        reason: the reason in the comment; empty if it has none.
    """

    comment: int
    line: int
    rules: tuple[str, ...]
    reason: str


def allowances(comments: Mapping[int, Comment]) -> Iterator[Allowance]:
    """Yield an ``Allowance`` for each comment that begins with ``certpin:``, valid or not.

    ``comments`` are the comments of the pin file, by line number.
    """
    below: dict[int, int] = {}  # for each line that is only a comment, the line below its block
    for number in sorted(comments, reverse=True):
        if comments[number].alone:
            below[number] = below.get(number + 1, number + 1)
        if ours := _OURS.fullmatch(comments[number].text):
            yield Allowance(number, below.get(number, number), *parse_allowance(ours[1]))


@partial(
    LintRule,
    "allow-without-reason",
    "error",
    summary="A comment allows a finding without a reason.",
    why=(
        "The next reader needs the reason to decide whether the comment may go. An allowance "
        "without one has no effect."
    ),
    fix="write # certpin: allow RULE because REASON",
    bad=f"{HEAD}\n# certpin: allow expired{HERE}\n{HOST.lstrip()}{PINS}",
    good=f"{HEAD}\n# certpin: allow no-expiry because the app is replaced each month\n"
    f"{NAME.lstrip()}{PINS}",
)
def _allow_without_reason(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for allowance in allowances(document.places.comments):
        if allowance.rules and not allowance.reason:
            names = ", ".join(allowance.rules)
            yield Hit("", f"{names[:80]} is allowed without a reason", line=allowance.comment)


@partial(
    LintRule,
    "unused-allow",
    "warning",
    summary="A comment allows a finding that does not exist, or cannot be allowed.",
    why=(
        "The mistake that it was for has been fixed, or the comment is on the wrong line and has "
        "no effect. If it stays, it will hide the next finding."
    ),
    fix="remove it, or move it to the line of the finding or the line above",
    bad=f"{HEAD}\n# certpin: allow debug-section because it is for development{HERE}{HOST}{PINS}",
    good=f"{GOOD}\n# certpin: allow debug-section because it is for development\n"
    '[debug]\nanchors = "bank-root.pem"\n',
)
def unused_allow(document: LintDocument, now: datetime) -> Iterator[Hit]:
    """Find comments that begin with ``certpin:``, but are not of the form ``certpin: allow RULE``.

    The rule ``unused-allow`` also reports ``allow`` comments that allow nothing. The lint engine
    finds those, because it knows the findings of all rules. ``document`` is the parsed pin file;
    ``now`` is not used.
    """
    for allowance in allowances(document.places.comments):
        if not allowance.rules:
            message = "this comment is for certpin, but is not an allowance"
            yield Hit("", message, line=allowance.comment)
