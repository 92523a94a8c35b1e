"""What is wrong: open alerts, one with all that became of it, and what keeps them quiet."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from certpin.watch.facts import alerts as facts
from certpin.watch.facts import sightings
from certpin.watch.web.pages.asking import Missing
from certpin.watch.web.pages.meanings import meaning
from certpin.watch.web.pages.silences import DURATIONS

if TYPE_CHECKING:
    from starlette.responses import Response

    from certpin.watch.web.pages.asking import Asked

_DIGEST = re.compile(r'"([0-9a-f]{64})"', re.ASCII)
_MOST_CHAINS, _MOST_VALUES = 10, 20


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
        judged = bool(items) or sightings.any_exists(connection)
    return asked.page(
        "alerts.html",
        which=which,
        items=items,
        following=following,
        silences=quiet,
        judged=judged,
    )


def alert(asked: Asked) -> Response:
    """One of them."""
    number = asked.numbered("an alert of this number")
    with asked.connection() as connection:
        story = facts.alert(connection, asked.watch.settings.alerts, number)
        if story is None:
            raise Missing("an alert of this number")
        quiet = [
            each
            for each in facts.silences(
                connection, asked.now, asked.watch.settings.alerts, active=True
            ).items
            if each.rule in {"", story.alert.rule} and each.host in {"", story.alert.host}
        ]
    details, chains = _details(story.alert.details)
    return asked.page(
        "alert.html",
        alert=story.alert,
        events=list(reversed(story.events)),
        meaning=meaning(story.alert.rule),
        details=details,
        chains=chains,
        silences=quiet,
        durations=DURATIONS,
    )


def _details(text: str) -> tuple[list[tuple[str, str]], list[str]]:
    """What a rule found, flat enough to read; and the chains among it, which have pages."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return [("details", text)], []
    if not isinstance(found, dict):
        return [("details", str(found))], []
    chains = _DIGEST.findall(json.dumps(found.pop("chains", "")))
    named = [(str(name).replace("_", " "), _value(value)) for name, value in found.items()]
    return named, chains[:_MOST_CHAINS]


def _value(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(_value(each) for each in value[:_MOST_VALUES]) or "none"
    if isinstance(value, dict):
        some = list(value.items())[:_MOST_VALUES]
        return ", ".join(f"{name}: {_value(each)}" for name, each in some) or "none"
    return "not known" if value is None else str(value)
