"""Read a server's clock from the HTTP header ``Date`` (RFC 9110 section 6.6.1)."""

from __future__ import annotations

import http.client
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from certpin.pins.hosts import join_address
from certpin.probe.dial import DIAL_TIMEOUT, unverified_context
from certpin.support.http import Deadline, exchange

if TYPE_CHECKING:
    import ssl
    from email.message import Message

    from certpin.probe.dial import Observation

_STEPS = 2  # the handshake and the response
_MAX_DIGITS = 10  # RFC 9111 section 1.2.2: a larger number of seconds is an overflow


def server_time(
    observation: Observation, context: ssl.SSLContext, *, timeout: float = DIAL_TIMEOUT
) -> datetime | None:
    """Send a HEAD request, and return the time that the server reports, in UTC.

    If the chain of the server verified, the connection of this request is verified too. Otherwise
    the server is asked nevertheless, because a chain does not verify if the clock of this machine
    is wrong: then the time proves nothing. The request contains no data but the host.

    Args:
        observation: the server, and whether its chain verified.
        context: the TLS context with which the server was observed.
        timeout: seconds for each of connecting, the handshake and the response.

    Returns:
        The time, to the second; None if there is none: the server uses STARTTLS, does not answer by
        HTTP, or sends no valid date.
    """
    endpoint = observation.endpoint
    if endpoint.starttls:
        return None
    if observation.verified is None:
        context = unverified_context()
    return _time_at(
        f"https://{join_address(endpoint.name, endpoint.port)}/",
        context,
        timeout,
        host=endpoint.name,
        connect=endpoint.address,
    )


def url_time(
    url: str, context: ssl.SSLContext, *, timeout: float = DIAL_TIMEOUT
) -> datetime | None:
    """Send a HEAD request to an ``https://`` URL, and return the time of its server, in UTC.

    Args:
        url: the URL. Any status of the response will do.
        context: verifies the server.
        timeout: seconds for each of connecting, the handshake and the response.

    Returns:
        The time, to the second; None if the server does not answer, its chain does not verify, or
        it sends no valid date.
    """
    return _time_at(url, context, timeout)


def _time_at(
    url: str,
    context: ssl.SSLContext,
    timeout: float,
    *,
    host: str = "",
    connect: tuple[str, int] | None = None,
) -> datetime | None:
    deadline = Deadline(timeout, timeout * _STEPS)
    try:
        answer = exchange("HEAD", url, deadline, context, host=host, connect=connect)
        found = parsedate_to_datetime(answer.headers.get("Date", "")) + _age(answer.headers)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (OSError, http.client.HTTPException, ValueError, OverflowError):
        return None


def _age(headers: Message) -> timedelta:
    """Return how long ago the response was made, if a cache such as a CDN kept it.

    A cache does not change ``Date``; it sends the seconds since then as ``Age`` (RFC 9111
    section 5.1).
    """
    text = headers.get("Age", "").strip()
    is_number = text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
    return timedelta(seconds=int(text)) if is_number else timedelta(0)
