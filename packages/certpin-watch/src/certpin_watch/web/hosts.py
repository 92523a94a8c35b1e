"""The page of all monitored hosts (the fleet), and the page of one host."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from certpin.lab.report.flaws import ChainContext
from certpin_watch.html import number
from certpin_watch.snapshot import anchors_of, live_pins
from certpin_watch.store.queries import failures, hosts, report_counts, sightings
from certpin_watch.store.queries.alerts import open_alerts, open_counts
from certpin_watch.store.queries.chains import describe_certificate, load_der
from certpin_watch.web import pin_sets, unknowns
from certpin_watch.web.charts import chain_picture, sparkline
from certpin_watch.web.failures import chains_with_issuers, draw_series
from certpin_watch.web.request import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from markupsafe import Markup
    from sqlalchemy import Connection
    from starlette.responses import Response

    from certpin_watch.snapshot import SetPolicies
    from certpin_watch.store.queries.chains import Issued
    from certpin_watch.store.queries.hosts import Host, Status
    from certpin_watch.store.queries.sightings import Vantage
    from certpin_watch.web.request import PageRequest

ROWS = 100  # hosts on a page
_MAX_ALERTS = 3  # open alerts on the fleet page
_NEVER = float("inf")
_WEEK = timedelta(days=7)

# The problems in a host's status, as sentences.
PROBLEMS = {
    "no-starttls": "A location is answered without TLS (STARTTLS)",
    "unreachable": "A location cannot reach it",
    "unverified": "A location is served a chain that does not verify",
    "compromised-key": "A location is served a key that is marked compromised",
    "mismatch": "A location is served a chain without a pinned certificate",
    "too-few-scts": "A location is served a certificate with too few SCTs (require_ct)",
    "pins-ended": "The pins have expired",
    "refused": "Clients that hold an older version refuse the served chain",
    "vantages-disagree": "Locations are served different chains",
    "not-seen-lately": "A location has no recent result, or there is no result at all",
    "certificate-ends": "A certificate expires soon",
    "pins-end": "The pins expire soon",
}

# The differences between two consecutive observations.
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
    """A row in the table of hosts on the page ``/``, with a small chart of reports.

    ``healthy`` is the number of locations that recently probed the host and observed no problem.
    ``sparkline`` is the chart, None if there is none.
    """

    host: Host
    sparkline: Markup | None
    healthy: int


def fleet_page(page: PageRequest) -> Response:
    """Return the page ``/``: all monitored hosts, by default the worst status first.

    Warnings on the page state which data is missing.
    """
    settings = page.watch.settings.alerts
    with page.connection() as connection:
        names = hosts.names(connection, page.snapshot)
        fleet = hosts.describe_hosts(connection, page.snapshot, page.now, names, page.thresholds)
        fresh = page.freshness(connection)
        order = page.choice("sort", tuple(_ORDERS))
        chosen = sorted(_filter(page, fleet), key=_ORDERS[order])
        pages = max(1, -(-len(chosen) // ROWS))
        at = min(page.number("page"), pages)
        shown = chosen[(at - 1) * ROWS : at * ROWS]
        counts, urgent = (
            open_counts(connection),
            open_alerts(connection, settings.hold, limit=_MAX_ALERTS),
        )
        by_hour = hosts.reports_by_hour(
            connection, [host.name for host in shown if host.failures], page.now
        )
    rows = [Row(host, _sparkline(host, by_hour[host.name]), healthy(page, host)) for host in shown]
    return page.render(
        "fleet.html",
        counts=hosts.count_by_status(fleet),
        verdict=verdict(fleet),
        total=len(fleet),
        matching=len(chosen),
        failures=sum(host.failures for host in fleet),
        alerts=sum(counts.values()),
        worst=_worst(fleet),
        urgent=urgent,
        rows=rows,
        order=order,
        at=at,
        pages=pages,
        sets=[monitored.pins.name for monitored in page.snapshot.sets],
        query={name: page.text(name) for name in ("q", "status", "set")},
        unknowns=unknowns.of_service(fresh, page.now, page.health),
    )


def verdict(fleet: Sequence[Host]) -> tuple[Status | None, str]:
    """Return the worst status of all hosts, and a sentence about it for the top of the page.

    ``fleet`` are all monitored hosts. The status is "broken", "unknown", "expiring" or "holds" (no
    problem); None if no host is monitored. There is one exception: if all hosts have the status
    "holds", but an alert is open, it is "expiring", so that the page does not look as if there were
    no problem.
    """
    counts = hosts.count_by_status(fleet)
    if not fleet:
        return None, "No host is monitored yet"
    if counts["broken"]:
        verb = "is" if counts["broken"] == 1 else "are"
        return "broken", f"{number(counts['broken'], 'host')} {verb} broken"
    if counts["unknown"]:
        return "unknown", f"The status of {number(counts['unknown'], 'host')} is unknown"
    if counts["expiring"]:
        return "expiring", f"Something expires soon at {number(counts['expiring'], 'host')}"
    if count := sum(host.alerts for host in fleet):
        verb = "is" if count == 1 else "are"
        return "expiring", f"No location sees a problem, but {number(count, 'alert')} {verb} open"
    return "holds", f"All {number(len(fleet), 'host')} are OK" if len(
        fleet
    ) > 1 else "The host is OK"


def healthy(page: PageRequest, host: Host) -> int:
    """Return how many locations (probing machines) recently observed a host without a problem.

    A result is recent if it is not older than the settings allow (``Thresholds.stale``).
    """
    stale = page.now - page.thresholds.stale
    return sum(not seen.problem_word and seen.last_at >= stale for seen in host.vantages)


def _worst(fleet: Sequence[Host]) -> list[str]:
    """Return the names of the hosts with the worst status among all hosts, sorted.

    ``fleet`` are all hosts. The list is empty if every host has the status "holds" (no problem).
    """
    status, _ = verdict(fleet)
    return sorted(host.name for host in fleet if status != "holds" and host.status == status)


def _filter(page: PageRequest, fleet: Sequence[Host]) -> list[Host]:
    part, status, name = (page.text(key) for key in ("q", "status", "set"))
    return [
        host
        for host in fleet
        if part.lower() in host.name
        and status in {"", host.status}
        and (not name or any(policy.pin_set == name for policy in host.policies))
    ]


def _sparkline(host: Host, counts: tuple[int, ...]) -> Markup | None:
    if not host.failures:
        return None
    return sparkline(counts, f"By hour of the last day, at most {number(max(counts), 'report')}")


def _urgency(host: Host) -> int:
    """Return the sort key of a host by its status; the lowest number is the most urgent.

    Broken hosts come first. Then come all other hosts with open alerts, even if their status is
    good, because clients can have problems that probes don't observe. The remaining hosts follow,
    those with the worst status first.
    """
    position = hosts.WORST_FIRST.index(host.status)
    return 2 * position if position == 0 or not host.alerts else 1


def _days(days: float | None) -> float:
    return _NEVER if days is None else days


@dataclass(frozen=True)
class Served:
    """A chain that a host presents to some locations (machines that probe hosts).

    Attributes:
        vantages: the latest probe results of these locations.
        picture: the chain as SVG.
        certificates: the certificates of the verified certification path, or of the served chain if
            it didn't verify. Each is in a pair with the role of its pin, or with an empty text if
            it isn't pinned.
    """

    vantages: tuple[Vantage, ...]
    picture: Markup
    certificates: tuple[tuple[Issued, str], ...]


def host_page(page: PageRequest) -> Response:
    """Return the page of one host: its chains, pins and their rotation, and reported failures.

    Raises:
        NotFoundError: no monitored pin set covers the host in the URL path.
    """
    name = page.request.path_params["name"]
    with page.connection() as connection:
        host = hosts.host(connection, page.snapshot, page.now, name, page.thresholds)
        if host is None:
            raise NotFoundError(f"a host {name[:80]}")
        policies = page.snapshot.policies_of(name)
        within = report_counts.Range(page.now - _WEEK, page.now)
        only = report_counts.ReportFilter(host=name)
        served = list(_served(connection, host, policies, page))
        rotations = [
            pin_sets.rotation(connection, page, monitored, policy, host)
            for monitored, policy in policies
        ]
        open_ = open_alerts(connection, page.watch.settings.alerts.hold, host=name)
        changes = sightings.changes(connection, name, limit=30)
        counts = failures.top_chains(connection, within, only=only, limit=5)
        chains = chains_with_issuers(connection, page, counts)
        series = failures.series(connection, within, by="reason", only=only)
    title = "Failures of the last week by reason"
    return page.render(
        "host.html",
        host=host,
        healthy=healthy(page, host),
        problems=[PROBLEMS.get(problem, problem) for problem in host.problems],
        served=served,
        rotations=rotations,
        alerts=open_,
        changes=[(change, describe_change(change.what)) for change in changes],
        chains=chains,
        chart=draw_series("failing", title, series, within.until),
        unknowns=list(unknowns.of_host(host, page.now, page.thresholds)),
    )


def describe_change(what: tuple[str, ...]) -> str:
    """Describe in words the differences between two consecutive probe results of a server.

    If both the served chain and the verified certification path are new, only the served chain is
    mentioned. If a new chain has the old key, the text says so.

    Args:
        what: the names of the fields that differ, such as "served" (the chain) or "key".
    """
    words = [
        _CHANGES.get(name, name) for name in what if name != "verified" or "served" not in what
    ]
    if "served" in what and "key" not in what and "outcome" not in what:
        words.append("the same key")
    return ", ".join(words)


def _served(
    connection: Connection,
    host: Host,
    policies: SetPolicies,
    page: PageRequest,
) -> Iterator[Served]:
    """Yield each chain that a host presents, with the locations that receive it, for its page.

    A location is a machine that probes hosts. ``policies`` are the pins of the host.
    """
    by_chain: dict[tuple[str, str], list[Vantage]] = {}
    for vantage in host.vantages:
        if vantage.served:
            by_chain.setdefault((vantage.served, vantage.verified), []).append(vantage)
    for index, ((served, verified), vantages) in enumerate(by_chain.items()):
        ders = load_der(connection, bytes.fromhex(served)) or ()
        path = load_der(connection, bytes.fromhex(verified)) if verified else ()
        if not ders:
            continue
        trusted, pins = _trusted(policies, path or ()), live_pins(policies)
        context = ChainContext(host.name, trusted, pins, page.now)
        picture = chain_picture(f"chain-{index}", ders, context)
        yield Served(tuple(vantages), picture, tuple(_certificates(path or ders, policies)))


def _trusted(policies: SetPolicies, path: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Return the trusted roots for the drawing of a chain, as DER certificates.

    These are the trust anchors of the host's policies, and the root of ``path``, the verified
    chain.
    """
    return tuple(dict.fromkeys((*anchors_of(policies), *path[-1:])))


def _certificates(ders: tuple[bytes, ...], policies: SetPolicies) -> Iterator[tuple[Issued, str]]:
    """Yield a description of each DER certificate, in a pair with the role of its pin.

    A role is, for example, that of a backup pin. ``policies`` are the pins of the host. The role is
    empty for a certificate that isn't pinned.
    """
    pins = live_pins(policies)
    for der in ders:
        issued = describe_certificate(der)
        known = {issued.pin, issued.certificate_pin}
        yield issued, next((entry.role for entry in pins if str(entry.pin) in known), "")
