"""The pages of alerts and silences, and their forms.

The pages show the details of an alert. The alert rules store these details as JSON for programs:
seconds since 1970, digests, numbers without a unit. This module converts them to labels, times,
nouns with their numbers, and names. A test fails if a rule writes a detail that this module has no
label for.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from starlette.responses import RedirectResponse

from certpin.errors import InputError
from certpin.support.text import clean, sentence
from certpin_watch.alerts import silences
from certpin_watch.auth.access import problem as problem_response
from certpin_watch.html import noun_for, number, time
from certpin_watch.permissions import READ
from certpin_watch.rules.engine import RULES
from certpin_watch.store import alerts as alert_store
from certpin_watch.store.accounts import audit
from certpin_watch.store.alerts import SilenceRow
from certpin_watch.store.queries import alerts as queries
from certpin_watch.store.queries import sightings
from certpin_watch.store.queries.failures import ChainCount
from certpin_watch.web.failures import chains_with_issuers
from certpin_watch.web.request import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.responses import Response

    from certpin_watch.web.request import PageRequest

    Shown = str | Markup
    Show = Callable[[Any, datetime], Shown]

_ALERT = "an alert with this number"
_SILENCE = "a silence with this number that has not ended"

DURATIONS = {
    "1h": ("an hour", timedelta(hours=1)),
    "4h": ("4 hours", timedelta(hours=4)),
    "1d": ("a day", timedelta(days=1)),
    "3d": ("3 days", timedelta(days=3)),
    "7d": ("7 days", timedelta(days=7)),
}

_MAX_VALUES = 20
_MAX_TEXT = 400  # characters of a value
_LATEST = 253_402_300_799  # the end of the year 9999, in seconds since 1970
# Shown elsewhere on the page: the number of clients in a tile, the chains as links.
ELSEWHERE = frozenset({"clients", "chains"})


def alerts_page(page: PageRequest) -> Response:
    """Return the page ``/alerts``: the open alerts, the most severe first, or the resolved ones.

    The query parameter ``which`` selects open or resolved alerts.
    """
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
    """Return the page of the alert with the number in the URL path, with its history.

    ``problem`` is the reason if a form on this page was refused, else empty.

    Raises:
        NotFoundError: there is no such alert.
    """
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
        chains = chains_with_issuers(connection, page, _chain_counts(alert))
    return page.render(
        "alert.html",
        422 if problem else 200,
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
    """Acknowledge the alert with the number in the URL path, and return a redirect to its page.

    The audit log records the acknowledgement. If the note in the form is too long, return the page
    with the reason. If the alert is not open, or acknowledged already, nothing changes.
    """
    return _change_owner(page, "alert.acknowledged")


def unacknowledge(page: PageRequest) -> Response:
    """Withdraw the acknowledgement of the alert with the number in the URL path.

    The audit log records the withdrawal. Return a redirect to the page of the alert.
    """
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
        return _refused(page, alert_page, f"{exc.problem}: {exc.fix}")
    # If another user was faster, the page shows who acknowledged it.
    return RedirectResponse(f"/alerts/{row}", 303)


def _chain_counts(alert: queries.Alert) -> list[ChainCount]:
    return [
        ChainCount(alert.host, digest, count, alert.opened_at, alert.last_at)
        for digest, count in chain_digests(alert.details)
    ]


def meaning(rule: str) -> tuple[str, ...]:
    """Return sentences that explain an alert rule: its condition, and the consequence.

    ``rule`` is the id of the rule. There are no sentences for an unknown rule, such as a rule of an
    older version of certpin.
    """
    found = RULES.get(rule)
    return () if found is None else (f"{sentence(found.summary)}.", found.why)


def silences_page(page: PageRequest, problem: str = "") -> Response:
    """Return the page ``/silences``: all silences, and the form for a new one.

    ``problem`` is the reason if the form was refused, else empty.
    """
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
    """Create the silence in the submitted form, and return a redirect to the page of silences.

    The audit log records the new silence. If the form is invalid, the page shows the reason.
    """
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
        text = f"{exc.problem}; {exc.fix}" if exc.fix else exc.problem
        return _refused(page, silences_page, text)
    return RedirectResponse("/silences", 303)


def _refused(page: PageRequest, show: Callable[[PageRequest, str], Response], why: str) -> Response:
    """Return the response to a refused form: the page with the form, and the reason.

    If the sender isn't permitted to read pages, return only the reason. For example, a token of a
    program can permit to send the form, but not to read the page.

    Args:
        page: the request with the form.
        show: returns the page with the form, for a request and a reason.
        why: the reason.
    """
    if page.request.state.identity.may(READ):
        return show(page, why)
    return problem_response(page.request, 422, "The form was refused", f"{sentence(why)}.")


def end_silence(page: PageRequest) -> Response:
    """End the silence with the number in the URL path now, before its planned end.

    The audit log records that. Return a redirect to the page of silences.

    Raises:
        NotFoundError: there is no such silence, or it has ended already.
    """
    row = page.row_number(_SILENCE)
    with page.watch.store.write() as connection:
        if not alert_store.end_silence(connection, row, int(page.now.timestamp())):
            raise NotFoundError(_SILENCE)
        audit(connection, page.request.state.identity, "silence.ended", str(row), at=page.now)
    return RedirectResponse("/silences", 303)


def _doubts(page: PageRequest, items: Iterable[queries.Silence]) -> dict[str, str]:
    """Return the hosts of active silences that possibly match no alert, each with the reason.

    ``items`` are the silences. A reason is, for example, that no pin set covers the host. Silences
    for all hosts are left out.
    """
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


def details(text: str, now: datetime) -> list[tuple[str, Shown]]:
    """Return the details of an alert for its page, as pairs of a label and a formatted value.

    Empty values, and values that the page shows in another place (``ELSEWHERE``), are left out.

    Args:
        text: the details as JSON. If it is not JSON, the whole text is returned as a single value,
            and no error is raised.
        now: the time of the page, for times such as "3 days ago".
    """
    try:
        values = json.loads(text or "{}")
    except (ValueError, RecursionError):
        values = text
    if not isinstance(values, dict):
        return [("Details", _plain(values))]
    return [
        (_label(name), _value(name, value, now))
        for name, value in values.items()
        if name not in ELSEWHERE and value not in (None, "", [], {})
    ]


def chain_digests(text: str) -> list[tuple[str, int]]:
    """Return the chains that clients reported, from the details of an alert.

    Each item is a pair of the chain's digest and its number of reports. ``text`` is the details as
    JSON. Values of a different form are ignored.
    """
    try:
        values = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return []
    pairs = values.get("chains") if isinstance(values, dict) else None
    return [
        (pair[0], pair[1])
        for pair in (pairs if isinstance(pairs, list) else [])[:_MAX_VALUES]
        if isinstance(pair, list)
        and len(pair) == 2
        and _is_digest(pair[0])
        and isinstance(pair[1], int)
    ]


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")


def _label(name: str) -> str:
    return KNOWN[name][0] if name in KNOWN else str(name)[:80].replace("_", " ").capitalize()


def _value(name: str, value: Any, now: datetime) -> Shown:
    show = KNOWN[name][1] if name in KNOWN else _text
    try:
        return show(value, now)
    except (TypeError, ValueError, LookupError, AttributeError, OverflowError):
        return _plain(value)  # an older version stored it in another form


def _text(value: Any, now: datetime) -> Shown:
    """Format a value in the details of an alert for the page.

    A boolean becomes "yes" or "no". A list becomes its formatted items with commas. A text or
    number stays as it is, and any other value becomes JSON; all of these are cut if they are long.
    ``now`` is ignored: all functions of the type ``Show``, which format details, have this
    parameter.
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(_text(item, now)) for item in value[:_MAX_VALUES])
    return _plain(value)


def _plain(value: object) -> str:
    plain = value if isinstance(value, (str, int, float)) else json.dumps(value, default=str)
    return str(plain)[:_MAX_TEXT]


def _time(value: Any, now: datetime) -> Shown:
    if not 0 <= value <= _LATEST:
        raise ValueError("not a time")
    return time(datetime.fromtimestamp(value, UTC), now, exact=True)


def _count(noun: str) -> Show:
    def show(value: Any, _: datetime) -> Shown:
        return number(int(value), noun)

    return show


def _pairs(value: Any, now: datetime) -> Shown:
    """Format a list of pairs in an alert's details, such as hosts with their numbers of reports.

    The first item of a pair is a value, the second the number of reports that contain it. If the
    items of the list are not pairs, they are formatted without numbers. ``now`` is ignored (see
    ``Show``).
    """
    if not all(isinstance(pair, list) for pair in value):
        return _text(value, now)
    return ", ".join(
        f"{str(text)[:80]} ({number(int(count), 'report')})" for text, count in value[:_MAX_VALUES]
    )


def _certificates(value: Any, now: datetime) -> Shown:
    """Format one or several certificates, or a pin, in an alert's details as HTML.

    Certificates are shown with subject and pin. ``value`` is a list of them or a single one, as
    JSON values. ``now`` is ignored (see ``Show``).
    """
    if isinstance(value, str):
        return Markup("<code>{}</code>").format(_plain(value))
    certificates = [value] if isinstance(value, dict) else value[:_MAX_VALUES]
    return Markup("<br>").join(
        Markup("{} <code>{}</code>").format(clean(_plain(item["subject"])), _plain(item["pin"]))
        for item in certificates
    )


def _keys(value: Any, now: datetime) -> Shown:
    """Format the pins that each location received, in an alert's details, as HTML.

    ``value`` maps the name of each location to its pins. ``now`` is ignored (see ``Show``). A
    location is a machine that probes hosts.
    """
    return Markup("<br>").join(
        Markup("{}: <code>{}</code>").format(clean(_plain(name)), _text(pins, now))
        for name, pins in list(value.items())[:_MAX_VALUES]
    )


def _percent(value: Any, _: datetime) -> Shown:
    return f"{float(value):g} %"


def _days(value: Any, _: datetime) -> Shown:
    return f"{float(value):g} {noun_for(value, 'day')}"


KNOWN: dict[str, tuple[str, Show]] = {
    "a_day": ("Reports in a day", _count("report")),
    "added": ("Roots that the pin file lacks", _text),
    "address": ("Address", _text),
    "advice": ("Advice", _text),
    "after": ("Now", _certificates),
    "app": ("App", _text),
    "app_versions": ("App versions", _pairs),
    "asked": ("Last request", _time),
    "authority": ("An authority issued it for this host", _text),
    "before": ("Before", _certificates),
    "certificate": ("Certificate", _certificates),
    "certificates": ("Certificates, by location", _keys),
    "chain": ("Chain", _certificates),
    "code": ("OpenSSL's error number", _text),
    "day": ("On", _text),
    "dropped": ("Roots that the provider no longer uses", _text),
    "expected": ("At the rate of the last day", _days),
    "expires": ("Expires", _time),
    "fix": ("Advice", _text),
    "free": ("Free on the disk", _percent),
    "heard": ("Last answer", _time),
    "hour": ("In the last hour", _count("report")),
    "hours": ("Without a report for", _count("hour")),
    "issuer": ("Issuer", _text),
    "keys": ("Keys, by location", _keys),
    "left_out": ("Left out", _text),
    "let_through": ("Let through", _count("report")),
    "log": ("Log", _text),
    "longest": ("Longest time without a report in the week before", _count("hour")),
    "messages": ("Waiting", _count("message")),
    "names": ("Names", _text),
    "networks": ("Networks", _pairs),
    "next": ("What to do", _text),
    "not_after": ("Expires", _time),
    "not_before": ("Valid from", _time),
    "pin": ("Pin", _certificates),
    "places": ("Seen from", _text),
    "problem": ("Problem", _text),
    "providers": ("Providers", _text),
    "recognised": ("Repeated reports are recognised for", _days),
    "refused_by_platform": ("Refused by the client's own platform", _count("report")),
    "refused_from": ("Refused from", _text),
    "reports": ("In the last day", _count("report")),
    "role": ("Signature of", _text),
    "service": ("Service", _text),
    "since": ("Since", _time),
    "source": ("Source", _text),
    "told_from": ("Reported from", _count("network")),
    "usual": ("Usual number in an hour", _count("report")),
    "vantage": ("Location", _text),
    "version": ("Pin-set version", _text),
    "versions": ("Pin-set versions", _text),
    "what": ("Concerns", _text),
}
