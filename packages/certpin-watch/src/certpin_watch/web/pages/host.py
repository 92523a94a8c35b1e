"""One host: what it serves against what was expected, its pins over time, and who complains."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from certpin.lab.report.flaws import ChainContext
from certpin_watch.store.queries import alerts, failures, report_counts, sightings
from certpin_watch.store.queries import chains as kept
from certpin_watch.store.queries import hosts as facts
from certpin_watch.web.pages import rotation, series, unknowns
from certpin_watch.web.pages.asking import Missing
from certpin_watch.web.pages.fleet import right
from certpin_watch.web.pages.met import described
from certpin_watch.web.pictures.chain import chain as picture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markupsafe import Markup
    from sqlalchemy import Connection
    from starlette.responses import Response

    from certpin.pins import HostPin, HostPolicy
    from certpin_watch.snapshot import WatchedSet
    from certpin_watch.store.queries.chains import Issued
    from certpin_watch.store.queries.hosts import Host
    from certpin_watch.store.queries.sightings import Vantage
    from certpin_watch.web.pages.asking import Asked

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
                rotation.of(connection, asked, each, policy, found) for each, policy in policies
            ],
            alerts=alerts.open_alerts(connection, asked.watch.settings.alerts, host=name),
            changes=[
                (each, changed(each.what)) for each in sightings.changes(connection, name, limit=30)
            ],
            chains=described(
                connection, asked, failures.top_chains(connection, within, only=only, limit=5)
            ),
            failing=series.drawn(
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
    for number, ((served, verified), seen) in enumerate(by_chain.items()):
        ders = kept.load_der(connection, bytes.fromhex(served)) or ()
        path = kept.load_der(connection, bytes.fromhex(verified)) if verified else ()
        if not ders:
            continue
        scene = ChainContext(host.name, _trusted(policies, path or ()), _pins(policies), asked.now)
        drawing = picture(f"chain-{number}", ders, scene)
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
