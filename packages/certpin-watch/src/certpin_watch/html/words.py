"""Format times, durations, numbers and reasons. ``FILTERS`` has the filters of templates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from markupsafe import Markup

from certpin.support.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

_SPANS = (
    (365 * DAY, "year"),
    (30 * DAY, "month"),
    (DAY, "day"),
    (HOUR, "hour"),
    (MINUTE, "minute"),
)
_ONE = {HOUR: "an hour", DAY: "a day", 7 * DAY: "a week"}


def span(length: timedelta) -> str:
    """How long, in one unit: ``3 days``. The sign is left out."""
    length = abs(length)
    if length in _ONE:
        return _ONE[length]
    for size, name in _SPANS:
        # Two of a smaller unit say more than one of the larger: 45 days, 36 hours.
        if length >= (size if size == MINUTE else 2 * size):
            return number(length // size, name)
    return "less than a minute"


def ago(moment: datetime | None, now: datetime) -> str:
    """How long ago, or in how long; ``never`` for nothing."""
    if moment is None:
        return "never"
    if abs(now - moment) < MINUTE:
        return "just now"
    said = span(now - moment)
    return f"{said} ago" if moment <= now else f"in {said}"


def number(count: int, name: str = "", many: str = "") -> str:
    """``1,204 clients``: the number, and the name in its right form."""
    if not name:
        return f"{count:,}"
    return f"{count:,} {name if count == 1 else many or f'{name}s'}"


def date(moment: datetime) -> str:
    """The day."""
    return f"{moment.astimezone(UTC):%Y-%m-%d}"


def minute(moment: datetime) -> Markup:
    """Day and time. A script may show them in the reader's zone (``data-zoned``)."""
    return _zoned("minute", moment, _minute(moment))


def second(moment: datetime) -> Markup:
    """Time of day, to the second."""
    return _zoned("second", moment, f"{moment.astimezone(UTC):%H:%M:%S} UTC")


def time(moment: datetime | None, now: datetime, *, exact: bool = False) -> Markup:
    """How long ago, with the exact moment as its title; ``exact`` adds it as text."""
    if moment is None:
        return Markup("never")
    said = Markup('<time datetime="{}" data-zoned="title" title="{}">{}</time>').format(
        _rfc3339(moment), _minute(moment), ago(moment, now)
    )
    return said + ", " + minute(moment) if exact else said


def _zoned(form: str, moment: datetime, text: str) -> Markup:
    return Markup('<time datetime="{}" data-zoned="{}">{}</time>').format(
        _rfc3339(moment), form, text
    )


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _rfc3339(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def percent(part: float, whole: float) -> str:
    """A share; what is more than nothing is never shown as nothing, and 100 % is all of it."""
    share = 100 * part / whole if whole else 0.0
    if 0 < share < 1:
        return "< 1 %"
    return "> 99 %" if 99 < share < 100 else f"{share:.0f} %"


def started(text: str) -> str:
    """A sentence, begun with a capital."""
    return text[:1].upper() + text[1:]


def brief(text: object, most: int = 60) -> Markup:
    """A text for a list, cut where it is long; the whole of it for whoever points at it."""
    whole = clean(str(text))
    if len(whole) <= most:
        # What is written from right to left turns nothing round that stands beside it.
        return Markup("<bdi>{}</bdi>").format(whole)
    return Markup('<bdi title="{}">{}…</bdi>').format(whole, whole[: most - 1])


# Those of verdicts, of platforms (RFC 7469 clients say `mismatch` for all), of TrustKit, and the
# names of certpin's errors.
_WORDS = {
    "mismatch": "no pin on the path",
    "compromised-key": "a key on the path is marked compromised",
    "expired": "the pins are past their date",
    "no-chain": "there was no chain",
    "debug-anchor": "the debug override",
    "untrusted": "the platform trusts no authority of the chain",
    "name": "the certificate is for another name",
    "date": "a certificate is past its date, or the client's clock is wrong",
    "revoked": "a certificate is revoked",
    "invalid": "the platform refuses a certificate",
    "user-anchor": "an authority that the user installed",
    "bad-parameters": "the app asked for something else",
    "no-spki-hash": "a key of a kind that is not known",
    "UnpinnedHostError": "a host without pins",
    "InsecureRequestError": "a request in clear text",
    "WeakenedContextError": "checks were switched off",
    "UnverifiedSessionError": "a session that was not verified",
}


def reason(value: str) -> str:
    """A reason with what it means: ``untrusted: the platform trusts …``; empty for none."""
    words = _WORDS.get(value)
    return f"{value}: {words}" if words else value


FILTERS: dict[str, Callable[..., Any]] = {
    "ago": ago,
    "brief": brief,
    "date": date,
    "minute": minute,
    "number": number,
    "percent": percent,
    "reason": reason,
    "second": second,
    "span": span,
    "started": started,
    "time": time,
}
