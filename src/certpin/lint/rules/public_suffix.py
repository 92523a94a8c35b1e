"""A wildcard over names of other people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.examples import AUTHORITY, BACKUP, EXPIRES, HEAD, HERE
from certpin.lint.rule import Hit, Rule
from certpin.pins.public_suffix import is_public

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        if host.pattern and host.pattern.wildcard and is_public(host.pattern.name):
            yield Hit(f"{host.key}.name", f"{host} covers every name under {host.pattern.name}")


RULE = Rule(
    id="public-suffix",
    severity="error",
    refuses=True,
    summary="A wildcard stands over a public suffix, under which anybody may register.",
    why=(
        "The policy would refuse the servers of everybody else under that suffix, and is none "
        "for a name of yours. Where a policy widens trust (report mode, a trust file), it would "
        "do so for strangers."
    ),
    fix="name the domain that is yours, as in **.bank.example",
    source="the Public Suffix List, https://publicsuffix.org",
    check=_check,
    bad=f'{HEAD}\n[[host]]\nname = "**.co.uk"{HERE}\n{EXPIRES}match = "ca"\n{AUTHORITY}{BACKUP}',
    good=f'{HEAD}\n[[host]]\nname = "**.bank.co.uk"\n{EXPIRES}match = "ca"\n{AUTHORITY}{BACKUP}',
)
