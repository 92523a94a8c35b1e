"""The fleet page, with all monitored hosts, and the page of one host."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from certpin.lab.report.flaws import ChainContext
from certpin_watch.html.words import number
from certpin_watch.store.queries import alerts, failures, hosts, report_counts, sightings
from certpin_watch.store.queries import chains as kept
from certpin_watch.store.queries import hosts as facts
from certpin_watch.store.queries.alerts import open_alerts, open_counts
from certpin_watch.store.queries.hosts import reports_by_hour
from certpin_watch.web import pin_sets, unknowns
from certpin_watch.web.charts import sparkline
from certpin_watch.web.failures import describe_chains, draw_series
from certpin_watch.web.pictures import chain as picture
from certpin_watch.web.request import Missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from markupsafe import Markup
    from sqlalchemy import Connection
    from starlette.responses import Response

    from certpin.pins import HostPin, HostPolicy
    from certpin_watch.snapshot import WatchedSet
    from certpin_watch.store.queries.chains import Issued
    from certpin_watch.store.queries.hosts import Host, Status
    from certpin_watch.store.queries.sightings import Vantage
    from certpin_watch.web.request import Asked


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


_WEEK = timedelta(days=7)

# What stands in `problems`, for people.
PROBLEMS = {
    "unreachable": "A vantage cannot reach it",
    "unverified": "A vantage is shown a chain that does not verify",
    "compromised-key": "A vantage is shown a key that is marked compromised",
    "mismatch": "A vantage is shown a key that is not pinned",
    "pins-ended": "The pins are past their date",
    "refused": "Clients that hold an older version refuse what is served",
    "vantages-disagree": "Vantages are shown different chains",
    "not-seen-lately": "A vantage has not looked lately, or none ever has",
    "certificate-ends": "A certificate ends soon",
    "pins-end": "The pins end soon",
}


# What may change from one sighting to the next.
_CHANGES = {
    "key": "another key",
    "issuer": "another issuer",
    "served": "another certificate",
    "verified": "another path",
    "outcome": "another outcome",
    "address": "another address",
    "tls": "another version of TLS",
    "problem": "another problem",
}


@dataclass(frozen=True)
class Served:
    """A chain that vantages are shown, and how it is drawn. ``places`` are its certificates."""

    vantages: tuple[Vantage, ...]
    drawing: Markup
    places: tuple[tuple[Issued, str], ...]


def host(asked: Asked) -> Response:
    """The page."""
    name = asked.request.path_params["name"]
    with asked.connection() as connection:
        found = facts.host(connection, asked.snapshot, asked.now, name, asked.limits)
        if found is None:
            raise Missing(f"a host {name[:80]}")
        policies = facts.policies_of(asked.snapshot, name)
        within = report_counts.Range(asked.now - _WEEK, asked.now)
        only = report_counts.ReportFilter(host=name)
        return asked.page(
            "host.html",
            host=found,
            right=right(asked, found),
            problems=[PROBLEMS.get(each, each) for each in found.problems],
            served=list(_served(connection, found, policies, asked)),
            rotations=[
                pin_sets.of(connection, asked, each, policy, found) for each, policy in policies
            ],
            alerts=alerts.open_alerts(connection, asked.watch.settings.alerts, host=name),
            changes=[
                (each, changed(each.what)) for each in sightings.changes(connection, name, limit=30)
            ],
            chains=describe_chains(
                connection, asked, failures.top_chains(connection, within, only=only, limit=5)
            ),
            failing=draw_series(
                "failing",
                "Failures of the last week by reason",
                failures.series(connection, within, by="reason", only=only),
                within.until,
            ),
            unknowns=list(unknowns.of_a_host(found, asked.now, asked.limits)),
        )


def changed(what: tuple[str, ...]) -> str:
    """What changed, in words. A new path follows from a new certificate, and is not told."""
    said = [_CHANGES.get(each, each) for each in what if each != "verified" or "served" not in what]
    if "served" in what and "key" not in what and "outcome" not in what:
        said.append("the same key")
    return ", ".join(said)


def _served(
    connection: Connection,
    host: Host,
    policies: tuple[tuple[WatchedSet, HostPolicy], ...],
    asked: Asked,
) -> Iterator[Served]:
    """Each chain that differs, once: most hosts have one, whatever the number of vantages."""
    by_chain: dict[tuple[str, str], list[Vantage]] = {}
    for vantage in host.vantages:
        if vantage.served:
            by_chain.setdefault((vantage.served, vantage.verified), []).append(vantage)
    for index, ((served, verified), seen) in enumerate(by_chain.items()):
        ders = kept.load_der(connection, bytes.fromhex(served)) or ()
        path = kept.load_der(connection, bytes.fromhex(verified)) if verified else ()
        if not ders:
            continue
        scene = ChainContext(host.name, _trusted(policies, path or ()), _pins(policies), asked.now)
        drawing = picture(f"chain-{index}", ders, scene)
        yield Served(tuple(seen), drawing, tuple(_places(path or ders, policies)))


def _trusted(
    policies: tuple[tuple[WatchedSet, HostPolicy], ...], path: tuple[bytes, ...]
) -> tuple[bytes, ...]:
    """The roots that the pin files name, and the one at which a vantage's path ended."""
    named = [der for _, policy in policies if policy.trust for der in policy.trust.der]
    return tuple(dict.fromkeys([*named, *path[-1:]]))


def _pins(policies: tuple[tuple[WatchedSet, HostPolicy], ...]) -> tuple[HostPin, ...]:
    return tuple(entry for _, policy in policies for entry in policy.pins if entry.live)


def _places(
    ders: tuple[bytes, ...], policies: tuple[tuple[WatchedSet, HostPolicy], ...]
) -> Iterator[tuple[Issued, str]]:
    """Each certificate in words, and as what it is pinned."""
    for der in ders:
        issued = kept.describe_certificate(der)
        roles = [
            entry.role
            for _, policy in policies
            for entry in policy.pins
            if entry.live and str(entry.pin) in {issued.pin, issued.certificate_pin}
        ]
        yield issued, roles[0] if roles else ""
