"""A host that nobody could ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.examples import BACKUP, EXPIRES, GOOD_LIVE, HEAD, HERE, SERVED
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for host, asked in document.asked():
        if asked.error:
            yield Hit(f"{host.key}.name", f"{asked.host} could not be asked: {asked.error[:200]}")


RULE = Rule(
    id="not-asked",
    severity="note",
    needs="live",
    summary="A host could not be asked: the rules that need it said nothing.",
    why=(
        "Rules about the served chain need an answer. A wildcard names no host to ask: it needs a "
        "[[host.server]], or --host."
    ),
    fix=(
        "check name, port and network, and ask again; [[host.server]] in the file, or --host and "
        "--connect, name the server"
    ),
    check=_check,
    bad=f'{HEAD}\n[[host]]\nname = "silent.bank.example"{HERE}\n{EXPIRES}{SERVED}{BACKUP}',
    good=f"{GOOD_LIVE}",
)
