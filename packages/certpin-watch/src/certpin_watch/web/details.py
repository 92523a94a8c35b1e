"""Format the details of an alert for its page, with labels and units.

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

_MAX_VALUES = 20
_MAX_TEXT = 400  # characters of a value
_LATEST = 253_402_300_799  # the end of the year 9999, in seconds since 1970
# Shown elsewhere on the page: the number of clients in a tile, the chains as links.
ELSEWHERE = frozenset({"clients", "chains"})


def details(text: str, now: datetime) -> list[tuple[str, Shown]]:
    """Return the details of an alert as pairs of a label and a formatted value.

    Args:
        text: the details as JSON. Any other text is returned unchanged: this function never raises.
        now: the time of the page, for relative times.
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
    """Return the reported chains in an alert's details: pairs of digest and number of reports."""
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
    """Format a text, a number, or a list of these; other values as JSON."""
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
    """Format values with their numbers of reports as text, or a list of values without numbers."""
    if not all(isinstance(pair, list) for pair in value):
        return _text(value, now)
    return ", ".join(
        f"{str(text)[:80]} ({number(int(count), 'report')})" for text, count in value[:_MAX_VALUES]
    )


def _certificates(value: Any, now: datetime) -> Shown:
    """Format certificates as HTML with subjects and pins; or a pin, if there is no certificate."""
    if isinstance(value, str):
        return Markup("<code>{}</code>").format(_plain(value))
    certificates = [value] if isinstance(value, dict) else value[:_MAX_VALUES]
    return Markup("<br>").join(
        Markup("{} <code>{}</code>").format(clean(_plain(item["subject"])), _plain(item["pin"]))
        for item in certificates
    )


def _keys(value: Any, now: datetime) -> Shown:
    """Format the pins that each location sees as HTML, a line for each location."""
    return Markup("<br>").join(
        Markup("{}: <code>{}</code>").format(clean(_plain(name)), _text(pins, now))
        for name, pins in list(value.items())[:_MAX_VALUES]
    )


def _percent(value: Any, _: datetime) -> Shown:
    return f"{float(value):g} %"


def _days(value: Any, _: datetime) -> Shown:
    return f"{float(value):g} days"


KNOWN: dict[str, tuple[str, Show]] = {
    "a_day": ("Reports in a day", _count("report")),
    "address": ("Address", _text),
    "advice": ("Advice", _text),
    "after": ("Now", _certificates),
    "app": ("App", _text),
    "app_versions": ("App versions", _pairs),
    "asked": ("Last request", _time),
    "authority": ("An authority issued it for this host", _text),
    "before": ("Before", _certificates),
    "certificate": ("Certificate", _certificates),
    "chain": ("Chain", _certificates),
    "code": ("OpenSSL's error number", _text),
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
    "recognised": ("Repeated reports are recognised for", _days),
    "refused_by_platform": ("Refused by the client's own platform", _count("report")),
    "refused_from": ("Refused from", _text),
    "reports": ("In the last day", _count("report")),
    "role": ("Signature of", _text),
    "service": ("Service", _text),
    "since": ("Since", _time),
    "told_from": ("Reported from", _count("network")),
    "usual": ("Usual number in an hour", _count("report")),
    "vantage": ("Location", _text),
    "version": ("Pin-set version", _text),
    "versions": ("Pin-set versions", _text),
    "what": ("Concerns", _text),
}
