"""A key that nothing reads."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from certpin.pinfile.lint.examples import HEAD, HERE, HOST, PINS
from certpin.pinfile.lint.rule import Hit, Rule
from certpin.pinfile.reader import DEBUG_KEYS, HOST_KEYS, PIN_KEYS, SERVER_KEYS, TOP_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from certpin.pinfile.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    yield from _unknown("", document.data, TOP_KEYS)
    for host in document.hosts:
        yield from _unknown(host.key, host.data, HOST_KEYS)
        for key, server in host.servers:
            yield from _unknown(key, server, SERVER_KEYS)
        for entry in host.pins:
            yield from _unknown(entry.key, entry.data, PIN_KEYS)
    if isinstance(debug := document.data.get("debug"), dict):
        yield from _unknown("debug", debug, DEBUG_KEYS)


def _unknown(key: str, data: Mapping[str, object], known: tuple[str, ...]) -> Iterator[Hit]:
    for name in sorted(data.keys() - set(known)):
        near = get_close_matches(name[:40].lower().replace("-", "_"), known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
        yield Hit(f"{key}.{name}".lstrip("."), f"{name[:80]!r} is not known here ({hint})")


RULE = Rule(
    id="unknown-key",
    severity="warning",
    summary="A key is not known: it is kept, and does nothing.",
    why=(
        "A misspelt key has no effect: expire = … lets the pins hold for ever, mod = … enforces "
        "or does not. certpin leaves unknown keys alone, since a newer version may know them."
    ),
    fix="mend its spelling, or take it out",
    check=_check,
    bad=f'{HEAD}{HOST}on-expiry = "fail-open"{HERE}\n{PINS}',
    good=f'{HEAD}{HOST}on_expiry = "fail-closed"\n{PINS}',
)
