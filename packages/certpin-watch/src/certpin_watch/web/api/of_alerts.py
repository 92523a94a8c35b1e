"""Alerts, silences, and what the watch does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from certpin_watch.store.queries import alerts, freshness
from certpin_watch.web.api import asking
from certpin_watch.web.api.resource import PAGED, Listed, Resource, listed, there

if TYPE_CHECKING:
    from certpin_watch.web.api.resource import Ask


def _alerts(ask: Ask) -> Listed[alerts.Alert]:
    which, host, limit = (ask.query[name] for name in ("state", "host", "limit"))
    before = asking.key_of(ask.query["cursor"], int)
    settings = ask.watch.settings.alerts
    return listed(
        alerts.alerts(ask.connection, settings, which=which, host=host, before=before, limit=limit)
    )


def _alert(ask: Ask) -> alerts.AlertStory:
    number = asking.number_of(ask.path["id"])
    return there(
        None if number is None else alerts.alert(ask.connection, ask.watch.settings.alerts, number)
    )


def _silences(ask: Ask) -> Listed[alerts.Silence]:
    before = asking.key_of(ask.query["cursor"], int)
    active, limit = ask.query["state"] == "active", ask.query["limit"]
    settings = ask.watch.settings.alerts
    return listed(
        alerts.silences(
            ask.connection, ask.now, settings, active=active, before=before, limit=limit
        )
    )


def _status(ask: Ask) -> freshness.Freshness:
    snapshot, trouble = ask.watch.watched.snapshot(), ask.watch.store.trouble
    return freshness.freshness(ask.connection, snapshot, ask.now, ask.limits, trouble.reason)


_STATE = asking.choice("state", "Which alerts.", get_args(alerts.Which), "open")
_ACTIVE = asking.choice("state", "Which silences.", ("active", "all"), "active")
_OF_HOST = asking.text("host", "Alerts of this host alone.")

RESOURCES: tuple[Resource, ...] = (
    Resource(
        "/alerts", "Alerts, the last opened first.", Listed[alerts.Alert], _alerts,
        (_STATE, _OF_HOST, *PAGED),
    ),
    Resource("/alerts/{id}", "One alert, and what became of it.", alerts.AlertStory, _alert),
    Resource(
        "/silences", "What nobody is told of.", Listed[alerts.Silence], _silences,
        (_ACTIVE, *PAGED),
    ),
    Resource("/status", "What the watch does not know.", freshness.Freshness, _status),
)  # fmt: skip
