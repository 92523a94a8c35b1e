"""A chain that does not verify."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.pinfile.lint.examples import BACKUP, EXPIRES, GOOD_LIVE, HEAD, HERE, SERVED
from certpin.pinfile.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.pinfile.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for host, asked in document.asked():
        if asked.path is None and asked.problem:
            yield Hit(
                f"{host.key}.name",
                f"the chain of {asked.host} did not verify: {asked.problem[:200]}",
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
