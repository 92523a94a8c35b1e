"""Roots that browsers give up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.distrusted import ROOTS
from certpin.lint.examples import GOOD, HERE
from certpin.lint.rule import Hit, Rule
from certpin.pins import pins_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document
    from certpin.pins import Pin


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        for pin in host.live.keys() & ROOTS.keys():
            yield Hit(f"{host.live[pin].key}.pin", f"{host} pins {_words(pin)}")
    for file in document.anchor_files():
        for pin in {pins_of(each)[0] for each in file.certificates} & ROOTS.keys():
            yield Hit(file.key, f"{file.name[:80]} trusts {_words(pin)}")
    for host, asked in document.verified():
        for pin in asked.path_pins.keys() & ROOTS.keys() - host.live.keys():
            yield Hit(f"{host.key}.name", f"the chain of {asked.host} ends at {_words(pin)}")


def _words(pin: Pin) -> str:
    root = ROOTS[pin]
    return f"{root.name}, which browsers distrust since {root.since} ({root.source})"


RULE = Rule(
    id="distrusted-root",
    severity="warning",
    summary="A pinned, trusted or served root is being distrusted by browsers.",
    why=(
        "The authority has to move you to another root, or is gone: its pin then matches "
        "nothing, and platforms that follow the browsers no longer verify the chain. certpin "
        "knows a few such roots by their keys (as of 2026-11); that a root is not among them "
        "says nothing."
    ),
    fix=(
        "move to another authority: pin its root or intermediate beside the old one first, and "
        "ship that"
    ),
    source=(
        "Chrome Root Program (Entrust 2024, Chunghwa Telecom and Netlock 2025); Mozilla Root "
        "Store Policy section 7.4"
    ),
    check=_check,
    bad=f'{GOOD}\n[[host.pin]]\npin = "sha256/DISTRUSTED"{HERE}\nrole = "root"\n',
    good=f'{GOOD}\n[[host.pin]]\npin = "sha256/THREE"\nrole = "root"\n',
)
