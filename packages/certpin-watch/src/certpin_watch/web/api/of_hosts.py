"""Hosts: how they stand, what probes saw of them, what changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin_watch.store.queries import hosts, sightings
from certpin_watch.web.api import asking
from certpin_watch.web.api.asking import LIMIT
from certpin_watch.web.api.resource import PAGED, Listed, Resource, listed, name_of, there

if TYPE_CHECKING:
    from certpin_watch.web.api.resource import Ask


def _hosts(ask: Ask) -> Listed[hosts.Host]:
    after = asking.key_of(ask.query["cursor"], str) or ("",)
    return listed(
        hosts.hosts(
            ask.connection,
            ask.watch.watched.snapshot(),
            ask.now,
            after=after[0],
            limit=ask.query["limit"],
            limits=ask.limits,
        )
    )


def _host(ask: Ask) -> hosts.Host:
    snapshot = ask.watch.watched.snapshot()
    return there(hosts.host(ask.connection, snapshot, ask.now, name_of(ask), ask.limits))


def _sightings(ask: Ask) -> Listed[sightings.Sighting]:
    before = asking.key_of(ask.query["cursor"], int, int)
    name, limit = _covered(ask), ask.query["limit"]
    return listed(sightings.history(ask.connection, name, before=before, limit=limit))


def _changes(ask: Ask) -> list[sightings.Change]:
    return list(sightings.changes(ask.connection, _covered(ask), limit=ask.query["limit"]))


def _covered(ask: Ask) -> str:
    """The name of a watched host: what was seen of others is nobody's business."""
    name = name_of(ask)
    there(hosts.policies_of(ask.watch.watched.snapshot(), name) or None)
    return name


RESOURCES: tuple[Resource, ...] = (
    Resource("/hosts", "Every watched host, by name.", Listed[hosts.Host], _hosts, PAGED),
    Resource("/hosts/{name}", "One host.", hosts.Host, _host),
    Resource(
        "/hosts/{name}/sightings",
        "What probes saw of a host, the last first.",
        Listed[sightings.Sighting],
        _sightings,
        PAGED,
    ),
    Resource(
        "/hosts/{name}/changes",
        "What changed at a host, the last first.",
        list[sightings.Change],
        _changes,
        (LIMIT,),
    ),
)
