"""What is served is not what is pinned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.examples import EXPIRES, GOOD_LIVE, HEAD, HERE, PINS
from certpin.lint.roles import admitted
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for host, asked in document.verified():
        if asked.path and not any(pin in host.live for pin in admitted(asked.path, host.match)):
            effect = (
                "clients are locked out"
                if host.mode == "enforce"
                else "in mode enforce clients would be locked out"
            )
            yield Hit(f"{host.key}.name", f"no pin matches what {asked.host} serves: {effect}")


RULE = Rule(
    id="live-mismatch",
    severity="error",
    needs="live",
    summary="No pin matches what the host serves.",
    why=(
        "Every client that enforces this policy refuses the server. Or somebody stands between "
        "this machine and the server, and the refusal is right: what one vantage sees proves "
        "neither."
    ),
    fix=(
        "compare from another network (certpin pin HOST); if the key was changed on purpose, "
        "ship a pin set that holds it"
    ),
    source="RFC 7469 section 2.6",
    check=_check,
    bad=f'{HEAD}\n[[host]]\nname = "api.bank.example"{HERE}\n{EXPIRES}{PINS}',
    good=f"{GOOD_LIVE}",
)
