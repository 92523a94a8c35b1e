"""Format times, durations, numbers and reasons. ``FILTERS`` are the functions as Jinja filters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from markupsafe import Markup

from certpin.support.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

_UNITS = (
    (365 * DAY, "year"),
    (30 * DAY, "month"),
    (DAY, "day"),
    (HOUR, "hour"),
    (MINUTE, "minute"),
)
_SINGLE = {HOUR: "an hour", DAY: "a day", 7 * DAY: "a week"}

# Reasons of certpin's verdicts, of platforms, of TrustKit, and names of certpin's errors. Clients
# of RFC 7469 report `mismatch` for every failure.
_REASONS = {
    "mismatch": "no pin on the path",
    "compromised-key": "a key on the path is marked compromised",
    "expired": "the pins have expired",
    "no-chain": "there was no chain",
    "debug-anchor": "the debug override",
    "untrusted": "the platform trusts no authority of the chain",
    "name": "the certificate is for another name",
    "date": "a certificate has expired, or the client's clock is wrong",
    "revoked": "a certificate is revoked",
    "invalid": "the platform refuses a certificate",
    "user-anchor": "an authority that the user installed",
    "bad-parameters": "the app asked for something else",
    "no-spki-hash": "a key of an unknown type",
    "UnpinnedHostError": "a host without pins",
    "InsecureRequestError": "a request in clear text",
    "WeakenedContextError": "checks were switched off",
    "UnverifiedSessionError": "a session that was not verified",
}


def span(length: timedelta) -> str:
    """Return a duration as text in one unit, such as ``3 days``. The sign is ignored."""
    length = abs(length)
    if length in _SINGLE:
        return _SINGLE[length]
    for size, name in _UNITS:
        # A unit begins at two: 45 days are more precise than a month, 36 hours than a day.
        if length >= (size if size == MINUTE else 2 * size):
            return number(length // size, name)
    return "less than a minute"


def ago(moment: datetime | None, now: datetime) -> str:
    """Return a relative time, such as ``3 days ago`` or ``in 2 hours``; ``never`` for None."""
    if moment is None:
        return "never"
    if abs(now - moment) < MINUTE:
        return "just now"
    length = span(now - moment)
    return f"{length} ago" if moment <= now else f"in {length}"


def number(count: int, noun: str = "", plural: str = "") -> str:
    """Return a number with thousands separators and a noun, such as ``1,204 clients``."""
    if not noun:
        return f"{count:,}"
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def date(moment: datetime) -> str:
    """Return a time's date in UTC, such as ``2026-03-01``."""
    return f"{moment.astimezone(UTC):%Y-%m-%d}"


def minute(moment: datetime) -> Markup:
    """Return date and time in UTC, as HTML that a script can convert to the user's time zone."""
    return _time_element("minute", moment, _minute(moment))


def second(moment: datetime) -> Markup:
    """Return the time of day in UTC, with seconds, as HTML."""
    return _time_element("second", moment, f"{moment.astimezone(UTC):%H:%M:%S} UTC")


def time(moment: datetime | None, now: datetime, *, exact: bool = False) -> Markup:
    """Return a relative time as HTML; the tooltip, and the text if ``exact``, has date and time."""
    if moment is None:
        return Markup("never")
    relative = Markup('<time datetime="{}" data-zoned="title" title="{}">{}</time>').format(
        _rfc3339(moment), _minute(moment), ago(moment, now)
    )
    return relative + ", " + minute(moment) if exact else relative


def _time_element(form: str, moment: datetime, text: str) -> Markup:
    return Markup('<time datetime="{}" data-zoned="{}">{}</time>').format(
        _rfc3339(moment), form, text
    )


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _rfc3339(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def percent(part: float, whole: float) -> str:
    """Return a share as text in percent: ``0 %`` only for none, ``100 %`` only for all."""
    share = 100 * part / whole if whole else 0.0
    if 0 < share < 1:
        return "< 1 %"
    return "> 99 %" if 99 < share < 100 else f"{share:.0f} %"


def sentence(text: str) -> str:
    """Return a text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def brief(text: object, maximum: int = 60) -> Markup:
    """Return a text cut to ``maximum`` characters, as HTML with the whole text as its tooltip."""
    whole = clean(str(text))
    if len(whole) <= maximum:
        # <bdi>: right-to-left text does not reorder the text around it.
        return Markup("<bdi>{}</bdi>").format(whole)
    return Markup('<bdi title="{}">{}…</bdi>').format(whole, whole[: maximum - 1])


def reason(value: str) -> str:
    """Return the failure reason in a report with its meaning: ``untrusted: the platform trusts …``.

    An unknown reason is returned unchanged: clients may report any text.
    """
    meaning = _REASONS.get(value)
    return f"{value}: {meaning}" if meaning else value


FILTERS: dict[str, Callable[..., Any]] = {
    "ago": ago,
    "brief": brief,
    "date": date,
    "minute": minute,
    "number": number,
    "percent": percent,
    "reason": reason,
    "second": second,
    "sentence": sentence,
    "span": span,
    "time": time,
}
