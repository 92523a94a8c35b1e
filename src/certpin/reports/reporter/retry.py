"""What an answer means, and when to ask again: pure, with clock and luck passed in."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.reports.reporter.settings import ReporterSettings

# sent: it is durable over there. refused: it never will be. plain: it may be without gzip. later:
# it may be, if it is sent again.
Meaning = Literal["sent", "refused", "plain", "later"]

MOST_WAIT = 24 * 3600.0  # seconds: a server that asks for more is one that is broken
_DOUBLINGS = 20  # of half a minute are a year
_SECONDS_DIGITS = 9


@dataclass(frozen=True)
class Answer:
    """What a server said: the status, 0 where it said nothing, and its ``Retry-After``.

    ``problem`` is why it said nothing, and ``unverified`` that its certificate is to blame.
    """

    status: int
    retry_after: str = ""
    problem: str = ""
    unverified: bool = False


def meaning(answer: Answer, *, packed: bool) -> Meaning:
    """What to do with a report. A redirect is a refusal: it is not followed (nor is a host moved).

    Of 4xx only 408 and 429 may end otherwise another time (RFC 9110 section 15.5.9, RFC 6585
    section 4), and 415 where what was sent was packed (RFC 7694 section 3).
    """
    status = answer.status
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return "sent"
    if status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE and packed:
        return "plain"
    if status in {0, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}:
        return "later"
    if status < HTTPStatus.OK or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "later"
    return "refused"


def asked_for(answer: Answer, now: datetime) -> float:
    """The seconds that a server asks to be left alone for (RFC 9110 section 10.2.3); 0 if none."""
    text = answer.retry_after.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:_SECONDS_DIGITS]), MOST_WAIT)
    try:
        seconds = (parsedate_to_datetime(text) - now).total_seconds()
    except (ValueError, TypeError, OverflowError):  # TypeError: a date without a time zone
        return 0.0
    return min(max(seconds, 0.0), MOST_WAIT)


def backed_off(failures: int, luck: float, settings: ReporterSettings) -> float:
    """The seconds to wait after so many failures in a row. ``luck`` is from 0 to 1.

    Up to half of it is luck: a collector that was away is not met by every client at once.
    """
    doublings = 2.0 ** min(failures - 1, _DOUBLINGS)
    steady = min(settings.retry.total_seconds() * doublings, settings.rest.total_seconds())
    return steady * (1 - luck / 2)
