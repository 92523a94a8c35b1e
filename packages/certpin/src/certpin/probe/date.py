"""The time of day that a server reports in the header ``Date`` (RFC 9110 section 6.6.1)."""

from __future__ import annotations

import http.client
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from certpin.pins.hosts import join_address
from certpin.probe.dial import DIAL_TIMEOUT, unverified_context
from certpin.support.http import Deadline, exchange

if TYPE_CHECKING:
    import ssl

    from certpin.probe.dial import Observation

_STEPS = 2  # the handshake and the response


def server_time(
    observation: Observation, context: ssl.SSLContext, *, timeout: float = DIAL_TIMEOUT
) -> datetime | None:
    """Send a HEAD request, and return the time that the server reports, in UTC.

    A server whose chain did not verify is asked too: a chain does not verify if the clock of this
    machine is wrong. So the time proves nothing. The request contains no data but the host.

    Args:
        observation: the server, and whether its chain verified.
        context: the context with which it was observed.
        timeout: seconds for each of connecting, the handshake and the response.

    Returns:
        The time, to the second; None if there is none: the server uses STARTTLS, does not answer
        by HTTP, or sends no valid date.
    """
    endpoint = observation.endpoint
    if endpoint.starttls:
        return None
    if observation.verified is None or endpoint.connect is not None:
        context = unverified_context()
    url = f"https://{join_address(*endpoint.address)}/"
    deadline = Deadline(timeout, timeout * _STEPS)
    try:
        answer = exchange("HEAD", url, deadline, context, host=endpoint.address[0])
        found = parsedate_to_datetime(answer.headers.get("Date", ""))
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (OSError, http.client.HTTPException, ValueError, OverflowError):
        return None
