"""Alertmanager as a service that is notified, by its API v2.

    alertmanagers://USER:PASSWORD@alerts.bank.example:9093/PREFIX      without the s: no TLS

An alert has the labels ``alertname`` (the rule), ``severity``, ``host``, ``pin_set`` and ``id``.
What may change while it goes on is in annotations, because labels are an alert's identity there.
Alertmanager resolves alerts that are not repeated, so open alerts are sent again each minute, as
Prometheus does. Redirects are not followed, and no proxy of the environment is used.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from sqlalchemy import select

from certpin.errors import ConfigError
from certpin_watch.alerts.book import alert_of
from certpin_watch.alerts.message import clients_words, link
from certpin_watch.alerts.wording import command_line, harmless
from certpin_watch.store.tables.alerts import ALERTS, TELLINGS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from certpin_watch.alerts.message import Message
    from certpin_watch.alerts.settings import Tell
    from certpin_watch.alerts.state import Alert

SCHEMES = ("alertmanager", "alertmanagers")
EVERY = 60  # seconds after which open alerts are sent again
_LASTS = 5 * EVERY  # seconds after which Alertmanager resolves an alert that is not sent again
_PORT = 9093
_PATIENCE = 15.0  # seconds for each step of a request
_MOST = 1000  # alerts in a request
_LONGEST = 600  # characters of an annotation


@dataclass(frozen=True)
class _Address:
    secure: bool
    host: str
    port: int
    path: str
    headers: dict[str, str]


class AlertmanagerService:
    """One Alertmanager. Its ``repr`` has its name and no more: the address is a secret."""

    has_incidents = False

    def __init__(self, tell: Tell) -> None:
        """Raises ``ConfigError`` if the address is none."""
        self.name = tell.name
        self._tell = tell
        self._address()

    def __repr__(self) -> str:
        return f"AlertmanagerService({self.name!r})"

    def send(self, message: Message, incident: str = "") -> str:
        """Send the alerts of a message. Return why that failed, or an empty text.

        Raises nothing. ``incident`` has no meaning here: the labels are the identity.
        """
        del incident
        return self.post([each.alert for each in message.items], message.at, message.url)

    def post(self, alerts: Iterable[Alert], now: int, url: str) -> str:
        """Send alerts as they are now. Return why that failed, or an empty text."""
        body = json.dumps([as_sent(each, now, url) for each in alerts]).encode()
        try:
            status = self._post(self._address(), body)
        except (OSError, http.client.HTTPException) as exc:
            return f"it could not be reached ({type(exc).__name__})"
        return "" if 200 <= status < 300 else f"it answered with status {status}"

    def _post(self, address: _Address, body: bytes) -> int:
        connection: http.client.HTTPConnection
        if address.secure:
            connection = http.client.HTTPSConnection(
                address.host,
                address.port,
                timeout=_PATIENCE,
                context=ssl.create_default_context(),
            )
        else:
            connection = http.client.HTTPConnection(address.host, address.port, timeout=_PATIENCE)
        try:
            connection.request("POST", address.path, body, address.headers)
            return connection.getresponse().status
        finally:
            connection.close()

    def _address(self) -> _Address:
        """Read the address anew: a secret that is kept in a file may have changed."""
        wrong = ConfigError(
            f"the address of {self.name} is none of an Alertmanager",
            key="alerts.tell",
            fix="alertmanagers://USER:PASSWORD@HOST:PORT/PREFIX, of which only HOST is needed",
        )
        try:
            parts = urlsplit(self._tell.url.reveal())
            host, port = parts.hostname or "", parts.port or _PORT
        except ValueError:
            raise wrong from None  # what it says quotes the address
        if not host or parts.query or parts.fragment:
            raise wrong
        headers = {"Content-Type": "application/json"}
        if parts.username is not None:
            words = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            encoded = base64.b64encode(words.encode()).decode()
            headers["Authorization"] = f"Basic {encoded}"
        path = parts.path.rstrip("/") + "/api/v2/alerts"
        return _Address(parts.scheme == "alertmanagers", host, port, path, headers)


def as_sent(alert: Alert, now: int, url: str) -> dict[str, Any]:
    """Return an alert as Alertmanager's API v2 has it (``postableAlert``)."""
    labels = {
        "alertname": alert.rule,
        "severity": alert.severity,
        "host": alert.host,
        "pin_set": alert.pin_set,
        "id": "" if alert.id is None else str(alert.id),
        "service": "certpin",
    }
    annotations = {
        "summary": harmless(alert.summary, _LONGEST),
        "clients": clients_words(alert.clients),
        "command": command_line(alert.command),
        "state": alert.state,
        "acknowledged_by": alert.acknowledged_by,
    }
    ends = now + _LASTS if alert.resolved_at is None else alert.resolved_at
    return {
        "labels": {name: harmless(value, 200) for name, value in labels.items() if value},
        "annotations": {name: value for name, value in annotations.items() if value},
        "startsAt": _moment(alert.opened_at),
        # Alertmanager refuses an alert that ends before it starts.
        "endsAt": _moment(max(ends, alert.opened_at)),
        "generatorURL": link(alert, url),
    }


def standing(connection: Connection, service: str) -> tuple[Alert, ...]:
    """Return the open alerts of which this service was notified."""
    told = select(TELLINGS.c.alert).where(
        TELLINGS.c.service == service, TELLINGS.c.told_at.is_not(None)
    )
    wanted = select(ALERTS).where(ALERTS.c.resolved_at.is_(None), ALERTS.c.id.in_(told))
    rows = connection.execute(wanted.order_by(ALERTS.c.id).limit(_MOST))
    return tuple(map(alert_of, rows))


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
