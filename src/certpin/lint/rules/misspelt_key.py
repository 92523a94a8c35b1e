"""A key that nothing reads, and that looks like a known one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.examples import HEAD, HERE, HOST, PINS
from certpin.lint.rule import Hit, Rule
from certpin.lint.rules.unknown_key import unknown_keys
from certpin.pinfile.fields import meant_by, misplaced, misspelt
from certpin.pinfile.reader import table_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for each in unknown_keys(document):
        if meant := meant_by(each.name, each.known):
            error = misspelt(each.key, each.name, meant)
        elif table := table_of(each.name):
            error = misplaced(each.key, each.name, table)
        else:
            continue
        yield Hit(each.key, error.problem, error.fix)


RULE = Rule(
    id="misspelt-key",
    severity="error",
    refuses=True,
    summary="A key does nothing, and looks like one that does, or belongs to another table.",
    why=(
        'A misspelt key has no effect: with truts = "ca.pem" every root of the platform is '
        "trusted, with expire = … the pins never end. So no client loads the file. A key resembles "
        "a known one if they differ by one slip for every three letters (a letter more, less or "
        "wrong, or two neighbours swapped), ignoring case, with hyphens as underscores."
    ),
    fix="write the key as docs/pinfile.md has it, in its table",
    check=_check,
    bad=f'{HEAD}{HOST}on-expiry = "fail-open"{HERE}\n{PINS}',
    good=f'{HEAD}{HOST}on_expiry = "fail-closed"\n{PINS}',
)
