"""Every resource of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin_watch.web.api import of_alerts, of_failures, of_hosts, of_pin_sets

if TYPE_CHECKING:
    from certpin_watch.web.api.resource import Resource

RESOURCES: tuple[Resource, ...] = (
    *of_hosts.RESOURCES,
    *of_failures.RESOURCES,
    *of_pin_sets.RESOURCES,
    *of_alerts.RESOURCES,
)
