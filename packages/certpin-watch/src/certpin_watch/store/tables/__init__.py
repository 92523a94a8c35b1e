"""The schema, a file for each subject. Every moment is in seconds since 1970 (UTC)."""

from __future__ import annotations

from certpin_watch.store.tables import (
    access,
    alerts,
    chains,
    clock,
    days,
    leases,
    listened,
    logged,
    queue,
    reports,
    sightings,
    sweeps,
)
from certpin_watch.store.tables.base import METADATA

__all__ = [
    "METADATA",
    "access",
    "alerts",
    "chains",
    "clock",
    "days",
    "leases",
    "listened",
    "logged",
    "queue",
    "reports",
    "sightings",
    "sweeps",
]
