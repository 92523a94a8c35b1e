"""A key that nothing reads, and that looks like no known one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.examples import HEAD, HERE, HOST, PINS
from certpin.lint.rule import Hit, Rule
from certpin.pinfile.fields import Unknown, meant_by
from certpin.pinfile.reader import (
    DEBUG_KEYS,
    HOST_KEYS,
    PIN_KEYS,
    SERVER_KEYS,
    TOP_KEYS,
    table_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for each in unknown_keys(document):
        if not meant_by(each.name, each.known) and not table_of(each.name):
            known = ", ".join(each.known)
            yield Hit(each.key, f"{each.name[:80]!r} is not known here (known: {known})")


def unknown_keys(document: Document) -> Iterator[Unknown]:
    """Every key that nothing reads."""
    yield from _unknown("", document.data, TOP_KEYS)
    for host in document.hosts:
        yield from _unknown(host.key, host.data, HOST_KEYS)
        for key, server in host.servers:
            yield from _unknown(key, server, SERVER_KEYS)
        for entry in host.pins:
            yield from _unknown(entry.key, entry.data, PIN_KEYS)
    if isinstance(debug := document.data.get("debug"), dict):
        yield from _unknown("debug", debug, DEBUG_KEYS)


def _unknown(key: str, data: Mapping[str, object], known: tuple[str, ...]) -> Iterator[Unknown]:
    for name in sorted(data.keys() - set(known)):
        yield Unknown(f"{key}.{name}".lstrip("."), name, known)


RULE = Rule(
    id="unknown-key",
    severity="error",
    summary="A key is not known: it is kept, and does nothing.",
    why=(
        "Its author believes that it has an effect. Clients warn and go on, since a newer version "
        "may know the key; the check before a release is the moment to notice."
    ),
    fix="check its spelling, or remove it; allow it if a newer certpin reads it",
    check=_check,
    bad=f'{HEAD}{HOST}lifetime = "90 days"{HERE}\n{PINS}',
    good=f'{HEAD}{HOST}match = "any"\n{PINS}',
)
