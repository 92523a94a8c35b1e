"""A file without a policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.examples import GOOD
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    if document.data.get("host", []) == []:
        yield Hit("host", "the file pins no host: it protects nothing")


RULE = Rule(
    id="no-host",
    severity="error",
    refuses=True,
    summary="No host is pinned.",
    why=(
        "A pin set that covers no host lets a client that is not strict connect to anybody that "
        "the machine trusts, while its authors think that it is pinned."
    ),
    fix="pin a host: certpin add HOST --backup-key FILE",
    check=_check,
    bad='schema = 1  # <- here\nname = "bank-app"\nversion = 12\n',
    good=f"{GOOD}",
)
