"""An entry of a fingerprint list, as the commands for the Wultra SDKs tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from certpin.pins import Pin
from certpin.updates.wultra.rules import ends

if TYPE_CHECKING:
    from certpin.updates.wultra.listing import Entry


def entry_facts(entry: Entry) -> dict[str, Any]:
    """Name, certificate and end. What makes no sense is ``null``: never in a signed entry."""
    end = ends(entry)
    return {
        "name": entry.name,
        "pin": str(Pin("cert-sha256", entry.digest)) if entry.digest else None,
        "expires": end.isoformat() if end else None,
    }
