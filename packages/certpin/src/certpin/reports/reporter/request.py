"""Send one report as an HTTP request, and interpret the response.

The body is compressed with gzip, unless the collector has accepted only uncompressed reports. Only
the status and ``Retry-After`` of the response are read. No redirect is followed, no proxy of the
environment is used, no cookie is kept, and no header identifies the device.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from certpin._version import __version__
from certpin.pins import normalise
from certpin.support.network import exchange

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from datetime import datetime

    from certpin.reports.reporter.settings import ReporterSettings
    from certpin.support.network import Deadline

    # Returns the context that verifies the TLS of a normalised host; None if the report must wait.
    ContextFor = Callable[[str], ssl.SSLContext | None]

# sent: the collector stored it. refused: it never will. plain: repeat at once without gzip. later:
# repeat after a pause.
Outcome = Literal["sent", "refused", "plain", "later"]

MAX_RETRY_AFTER = 24 * 3600.0  # seconds: a server that asks for more is broken
_MAX_DOUBLINGS = 20  # half a minute, doubled 20 times, is a year
_MAX_SECONDS_DIGITS = 9


@dataclass(frozen=True)
class PostResult:
    """A collector's response to a report, or the reason why there was no response.

    Attributes:
        status: the HTTP status; 0 if there was no response.
        retry_after: the header ``Retry-After``; empty if it is missing.
        problem: the reason why there was no response; may be empty.
        unverified: True if there was no response because the server's certificate didn't verify.
        held: True if nothing was sent, because the report waits for a pin set.
    """

    status: int
    retry_after: str = ""
    problem: str = ""
    unverified: bool = False
    held: bool = False


def post(
    address: str,
    document: dict[str, Any],
    deadline: Deadline,
    context_for: ContextFor,
    *,
    packed: bool,
) -> PostResult:
    """Post a report as JSON, and return the response.

    Args:
        address: the URL of the collector.
        document: the report as a JSON object.
        deadline: the time limit of the request.
        context_for: a function that returns the SSL context for a normalised host. It returns
            ``None`` if the report must wait for a pin set: then nothing is sent.
        packed: True to compress the body with gzip.

    Raises:
        OSError: there was no connection, or no response in time.
        http.client.HTTPException: the response is not HTTP.
        HostError: the host in ``address`` is invalid.
    """
    url = urlsplit(address)
    host = normalise(url.hostname or "")
    secure = url.scheme == "https"
    context = context_for(host) if secure else None
    if secure and context is None:
        return PostResult(0, held=True)
    body = json.dumps(document).encode()
    headers = {"Content-Type": "application/json", "User-Agent": f"certpin/{__version__}"}
    if packed:
        body = gzip.compress(body, mtime=0)
        headers["Content-Encoding"] = "gzip"
    answer = exchange("POST", address, deadline, context, host=host, headers=headers, body=body)
    return PostResult(answer.status, answer.headers.get("Retry-After", ""))


def outcome(result: PostResult, *, packed: bool) -> Outcome:
    """Return the outcome of posting a report: the next action of the sender.

    - ``sent``: the collector has stored the report.
    - ``refused``: the collector will never accept the report. Redirects are refusals, too.
    - ``plain``: repeat the request once without compression. A server that can't read gzip should
      respond with 415 (RFC 7694 section 3), but many respond with 400, 422 or 500. So, if the
      report was compressed, 500 without ``Retry-After`` and most refusals lead to this outcome.
      Exceptions are redirects, and 413 (too large): the uncompressed report would be larger.
    - ``later``: repeat the request after a pause. Of the 4xx codes, only 408 and 429 are temporary
      (RFC 9110 section 15.5.9, RFC 6585 section 4).

    Args:
        result: the collector's response.
        packed: True if the request's body was compressed.
    """
    status = result.status
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return "sent"
    if status == HTTPStatus.INTERNAL_SERVER_ERROR and packed and not result.retry_after:
        return "plain"
    if status in {0, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}:
        return "later"
    if status < HTTPStatus.OK or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "later"
    redirected = status < HTTPStatus.BAD_REQUEST
    if not packed or redirected or status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return "refused"
    return "plain"


def retry_after_seconds(result: PostResult, now: datetime) -> float:
    """Return the seconds in the response's ``Retry-After``, at most a day.

    Return 0 if the header is missing or invalid. The header has a number or a date (RFC 9110
    section 10.2.3). ``result`` is the response, and ``now`` the current time.
    """
    text = result.retry_after.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:_MAX_SECONDS_DIGITS]), MAX_RETRY_AFTER)
    try:
        seconds = (parsedate_to_datetime(text) - now).total_seconds()
    except (ValueError, TypeError, OverflowError):  # TypeError: a date without a time zone
        return 0.0
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def backoff_seconds(failures: int, jitter: float, settings: ReporterSettings) -> float:
    """Return the seconds to wait before the next request to a collector that failed.

    Args:
        failures: the number of failed requests in a row; each doubles the wait.
        jitter: a random number from 0 to 1, which shortens the wait by up to a half. So the clients
            don't all return at the same time to a collector that was down.
        settings: the first wait (``retry``) and the longest wait (``rest``).
    """
    doublings = 2.0 ** min(failures - 1, _MAX_DOUBLINGS)
    maximum = min(settings.retry.total_seconds() * doublings, settings.rest.total_seconds())
    return maximum * (1 - jitter / 2)
