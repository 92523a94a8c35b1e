"""From when on an end is near, what was seen is old, and what reports bring is too much."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from certpin_watch.collector.settings import Settings as Collector
from certpin_watch.retention import Settings as Retention

if TYPE_CHECKING:
    from certpin_watch.settings import Settings


@dataclass(frozen=True)
class Limits:
    """How long before their ends certificates and pins are told, and how long a probe is news.

    Certificates at most so long: see ``watch/expiry.py``.
    ``collector`` has the bounds of what reports make the watch keep, and ``identities`` is for how
    many days repeats are recognised (``[retention]``).
    """

    certificates: timedelta = timedelta(days=30)
    pins: timedelta = timedelta(days=60)
    stale: timedelta = timedelta(hours=1)
    collector: Collector = field(default_factory=Collector)
    identities: int = Retention.identities

    @staticmethod
    def of(settings: Settings) -> Limits:
        """As monitor and collector have them."""
        monitor = settings.monitor
        return Limits(
            monitor.certificate_warning,
            monitor.pins_warning,
            monitor.interval * monitor.silent_after,
            settings.collector,
            settings.retention.identities,
        )


USUAL = Limits()
