"""The page ``/calendar``: the dates ahead that can lock the clients of the pin sets out."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING

from certpin.calendar import list_events
from certpin.roots import load_data
from certpin_watch.store.queries import hosts
from certpin_watch.store.queries.chains import load_chains
from certpin_watch.store.queries.sightings import PinJudge, current_by_location

if TYPE_CHECKING:
    from starlette.responses import Response

    from certpin.x509 import Chain
    from certpin_watch.web.request import PageRequest

_AHEAD = timedelta(days=730)
_MAX_EVENTS = 200  # of a pin set


def calendar_page(page: PageRequest) -> Response:
    """List the events of the next two years by pin set, with those that are past and still open."""
    chains, data, today = _verified_chains(page), load_data(), page.now.date()
    sets = []
    for watched in page.snapshot.sets:
        name = watched.pins.name
        events = list_events(watched.pins, chains[name], data, page.now)
        shown = [each for each in events if each.day is None or each.is_due(today, _AHEAD.days)]
        sets.append((name, shown[:_MAX_EVENTS], len(shown)))
    return page.render(
        "calendar.html",
        sets=sets,
        today=today,
        edition=data.edition,
        problems=page.snapshot.problems,
    )


def _verified_chains(page: PageRequest) -> dict[str, dict[str, list[Chain]]]:
    """Return the chains that the probes saw last, by pin set and host pattern, each once."""
    found: dict[str, dict[str, list[Chain]]] = defaultdict(lambda: defaultdict(list))
    with page.connection() as connection:
        names = hosts.names(connection, page.snapshot)
        judge = PinJudge(page.snapshot, page.now)
        seen = current_by_location(connection, judge, names, page.thresholds)
        digests = {name: {bytes.fromhex(v.verified) for v in seen[name]} - {b""} for name in names}
        stored = load_chains(connection, set().union(*digests.values()))
    for name in names:
        chains = [chain for digest in sorted(digests[name]) if (chain := stored.get(digest))]
        for watched, policy in page.snapshot.policies_of(name):
            found[watched.pins.name][str(policy.pattern)] += chains
    return found
