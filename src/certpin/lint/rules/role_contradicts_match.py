"""A place in the chain where no pin is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.examples import HEAD, HERE, HOST, PINS
from certpin.lint.roles import ADMITTED
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        roles = {entry.role for entry in host.live.values()} - {"backup"}
        if roles and not roles & ADMITTED[host.match]:
            words = ", ".join(sorted(roles))
            message = f'match = "{host.match}" looks where {host} has no pin, but {words}'
            yield Hit(f"{host.key}.match", message)


RULE = Rule(
    id="role-contradicts-match",
    severity="error",
    summary="match leaves out every certificate that is pinned.",
    why=(
        'match = "leaf" compares the server\'s own certificate alone, and match = "ca" those '
        "above it. If the roles are right, nothing can match, and every client is locked out."
    ),
    fix='write match = "any", or pin what match admits; mend the roles if they are wrong',
    check=_check,
    bad=f'{HEAD}{HOST}match = "ca"{HERE}\n{PINS}',
    good=f'{HEAD}{HOST}match = "leaf"\n{PINS}',
)
