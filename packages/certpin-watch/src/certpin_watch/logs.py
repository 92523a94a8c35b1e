"""The log of ``certpin serve`` on standard error, with the settings in ``[log]`` of ``watch.toml``.

Alerts and problems are always logged. Requests are logged if the settings say so, and each line can
be a JSON object. A line never contains a query, a header, a body or a whole address: the address of
a client is cut to its network, as in reports.
"""

from __future__ import annotations

import json
import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from certpin.support.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from certpin_watch.settings import LogSettings

_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_MAX_PATH = 200  # characters

log = logging.getLogger("certpin.watch.requests")


def configure(settings: LogSettings) -> None:
    """Send the records of all loggers to standard error, as text or as JSON (``[log]``).

    The loggers of the service log from level INFO on, all others from WARNING on.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if settings.format == "json" else TextFormatter(_TEXT))
    logging.basicConfig(handlers=[handler])
    logging.getLogger("certpin.watch").setLevel(logging.INFO)


def _time(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextFormatter(logging.Formatter):
    """Formats a log record as text, with the time in UTC (RFC 3339), as the pages show it."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """Return the time of the record."""
        del datefmt
        return _time(record)


class JsonFormatter(logging.Formatter):
    """Formats a log record as a JSON object.

    The object has the members ``time`` (RFC 3339, UTC), ``level``, ``logger`` and ``message``. If
    the logging call has an exception, ``exception`` is its traceback. All members of
    ``extra={"fields": {…}}`` of the logging call are added.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(getattr(record, "fields", {}) | line, default=str)


def log_requests(
    app: ASGIApp, settings: LogSettings, network_of: Callable[[Scope], str]
) -> ASGIApp:
    """Return an ASGI application that passes requests to ``app``, and logs each request.

    If the settings don't enable this log, ``app`` itself is returned.

    Args:
        app: the application that answers the requests.
        settings: the table ``[log]``.
        network_of: returns the network of the client, from the ASGI scope of a request.
    """
    if not settings.requests:
        return app

    async def with_log(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        start, status = time.monotonic(), 0

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await app(scope, receive, send_and_note)
        finally:
            _log_request(scope, network_of(scope), status, time.monotonic() - start)

    return with_log


def _log_request(scope: Scope, network: str, status: int, seconds: float) -> None:
    fields = {
        "method": printable(scope["method"][:20]),
        "path": printable(scope["path"][:_MAX_PATH]),
        "status": status,
        "seconds": round(seconds, 4),
        "network": network,
    }
    words = "{method} {path} {status}, {seconds} s, from {network}".format_map(fields)
    log.info("%s", words, extra={"fields": fields})
