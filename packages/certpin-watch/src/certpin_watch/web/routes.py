"""The URLs of all web pages, their forms and static files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import BaseRoute, Route

from certpin_watch.auth.access import require
from certpin_watch.html import static
from certpin_watch.permissions import ANYONE, READ, SILENCE
from certpin_watch.web import about, alerts, calendar, failures, hosts, pin_sets
from certpin_watch.web.request import endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.responses import Response

    from certpin_watch.context import Watch
    from certpin_watch.web.request import PageRequest

# A new page is a function, a template and a line here.
_PAGES: tuple[tuple[str, Callable[[PageRequest], Response]], ...] = (
    ("/", hosts.fleet_page),
    ("/hosts/{name}", hosts.host_page),
    ("/failures", failures.failures_page),
    ("/failures/chains/{digest}", failures.chain_page),
    ("/pin-sets", pin_sets.pin_sets_page),
    ("/pin-sets/{name}", pin_sets.pin_set_page),
    ("/calendar", calendar.calendar_page),
    ("/alerts", alerts.alerts_page),
    ("/alerts/{number}", alerts.alert_page),
    ("/silences", alerts.silences_page),
    ("/live", failures.live_page),
    ("/about", about.about_page),
)
_FORMS: tuple[tuple[str, Callable[[PageRequest], Response]], ...] = (
    ("/silences", alerts.create_silence),
    ("/silences/{number}/end", alerts.end_silence),
    ("/alerts/{number}/acknowledge", alerts.acknowledge),
    ("/alerts/{number}/unacknowledge", alerts.unacknowledge),
)


def page_routes(watch: Watch) -> list[BaseRoute]:
    """Return the routes of the web pages, their forms and static files."""
    return [
        *(Route(path, endpoint(watch, page, READ), methods=["GET"]) for path, page in _PAGES),
        *(Route(path, endpoint(watch, form, SILENCE), methods=["POST"]) for path, form in _FORMS),
        # The login page needs the files, and they contain no data.
        Route("/static/{name}", require(ANYONE)(static), methods=["GET"]),
    ]
