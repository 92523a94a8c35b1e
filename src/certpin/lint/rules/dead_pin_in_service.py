"""A key is served that the pin file marks as removed or compromised."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.examples import GOOD_LIVE, HERE
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for host, asked in document.verified():
        for entry in host.pins:
            if not entry.live and entry.pin in asked.path_pins:
                yield Hit(f"{entry.key}.pin", f"{asked.host} serves a key that is {entry.state}")


RULE = Rule(
    id="dead-pin-in-service",
    severity="error",
    needs="live",
    summary="The host serves a key that is marked removed or compromised.",
    why=(
        "Clients refuse every path that contains a compromised key, and an attacker who has it can "
        "still be the server for clients with an older pin set. A removed key accepts nothing: "
        "clients refuse it unless another pin is on the path."
    ),
    fix="take the key out of service; serve the backup",
    check=_check,
    bad=f'{GOOD_LIVE}\n[[host.pin]]\npin = "sha256/INTERMEDIATE"{HERE}\nstate = "compromised"\n',
    good=f'{GOOD_LIVE}\n[[host.pin]]\npin = "sha256/THREE"\nstate = "compromised"\n',
)
