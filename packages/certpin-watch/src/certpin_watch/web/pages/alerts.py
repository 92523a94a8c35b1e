"""What is wrong: open alerts, one with all that became of it, and what keeps them quiet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import RedirectResponse

from certpin.errors import InputError
from certpin_watch.alerts import book
from certpin_watch.auth.audit import audit
from certpin_watch.store.queries import alerts as facts
from certpin_watch.store.queries import sightings
from certpin_watch.store.queries.failures import ChainCount
from certpin_watch.web.pages.asking import Missing
from certpin_watch.web.pages.details import details, digests
from certpin_watch.web.pages.meanings import meaning
from certpin_watch.web.pages.met import described
from certpin_watch.web.pages.silences import DURATIONS

if TYPE_CHECKING:
    from starlette.responses import Response

    from certpin_watch.web.pages.asking import Asked

_NONE = "an alert of this number"


def overview(asked: Asked) -> Response:
    """The open ones, the worst first; or those that are over."""
    which = asked.choice("which", ("open", "resolved"))
    before = asked.number("before", 0, 2**53) or None
    settings = asked.watch.settings.alerts
    with asked.connection() as connection:
        if which == "open":
            items, following = facts.open_alerts(connection, settings, limit=200), None
        else:
            page = facts.alerts(
                connection,
                settings,
                which="resolved",
                before=(before,) if before else None,
                limit=50,
            )
            items, following = page.items, page.next
        quiet = facts.silences(connection, asked.now, settings, active=True).items
        judged = bool(items) or sightings.has_sightings(connection)
    return asked.page(
        "alerts.html",
        which=which,
        items=items,
        following=following,
        silences=quiet,
        judged=judged,
    )


def alert(asked: Asked, problem: str = "") -> Response:
    """One of them. ``problem`` is why a form was refused."""
    number = asked.numbered(_NONE)
    with asked.connection() as connection:
        story = facts.alert(connection, asked.watch.settings.alerts, number)
        if story is None:
            raise Missing(_NONE)
        quiet = [
            each
            for each in facts.silences(
                connection, asked.now, asked.watch.settings.alerts, active=True
            ).items
            if each.rule in {"", story.alert.rule} and each.host in {"", story.alert.host}
        ]
        met = described(connection, asked, _met(story.alert))
    return asked.page(
        "alert.html",
        alert=story.alert,
        events=list(reversed(story.events)),
        meaning=meaning(story.alert.rule),
        details=details(story.alert.details, asked.now),
        chains=met,
        silences=quiet,
        durations=DURATIONS,
        problem=problem,
    )


def acknowledge(asked: Asked) -> Response:
    """Take on an alert, and record who did."""
    return _mark(asked, "alert.acknowledged")


def unacknowledge(asked: Asked) -> Response:
    """Give an alert back, and record who did."""
    return _mark(asked, "alert.unacknowledged")


def _mark(asked: Asked, what: str) -> Response:
    number, visitor = asked.numbered(_NONE), asked.request.state.visitor
    at = int(asked.now.timestamp())
    try:
        with asked.watch.store.write() as connection:
            if what == "alert.acknowledged":
                note = asked.form.get("note", "").strip()
                changed = book.acknowledge(connection, number, visitor.name, at, note)
            else:
                changed = book.unacknowledge(connection, number, visitor.name, at)
            if changed:
                audit(connection, visitor, what, str(number), at=asked.now)
    except InputError as exc:
        return alert(asked, f"{exc.problem}: {exc.fix}")
    # If another person was faster, the page says who has it.
    return RedirectResponse(f"/alerts/{number}", 303)


def _met(found: facts.Alert) -> list[ChainCount]:
    return [
        ChainCount(found.host, digest, count, found.opened_at, found.last_at)
        for digest, count in digests(found.details)
    ]
