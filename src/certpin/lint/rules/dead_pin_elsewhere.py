"""A key that is burnt here and trusted there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.examples import BACKUP, EXPIRES, HEAD, HERE, HOST, PINS
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    dead = {
        entry.pin: (host, entry)
        for host in document.hosts
        for entry in host.pins
        if entry.state == "compromised" and entry.pin is not None
    }
    for host in document.hosts if dead else ():
        for pin in host.live.keys() & dead.keys():
            other, entry = dead[pin]
            line = document.line(entry.key)
            message = f"{host} accepts a key that is compromised under {other} (line {line})"
            yield Hit(f"{host.live[pin].key}.pin", message)


RULE = Rule(
    id="dead-pin-elsewhere",
    severity="error",
    summary="A key that is compromised under one host is accepted under another.",
    why=(
        "Whoever stole the key can be every host that still accepts it. A compromise is of the "
        "key, not of one name."
    ),
    fix='mark it state = "compromised" wherever it stands, and take it out of service everywhere',
    check=_check,
    bad=f'{HEAD}{HOST}{PINS}\n[[host.pin]]\npin = "sha256/THREE"\nstate = "compromised"\n'
    f'\n[[host]]\nname = "www.bank.example"\n{EXPIRES}'
    f'\n[[host.pin]]\npin = "sha256/THREE"{HERE}\n{BACKUP}',
    good=f'{HEAD}{HOST}{PINS}\n[[host.pin]]\npin = "sha256/THREE"\nstate = "compromised"\n'
    f'\n[[host]]\nname = "www.bank.example"\n{EXPIRES}{PINS}',
)
