"""What is kept quiet: who asked for it, why, and until when; and the forms that make and end it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from starlette.responses import RedirectResponse

from certpin.errors import InputError
from certpin_watch.alerts.known import doubt, rule_names
from certpin_watch.alerts.quiet import Silence
from certpin_watch.alerts.silences import end_silence, silence
from certpin_watch.auth.audit import audit
from certpin_watch.store.queries import alerts as facts
from certpin_watch.web.pages.asking import Missing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.responses import Response

    from certpin_watch.web.pages.asking import Asked

DURATIONS = {
    "1h": ("an hour", timedelta(hours=1)),
    "4h": ("4 hours", timedelta(hours=4)),
    "1d": ("a day", timedelta(days=1)),
    "3d": ("3 days", timedelta(days=3)),
    "7d": ("7 days", timedelta(days=7)),
}


def overview(asked: Asked, problem: str = "") -> Response:
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
        return overview(asked, f"{exc.problem}; {exc.fix}" if exc.fix else exc.problem)
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
