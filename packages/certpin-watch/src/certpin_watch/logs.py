"""What ``certpin serve`` logs, and how: the table ``[log]`` of ``watch.toml``.

Alerts and problems are always logged, to standard error. On demand requests are, too, and each line
is a JSON object. A line never contains a query, a header, a body or a whole address: the network of
a client is cut as in reports.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from certpin.x509 import printable
from certpin_watch.auth.origin import origin_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from certpin.pinfile.fields import Table
    from certpin_watch.settings import Settings as AllSettings

FORMATS = ("text", "json")
KNOWN = ("format", "requests")
_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_LONGEST_PATH = 200  # characters

log = logging.getLogger("certpin.watch.requests")


@dataclass(frozen=True)
class Settings:
    """``format`` of each line, and whether ``requests`` are logged."""

    format: Literal["text", "json"] = "text"
    requests: bool = False


def read(table: Table) -> Settings:
    """Read the table. Raises ``ConfigError``."""
    return Settings(
        format=table.choice("format", FORMATS, "text"),
        requests=table.flag("requests", default=False),
    )


def configure(settings: Settings) -> None:
    """Log to standard error from now on, as the settings say."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if settings.format == "json" else logging.Formatter(_TEXT))
    logging.basicConfig(handlers=[handler])
    logging.getLogger("certpin.watch").setLevel(logging.INFO)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time`` (RFC 3339, UTC), ``level``, ``logger``, ``message``, fields.

    The fields are those that a call gives as ``extra={"fields": {…}}``.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        at = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(getattr(record, "fields", {}) | line, default=str)


def logged(app: ASGIApp, settings: AllSettings) -> ASGIApp:
    """Return the application, with each of its requests logged if the settings say so."""
    if not settings.log.requests:
        return app

    async def with_log(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        begun, status = time.monotonic(), 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await app(scope, receive, noting)
        finally:
            _write(scope, settings, status, time.monotonic() - begun)

    return with_log


def _write(scope: Scope, settings: AllSettings, status: int, seconds: float) -> None:
    fields = {
        "method": printable(scope["method"][:20]),
        "path": printable(scope["path"][:_LONGEST_PATH]),
        "status": status,
        "seconds": round(seconds, 4),
        "network": origin_of(scope, settings).source,
    }
    words = "{method} {path} {status}, {seconds} s, from {network}".format_map(fields)
    log.info("%s", words, extra={"fields": fields})
