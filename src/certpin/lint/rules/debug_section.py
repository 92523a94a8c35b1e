"""A door for a debugging proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.examples import GOOD, HERE
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    if "debug" in document.data:
        yield Hit("debug", "the file has a [debug] section: with CERTPIN_DEBUG=1 its anchors pass")


RULE = Rule(
    id="debug-section",
    severity="warning",
    summary="There is a [debug] section.",
    why=(
        "Where the environment has CERTPIN_DEBUG=1, a chain that ends at one of these anchors "
        "is accepted without a pin: whoever has that proxy's key, and a word in the "
        "environment, reads along. It has no place in what is released; certpin export "
        "--release refuses it."
    ),
    fix="keep the section in a pin file for development alone",
    check=_check,
    bad=f'{GOOD}\n[debug]{HERE}\nanchors = "bank-root.pem"\n',
    good=f"{GOOD}",
)
