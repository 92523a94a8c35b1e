"""The page ``/calendar``: coming dates, such as expiries, at which clients can be locked out."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING

from certpin.calendar import list_events
from certpin.roots import load_data
from certpin_watch.store.queries import hosts
from certpin_watch.store.queries.chains import load_chains
from certpin_watch.store.queries.sightings import latest_chains

if TYPE_CHECKING:
    from starlette.responses import Response

    from certpin.x509 import Chain
    from certpin_watch.web.request import PageRequest

    _Chains = dict[str, dict[str, list[Chain]]]  # by pin set and host pattern

_AHEAD = timedelta(days=730)
_MAX_EVENTS = 200  # of a pin set


def calendar_page(page: PageRequest) -> Response:
    """Return the page ``/calendar``: dates of each pin set at which clients can be locked out.

    These are dates of the next two years, such as expiries, and past dates that still need an
    action. Events without a date are shown, too.
    """
    verified, served = _latest_chains(page)
    data, today = load_data(), page.now.date()
    sets = []
    for monitored in page.snapshot.sets:
        name = monitored.pins.name
        events = list_events(monitored.pins, verified[name], data, page.now, served=served[name])
        shown = [each for each in events if each.day is None or each.is_due(today, _AHEAD.days)]
        sets.append((name, shown[:_MAX_EVENTS], len(shown)))
    return page.render(
        "calendar.html",
        sets=sets,
        today=today,
        edition=data.edition,
        problems=page.snapshot.problems,
    )


def _latest_chains(page: PageRequest) -> tuple[_Chains, _Chains]:
    """Return the chains of the latest probe results, by pin set and host pattern.

    Returns:
        A pair: the verified certification paths, and the chains as the servers sent them. In each
        of the two, the first key is the name of a pin set, and the second key a host pattern of
        this pin set.
    """
    verified: _Chains = defaultdict(lambda: defaultdict(list))
    served: _Chains = defaultdict(lambda: defaultdict(list))
    with page.connection() as connection:
        seen = latest_chains(connection, hosts.names(connection, page.snapshot))
        stored = load_chains(connection, {digest for _, *pair in seen for digest in pair})
    for host, sent, path in seen:
        for monitored, policy in page.snapshot.policies_of(host):
            for found, digest in ((verified, path), (served, sent)):
                if chain := stored.get(digest):
                    found[monitored.pins.name][str(policy.pattern)].append(chain)
    return verified, served
