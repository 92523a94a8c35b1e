"""``signatures-end``: a signature on the published pin sets ends soon, or has ended.

Clients go on with what they have. They learn nothing new, and an emergency could not be told.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from certpin_watch.alerts.rules._counting import command
from certpin_watch.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin_watch.alerts.evidence import Evidence


def find(evidence: Evidence) -> Iterator[Finding]:
    """A role whose life has less than a third left, as ``certpin publish status`` counts."""
    for each in evidence.roles:
        over = each.expires <= evidence.now
        if not over and not each.soon:
            continue
        paths = [found.path for found in evidence.sets if found.pins.name == each.pin_set]
        date = datetime.fromtimestamp(each.expires, UTC)
        yield Finding(
            "signatures-end",
            "critical" if over else "warning",
            "",
            each.pin_set,
            f"the signature of the {each.role} of {each.pin_set} "
            + ("has ended" if over else "ends")
            + f" on {date:%Y-%m-%d %H:%M} UTC",
            command("publish", "status", pins=paths[0] if paths else None),
            {"role": each.role, "expires": each.expires},
            subject=each.role,
        )
