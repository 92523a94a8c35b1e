"""An end that never comes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from certpin.lint.examples import HEAD, HERE, NAME, PINS
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document

_LONGEST = timedelta(days=731)


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        if host.expires and host.expires.tzinfo and host.expires - now > _LONGEST:
            message = f"the pins of {host} hold until {host.expires:%Y-%m-%d}, more than two years"
            yield Hit(f"{host.key}.expires", message)


RULE = Rule(
    id="expires-too-late",
    severity="note",
    summary="The pins end more than two years from now.",
    why=(
        "An expiry makes somebody look at the pins in time. One that lies further ahead than "
        "keys are kept and authorities stay the same is a date at which nobody who knows of it "
        "is left."
    ),
    fix=(
        "choose an expiry within the life of the app version, a year say, and move it with each "
        "release"
    ),
    source="RFC 7469 section 4.1; Chromium ends its static pins ten weeks after a build",
    check=_check,
    bad=f"{HEAD}{NAME}expires = 2037-01-01{HERE}\n{PINS}",
    good=f"{HEAD}{NAME}expires = 2028-03-01\n{PINS}",
)
