"""Nothing outside what is served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.examples import GOOD_LIVE, HEAD, HOST, SERVED, here
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for host, asked in document.verified():
        if host.mode == "enforce" and host.live and asked.served_pins.keys() >= host.live.keys():
            yield Hit(
                f"{host.key}.pin",
                f"every pin of {host} is in the chain that {asked.host} serves now",
            )


RULE = Rule(
    id="one-chain",
    severity="error",
    needs="live",
    summary="Every pin is in the chain that is served now.",
    why=(
        "When that chain is replaced as a whole (another authority, a stolen key), no pin is "
        "left, and every client is locked out. A backup has to be outside of it."
    ),
    fix='make a key that no server uses, and pin it: role = "backup"',
    source="RFC 7469 sections 2.5 and 4.3",
    check=_check,
    bad=f'{HEAD}{HOST}{here(SERVED)}\n[[host.pin]]\npin = "sha256/ROOT"\nrole = "backup"\n',
    good=f"{GOOD_LIVE}",
)
