"""Every page, and who may see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import BaseRoute, Route

from certpin_watch.auth.require import require
from certpin_watch.auth.roles import ANYONE, READ, SILENCE
from certpin_watch.web.pages import (
    about,
    alerts,
    failures,
    fleet,
    host,
    live,
    met,
    pin_sets,
    silences,
)
from certpin_watch.web.pages.answering import endpoint
from certpin_watch.web.pages.files import static

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.responses import Response

    from certpin_watch.snapshot import Watch
    from certpin_watch.web.pages.asking import Asked

# A new page is one module, one template, and one line here.
_SEEN: tuple[tuple[str, Callable[[Asked], Response]], ...] = (
    ("/", fleet.fleet),
    ("/hosts/{name}", host.host),
    ("/failures", failures.overview),
    ("/failures/chains/{digest}", met.met),
    ("/pin-sets", pin_sets.overview),
    ("/pin-sets/{name}", pin_sets.pin_set),
    ("/alerts", alerts.overview),
    ("/alerts/{number:int}", alerts.alert),
    ("/silences", silences.overview),
    ("/live", live.live),
    ("/about", about.about),
)
_DONE: tuple[tuple[str, Callable[[Asked], Response]], ...] = (
    ("/silences", silences.make),
    ("/silences/{number:int}/end", silences.end),
    ("/alerts/{number:int}/acknowledge", alerts.acknowledge),
    ("/alerts/{number:int}/unacknowledge", alerts.unacknowledge),
)


def routes(watch: Watch) -> list[BaseRoute]:
    """The pages, what their forms do, and the files that they need."""
    return [
        *(Route(path, endpoint(watch, answer, READ), methods=["GET"]) for path, answer in _SEEN),
        *(Route(path, endpoint(watch, done, SILENCE), methods=["POST"]) for path, done in _DONE),
        # The page for signing in needs them, too; there is nothing of anybody's in them.
        Route("/static/{name}", require(ANYONE)(static), methods=["GET"]),
    ]
