"""The moment that a report counts for: pure.

A client's clock may be wrong by years, on purpose too, and a report may wait on a client's disk for
days. So its own moment counts where it is not later than its receipt, and not earlier by more than
clients keep reports; otherwise its receipt does.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

# As long as certpin's reporter keeps what it cannot send. TrustKit and browsers give up sooner.
LATEST = timedelta(days=7)


def counted_at(at: datetime, received: datetime) -> datetime:
    """The moment to count something by: ``at`` if it can be believed, ``received`` otherwise."""
    return at if received - LATEST <= at <= received else received
