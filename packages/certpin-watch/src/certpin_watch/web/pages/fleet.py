"""The fleet at a glance: every watched host, the worst first, and what the watch does not know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from certpin_watch.store.queries import hosts
from certpin_watch.store.queries.alerts import open_alerts, open_counts
from certpin_watch.store.queries.hosts import reports_by_hour
from certpin_watch.web.pages import unknowns
from certpin_watch.web.pages.words import number
from certpin_watch.web.pictures.stacked import sparkline

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from markupsafe import Markup
    from starlette.responses import Response

    from certpin_watch.store.queries.hosts import Host, Status
    from certpin_watch.web.pages.asking import Asked

ROWS = 100  # of a page
_URGENT = 3  # alerts that stand here, too
_NEVER = float("inf")

_ORDERS: dict[str, Callable[[Host], tuple[object, ...]]] = {
    "status": lambda host: (_urgency(host), -host.alerts, -host.failures, host.name),
    "name": lambda host: (host.name,),
    "certificate": lambda host: (_days(host.certificate_days), host.name),
    "pins": lambda host: (_days(host.pin_days), host.name),
    "failures": lambda host: (-host.failures, host.name),
    "alerts": lambda host: (-host.alerts, host.name),
}


@dataclass(frozen=True)
class Row:
    """A host of the table, with its picture."""

    host: Host
    spark: Markup | None
    vantages: int  # from how many it is seen as it should be, now


def fleet(asked: Asked) -> Response:
    """The page."""
    settings = asked.watch.settings.alerts
    with asked.connection() as connection:
        names = hosts.names(connection, asked.snapshot)
        every = hosts.describe_hosts(connection, asked.snapshot, asked.now, names, asked.limits)
        fresh = asked.freshness(connection)
        order = asked.choice("sort", tuple(_ORDERS))
        chosen = sorted(_chosen(asked, every), key=_ORDERS[order])
        pages = max(1, -(-len(chosen) // ROWS))
        at = min(asked.number("page"), pages)
        shown = chosen[(at - 1) * ROWS : at * ROWS]
        opened, urgent = open_counts(connection), open_alerts(connection, settings, limit=_URGENT)
        failing = reports_by_hour(
            connection, [each.name for each in shown if each.failures], asked.now
        )
    return asked.page(
        "fleet.html",
        counts=hosts.count_by_status(every),
        verdict=verdict(every),
        total=len(every),
        found=len(chosen),
        failures=sum(each.failures for each in every),
        alerts=sum(opened.values()),
        worst=_worst(every),
        urgent=urgent,
        rows=[Row(each, _spark(each, failing[each.name]), right(asked, each)) for each in shown],
        order=order,
        at=at,
        pages=pages,
        sets=[each.pins.name for each in asked.snapshot.sets],
        asked={name: asked.text(name) for name in ("q", "status", "set")},
        unknowns=unknowns.of_the_watch(fresh, asked.now, asked.health),
    )


def verdict(every: Sequence[Host]) -> tuple[Status | None, str]:
    """How the fleet stands, in one sentence."""
    counts = hosts.count_by_status(every)
    if not every:
        return None, "No host is watched yet"
    if counts["broken"]:
        is_are = "is" if counts["broken"] == 1 else "are"
        return "broken", f"{number(counts['broken'], 'host')} {is_are} broken"
    if counts["unknown"]:
        return "unknown", f"{number(counts['unknown'], 'host')} cannot be judged"
    if counts["expiring"]:
        return "expiring", f"Something ends soon at {number(counts['expiring'], 'host')}"
    if some := sum(host.alerts for host in every):
        return "expiring", f"Every vantage sees what it should, but {number(some, 'alert')} open"
    return "holds", f"All {number(len(every), 'host')} hold" if len(every) > 1 else "It holds"


def right(asked: Asked, host: Host) -> int:
    """From how many vantages a host is seen as it should be; what is old counts as not seen."""
    stale = asked.now - asked.limits.stale
    return sum(not each.problem_word and each.last_at >= stale for each in host.vantages)


def _worst(every: Sequence[Host]) -> list[str]:
    """The hosts that the verdict speaks of."""
    status, _ = verdict(every)
    named = () if status == "holds" else every
    return sorted(host.name for host in named if host.status == status)


def _chosen(asked: Asked, every: Sequence[Host]) -> list[Host]:
    part, status, name = (asked.text(key) for key in ("q", "status", "set"))
    return [
        host
        for host in every
        if part.lower() in host.name
        and status in {"", host.status}
        and (not name or any(policy.pin_set == name for policy in host.policies))
    ]


def _spark(host: Host, counts: tuple[int, ...]) -> Markup | None:
    if not host.failures:
        return None
    most = max(counts)
    return sparkline(counts, f"By the hour of the last day, at most {number(most, 'report')}")


def _urgency(host: Host) -> int:
    """What an alert is about comes right after what is broken: clients see more than vantages."""
    at = hosts.WORST_FIRST.index(host.status)
    return 2 * at if at == 0 or not host.alerts else 1


def _days(days: float | None) -> float:
    return _NEVER if days is None else days
