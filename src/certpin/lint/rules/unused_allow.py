"""An allowance that allows nothing."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from certpin.lint.allow import allowances
from certpin.lint.examples import GOOD, HEAD, HERE, HOST, PINS
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.allow import Allowance
    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    """What can be known beforehand; ``run`` adds those that met no finding."""
    for allowance in allowances(document.places.comments):
        if not allowance.rules:
            message = "this comment is for certpin, and says nothing that it knows"
            yield Hit("", message, line=allowance.comment)
        yield from _idle(allowance)


def _idle(allowance: Allowance) -> Iterator[Hit]:
    from certpin.lint.rules import RULES  # which holds this very rule

    for name in allowance.rules:
        if name not in RULES:
            near = get_close_matches(name[:40], RULES, n=1)
            hint = f": did you mean {near[0]}?" if near else ""
            yield Hit("", f"there is no rule {name[:40]!r}{hint}", line=allowance.comment)
        elif RULES[name].refuses:
            message = f"{name} cannot be allowed: no client loads such a file"
            yield Hit("", message, line=allowance.comment)


RULE = Rule(
    id="unused-allow",
    severity="warning",
    summary="A comment allows what is not there, or what cannot be allowed.",
    why=(
        "What it was for has been mended, or the comment stands at the wrong line and does not "
        "do what its author thinks. Left there, it will hide the next finding."
    ),
    fix="take it out, or put it on the line of the finding or the line above",
    check=_check,
    bad=f"{HEAD}\n# certpin: allow debug-section because it is for development{HERE}{HOST}{PINS}",
    good=f"{GOOD}\n# certpin: allow debug-section because it is for development\n"
    '[debug]\nanchors = "bank-root.pem"\n',
)
