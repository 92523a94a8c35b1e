"""From when on an end is near, and what was seen is old."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from certpin.watch.monitor.settings import Settings


@dataclass(frozen=True)
class Limits:
    """How long before their ends certificates and pins are told, and how long a probe is news.

    Certificates at most so long: see ``watch/expiry.py``.
    """

    certificates: timedelta = timedelta(days=30)
    pins: timedelta = timedelta(days=60)
    stale: timedelta = timedelta(hours=1)

    @staticmethod
    def of(settings: Settings) -> Limits:
        """As the monitor has them."""
        return Limits(
            settings.certificate_warning,
            settings.pins_warning,
            settings.interval * settings.silent_after,
        )


USUAL = Limits()
