"""A chain that does not verify."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.examples import BACKUP, EXPIRES, GOOD_LIVE, HEAD, HERE, SERVED
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document

_LONGEST = 2000  # characters; some of them are the server's


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for host, asked in document.asked():
        if asked.path is None and asked.problem:
            yield Hit(
                f"{host.key}.name",
                f"{asked.host}: {asked.problem[:_LONGEST]}",
                asked.fix,
            )


RULE = Rule(
    id="live-unverified",
    severity="error",
    needs="live",
    summary="The chain that the host serves does not verify.",
    why=(
        "Clients verify chain, name and dates before any pin: all of them refuse it. Or whoever "
        "answered is not the server."
    ),
    fix="certpin pin HOST says what is wrong with it, and what to do",
    source="RFC 5280 section 6",
    check=_check,
    bad=f'{HEAD}\n[[host]]\nname = "unverified.bank.example"{HERE}\n{EXPIRES}{SERVED}{BACKUP}',
    good=f"{GOOD_LIVE}",
)
