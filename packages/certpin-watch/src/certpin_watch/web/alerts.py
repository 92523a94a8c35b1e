"""The pages of alerts and silences, and their forms."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from starlette.responses import RedirectResponse

from certpin.errors import InputError
from certpin_watch.alerts import silences
from certpin_watch.html.words import sentence
from certpin_watch.rules.engine import RULES
from certpin_watch.store import alerts as alert_store
from certpin_watch.store.alerts import SilenceRow
from certpin_watch.store.audit import audit
from certpin_watch.store.queries import alerts as queries
from certpin_watch.store.queries import sightings
from certpin_watch.store.queries.failures import ChainCount
from certpin_watch.web.details import chain_digests, details
from certpin_watch.web.failures import describe_chains
from certpin_watch.web.request import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.responses import Response

    from certpin_watch.web.request import PageRequest

_ALERT = "an alert with this number"
_SILENCE = "a silence with this number that has not ended"

DURATIONS = {
    "1h": ("an hour", timedelta(hours=1)),
    "4h": ("4 hours", timedelta(hours=4)),
    "1d": ("a day", timedelta(days=1)),
    "3d": ("3 days", timedelta(days=3)),
    "7d": ("7 days", timedelta(days=7)),
}


def alerts_page(page: PageRequest) -> Response:
    """List the open alerts, the most severe first, or the resolved ones if the query says so."""
    which = page.choice("which", ("open", "resolved"))
    before = page.number("before", 0, 2**53) or None
    settings = page.watch.settings.alerts
    with page.connection() as connection:
        if which == "open":
            items, following = queries.open_alerts(connection, settings.hold, limit=200), None
        else:
            resolved = queries.alerts(
                connection,
                settings.hold,
                which="resolved",
                before=(before,) if before else None,
                limit=50,
            )
            items, following = resolved.items, resolved.next
        active = queries.silences(connection, page.now, settings.silence, active=True).items
        probed = bool(items) or sightings.has_sightings(connection)
    return page.render(
        "alerts.html",
        which=which,
        items=items,
        following=following,
        silences=active,
        probed=probed,
    )


def alert_page(page: PageRequest, problem: str = "") -> Response:
    """Show one alert with its history. ``problem`` is why a submitted form was refused."""
    settings = page.watch.settings.alerts
    row = page.row_number(_ALERT)
    with page.connection() as connection:
        story = queries.alert(connection, settings.hold, row)
        if story is None:
            raise NotFoundError(_ALERT)
        alert = story.alert
        active = [
            silence
            for silence in queries.silences(
                connection, page.now, settings.silence, active=True
            ).items
            if silence.rule in {"", alert.rule} and silence.host in {"", alert.host}
        ]
        chains = describe_chains(connection, page, _chain_counts(alert))
    return page.render(
        "alert.html",
        alert=alert,
        events=list(reversed(story.events)),
        meaning=meaning(alert.rule),
        details=details(alert.details, page.now),
        chains=chains,
        silences=active,
        durations=DURATIONS,
        problem=problem,
    )


def acknowledge(page: PageRequest) -> Response:
    """Acknowledge the alert in the path, and record that in the audit log."""
    return _change_owner(page, "alert.acknowledged")


def unacknowledge(page: PageRequest) -> Response:
    """Withdraw the acknowledgement of the alert in the path, and record that in the audit log."""
    return _change_owner(page, "alert.unacknowledged")


def _change_owner(page: PageRequest, action: str) -> Response:
    row, identity = page.row_number(_ALERT), page.request.state.identity
    at = int(page.now.timestamp())
    try:
        with page.watch.store.write() as connection:
            if action == "alert.acknowledged":
                note = page.form.get("note", "").strip()
                changed = silences.acknowledge(connection, row, identity.name, at, note)
            else:
                changed = silences.unacknowledge(connection, row, identity.name, at)
            if changed:
                audit(connection, identity, action, str(row), at=page.now)
    except InputError as exc:
        return alert_page(page, f"{exc.problem}: {exc.fix}")
    # If another user was faster, the page shows who acknowledged it.
    return RedirectResponse(f"/alerts/{row}", 303)


def _chain_counts(alert: queries.Alert) -> list[ChainCount]:
    return [
        ChainCount(alert.host, digest, count, alert.opened_at, alert.last_at)
        for digest, count in chain_digests(alert.details)
    ]


def meaning(rule: str) -> tuple[str, ...]:
    """Return sentences that explain an alert rule, from its definition; none if it is unknown."""
    found = RULES.get(rule)
    return () if found is None else (f"{sentence(found.summary)}.", found.why)


def silences_page(page: PageRequest, problem: str = "") -> Response:
    """Show all silences and the form for a new one. ``problem`` is why a form was refused."""
    before = page.number("before", 0, 2**53) or None
    with page.connection() as connection:
        found = queries.silences(
            connection,
            page.now,
            page.watch.settings.alerts.silence,
            before=(before,) if before else None,
            limit=50,
        )
    return page.render(
        "silences.html",
        422 if problem else 200,
        items=found.items,
        following=found.next,
        durations=DURATIONS,
        rules=tuple(sorted(RULES)),
        doubts=_doubts(page, found.items),
        problem=problem,
        given={name: page.form.get(name, "") for name in ("rule", "host", "why", "length")},
    )


def create_silence(page: PageRequest) -> Response:
    """Create the silence in the form, and record that in the audit log."""
    try:
        with page.watch.store.write() as connection:
            made = silences.add_silence(connection, _new_silence(page), page.watch.settings.alerts)
            audit(
                connection,
                page.request.state.identity,
                "silence.made",
                f"{made.id}: {made.rule or 'every rule'} at {made.host or 'every host'}",
                at=page.now,
            )
    except InputError as exc:
        return silences_page(page, f"{exc.problem}; {exc.fix}" if exc.fix else exc.problem)
    return RedirectResponse("/silences", 303)


def end_silence(page: PageRequest) -> Response:
    """End the silence in the path before its time, and record that in the audit log."""
    row = page.row_number(_SILENCE)
    with page.watch.store.write() as connection:
        if not alert_store.end_silence(connection, row, int(page.now.timestamp())):
            raise NotFoundError(_SILENCE)
        audit(connection, page.request.state.identity, "silence.ended", str(row), at=page.now)
    return RedirectResponse("/silences", 303)


def _doubts(page: PageRequest, items: Iterable[queries.Silence]) -> dict[str, str]:
    """Return reasons why an active silence may have no effect, by the host that it names."""
    hosts = {item.host for item in items if item.active and item.host}
    doubts = {host: silences.host_warning(host, page.snapshot) for host in hosts}
    return {host: reason for host, reason in doubts.items() if reason}


def _new_silence(page: PageRequest) -> SilenceRow:
    rule, host, why = (page.form.get(name, "").strip() for name in ("rule", "host", "why"))
    _, length = DURATIONS.get(page.form.get("length", ""), ("", timedelta(0)))
    since = int(page.now.timestamp())
    return SilenceRow(
        rule,
        host.lower().rstrip("."),
        since,
        since + int(length.total_seconds()),
        page.request.state.identity.name,
        why,
    )
