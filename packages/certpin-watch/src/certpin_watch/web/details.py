"""Show the details of an alert with labels and units.

Rules store details as JSON for programs: seconds since 1970, digests, numbers without a unit. Pages
show times, counted nouns and names. A test fails if a rule writes a detail that is missing here.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from certpin.support.text import clean
from certpin_watch.html.words import number, time

if TYPE_CHECKING:
    from collections.abc import Callable

    Shown = str | Markup
    Show = Callable[[Any, datetime], Shown]

_MOST_VALUES = 20
_LONGEST = 400  # characters of a value
_LATEST = 253_402_300_799  # seconds: the end of year 9999
# They are shown elsewhere on the page: the number of clients in a tile, the chains as links.
ELSEWHERE = frozenset({"clients", "chains"})


def details(text: str, now: datetime) -> list[tuple[str, Shown]]:
    """Return the details of an alert, labelled; text that cannot be read as it is.

    Raises nothing, whatever the text is.
    """
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        found = text
    if not isinstance(found, dict):
        return [("Details", _short(found))]
    return [
        (_label(name), _value(name, value, now))
        for name, value in found.items()
        if name not in ELSEWHERE and value not in (None, "", [], {})
    ]


def digests(text: str) -> list[tuple[str, int]]:
    """Return the digests of the chains that clients met, each with its number of reports."""
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return []
    pairs = found.get("chains") if isinstance(found, dict) else None
    return [
        (pair[0], pair[1])
        for pair in (pairs if isinstance(pairs, list) else [])[:_MOST_VALUES]
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
        return _short(value)  # an older version wrote it in another shape


def _text(value: Any, now: datetime) -> Shown:
    """Text, a number, or a list of them; anything deeper as JSON."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(_text(each, now)) for each in value[:_MOST_VALUES])
    return _short(value)


def _short(value: object) -> str:
    plain = value if isinstance(value, (str, int, float)) else json.dumps(value, default=str)
    return str(plain)[:_LONGEST]


def _moment(value: Any, now: datetime) -> Shown:
    if not 0 <= value <= _LATEST:
        raise ValueError("no moment")
    return time(datetime.fromtimestamp(value, UTC), now, exact=True)


def _counted(noun: str) -> Show:
    def show(value: Any, _: datetime) -> Shown:
        return number(int(value), noun)

    return show


def _pairs(value: Any, now: datetime) -> Shown:
    """What most reports say, each with its number; a plain list without numbers."""
    if not all(isinstance(each, list) for each in value):
        return _text(value, now)
    return ", ".join(
        f"{str(said)[:80]} ({number(int(count), 'report')})" for said, count in value[:_MOST_VALUES]
    )


def _certificates(value: Any, now: datetime) -> Shown:
    """A certificate, or a chain: the subject of each, and the pin of its key; or a bare pin."""
    if isinstance(value, str):
        return Markup("<code>{}</code>").format(_short(value))
    some = [value] if isinstance(value, dict) else value[:_MOST_VALUES]
    return Markup("<br>").join(
        Markup("{} <code>{}</code>").format(clean(_short(each["subject"])), _short(each["pin"]))
        for each in some
    )


def _keys(value: Any, now: datetime) -> Shown:
    """The pins that each location sees."""
    return Markup("<br>").join(
        Markup("{}: <code>{}</code>").format(clean(_short(name)), _text(pins, now))
        for name, pins in list(value.items())[:_MOST_VALUES]
    )


def _percent(value: Any, _: datetime) -> Shown:
    return f"{float(value):g} %"


def _days(value: Any, _: datetime) -> Shown:
    return f"{float(value):g} days"


KNOWN: dict[str, tuple[str, Show]] = {
    "a_day": ("Reports in a day", _counted("report")),
    "address": ("Address", _text),
    "advice": ("Advice", _text),
    "after": ("Now", _certificates),
    "app": ("App", _text),
    "app_versions": ("App versions", _pairs),
    "asked": ("Asked last", _moment),
    "authority": ("An authority issued it for this host", _text),
    "before": ("Before", _certificates),
    "certificate": ("Certificate", _certificates),
    "chain": ("Chain", _certificates),
    "code": ("OpenSSL's error number", _text),
    "expected": ("At the rate of the last day", _days),
    "expires": ("Expires", _moment),
    "fix": ("Advice", _text),
    "free": ("Free on the disk", _percent),
    "heard": ("Answered last", _moment),
    "hour": ("In the last hour", _counted("report")),
    "hours": ("Without a report for", _counted("hour")),
    "issuer": ("Issuer", _text),
    "keys": ("Keys, by location", _keys),
    "left_out": ("Left out", _text),
    "let_through": ("Let through", _counted("report")),
    "log": ("Log", _text),
    "longest": ("Longest such time in the week before", _counted("hour")),
    "messages": ("Waiting", _counted("message")),
    "names": ("Names", _text),
    "networks": ("Networks", _pairs),
    "next": ("What to do", _text),
    "not_after": ("Expires", _moment),
    "not_before": ("Valid from", _moment),
    "pin": ("Pin", _certificates),
    "places": ("Seen from", _text),
    "problem": ("Problem", _text),
    "recognised": ("Repeats are recognised for", _days),
    "refused_by_platform": ("Refused by the client's own platform", _counted("report")),
    "refused_from": ("Refused from", _text),
    "reports": ("In the last day", _counted("report")),
    "role": ("Signature of", _text),
    "service": ("Service", _text),
    "since": ("Since", _moment),
    "told_from": ("Reported from", _counted("network")),
    "usual": ("Usual in an hour", _counted("report")),
    "vantage": ("Location", _text),
    "version": ("Pin-set version", _text),
    "versions": ("Pin-set versions", _text),
    "what": ("What", _text),
}
