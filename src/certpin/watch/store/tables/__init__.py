"""The schema, a file for each subject. Every moment is in seconds since 1970 (UTC)."""

from __future__ import annotations

<<<<<<< HEAD
from certpin.watch.store.tables import alerts, chains, days, leases, reports, sightings
from certpin.watch.store.tables.base import METADATA

__all__ = ["METADATA", "alerts", "chains", "days", "leases", "reports", "sightings"]
=======
from certpin.watch.store.tables import alerts, chains, leases, logged, reports, sightings
from certpin.watch.store.tables.base import METADATA

__all__ = ["METADATA", "alerts", "chains", "leases", "logged", "reports", "sightings"]
>>>>>>> 3ec329461abc135868199869a8e59ee5627cb4df
