"""The pages of alerts and silences, and their forms."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

from starlette.responses import RedirectResponse

from certpin.errors import InputError
from certpin_watch.alerts import book
from certpin_watch.alerts.known import doubt, rule_names
from certpin_watch.alerts.quiet import Silence
from certpin_watch.alerts.rules import RULES as OF_REPORTS
from certpin_watch.alerts.silences import end_silence, silence
from certpin_watch.html.words import started
from certpin_watch.monitor.rules import RULES as OF_PROBES
from certpin_watch.store.audit import audit
from certpin_watch.store.queries import alerts as facts
from certpin_watch.store.queries import sightings
from certpin_watch.store.queries.failures import ChainCount
from certpin_watch.web.details import details, digests
from certpin_watch.web.failures import describe_chains
from certpin_watch.web.request import Missing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.responses import Response

    from certpin_watch.web.request import Asked


_NONE = "an alert of this number"


def alerts_page(asked: Asked) -> Response:
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
        met = describe_chains(connection, asked, _met(story.alert))
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


DURATIONS = {
    "1h": ("an hour", timedelta(hours=1)),
    "4h": ("4 hours", timedelta(hours=4)),
    "1d": ("a day", timedelta(days=1)),
    "3d": ("3 days", timedelta(days=3)),
    "7d": ("7 days", timedelta(days=7)),
}


def silences_page(asked: Asked, problem: str = "") -> Response:
    """All of them, and the form for a new one."""
    before = asked.number("before", 0, 2**53) or None
    with asked.connection() as connection:
        page = facts.silences(
            connection,
            asked.now,
            asked.watch.settings.alerts,
            before=(before,) if before else None,
            limit=50,
        )
    return asked.page(
        "silences.html",
        422 if problem else 200,
        items=page.items,
        following=page.next,
        durations=DURATIONS,
        rules=rule_names(),
        doubts=_doubts(asked, page.items),
        problem=problem,
        given={name: asked.form.get(name, "") for name in ("rule", "host", "why", "length")},
    )


def make(asked: Asked) -> Response:
    """Make one, and write down who did."""
    wanted = _wanted(asked)
    try:
        with asked.watch.store.write() as connection:
            made = silence(connection, wanted, asked.watch.settings.alerts)
            audit(
                connection,
                asked.request.state.visitor,
                "silence.made",
                f"{made.id}: {made.rule or 'every rule'} at {made.host or 'every host'}",
                at=asked.now,
            )
    except InputError as exc:
        return silences_page(asked, f"{exc.problem}; {exc.fix}" if exc.fix else exc.problem)
    return RedirectResponse("/silences", 303)


def end(asked: Asked) -> Response:
    """End one before its time, and write down who did."""
    number = asked.numbered("a silence of this number that could end")
    with asked.watch.store.write() as connection:
        if not end_silence(connection, number, int(asked.now.timestamp())):
            raise Missing("a silence of this number that could end")
        audit(connection, asked.request.state.visitor, "silence.ended", str(number), at=asked.now)
    return RedirectResponse("/silences", 303)


def _doubts(asked: Asked, items: Iterable[facts.Silence]) -> dict[str, str]:
    """By their hosts: why those in force may match nothing."""
    hosts = {each.host for each in items if each.active and each.host}
    found = {host: doubt(host, asked.snapshot) for host in hosts}
    return {host: why for host, why in found.items() if why}


def _wanted(asked: Asked) -> Silence:
    given = {name: asked.form.get(name, "").strip() for name in ("rule", "host", "why")}
    _, length = DURATIONS.get(asked.form.get("length", ""), ("", timedelta(0)))
    since = int(asked.now.timestamp())
    return Silence(
        given["rule"],
        given["host"].lower().rstrip("."),
        since,
        since + int(length.total_seconds()),
        asked.request.state.visitor.name,
        given["why"],
    )


def meaning(rule: str) -> tuple[str, ...]:
    """Sentences; none for a rule that nobody knows any more."""
    return _meanings().get(rule, ())


@cache
def _meanings() -> dict[str, tuple[str, ...]]:
    said: dict[str, tuple[str, ...]] = {
        rule.id: (f"{started(rule.summary)}.", rule.why) for rule in OF_PROBES
    }
    for name, rule in OF_REPORTS.items():
        # The first line of such a module is the name of the rule and what it finds.
        text = (rule.__doc__ or "").partition(": ")[2]
        said[name] = tuple(started(" ".join(part.split())) for part in text.split("\n\n") if part)
    return said
