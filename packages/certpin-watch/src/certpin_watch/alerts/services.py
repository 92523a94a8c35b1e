"""Notification services: Alertmanager, and every service that apprise supports.

The address of a service is a secret. apprise writes addresses into its log, and the libraries below
it write paths that contain tokens. So all log records of apprise are dropped, and those of the
libraries while a message is sent; only ``AppriseService.send`` reports why sending failed.

apprise has no time limit for a whole message. A server that sends a byte now and then, or the same
line again and again, could block the sending thread for ever. So each message is sent in a thread,
and the connections of this thread are shut down when its time is up. Its responses have a size
limit, too, because requests and smtplib would read an endless response into the memory.

Alertmanager is notified through its API v2:

    alertmanagers://USER:PASSWORD@alerts.bank.example:9093/PREFIX

Without TLS, the address begins with ``alertmanager://``.

An alert has the labels ``alertname`` (the rule), ``severity``, ``host``, ``pin_set`` and ``id``.
Values that can change are annotations, because Alertmanager identifies an alert by its labels.
Redirects are not followed, and no proxy of the environment is used.
"""

from __future__ import annotations

import base64
import http.client
import io
import json
import logging
import re
import smtplib
import ssl
import sys
import time
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from certpin.errors import ConfigError
from certpin.probe import join_address
from certpin.support.network import Deadline, exchange
from certpin.support.text import printable
from certpin_watch.alerts.message import (
    clients_text,
    command_line,
    harmless,
    link,
    message_json,
    render,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin_watch.alerts.message import Format, Message
    from certpin_watch.settings import AlertSettings, NotificationSettings
    from certpin_watch.store.alerts import AlertRow

RESEND_SECONDS = 60  # Alertmanager resolves alerts that are not sent again
FAILED = "it could not be reached, or did not accept the message"
TIMED_OUT = "it gave no answer in time"

_SCHEMES = ("alertmanager", "alertmanagers")
_EXPIRY_SECONDS = 5 * RESEND_SECONDS  # after which Alertmanager resolves an alert
_PORT = 9093
_TIMEOUT = 15.0  # seconds for each step of a request
_MAX_ANNOTATION = 600  # characters
_MAX_RESPONSE = 64 * 1024  # bytes that are read of the responses to a message of apprise
_MAX_RESPONSE_SECONDS = 15.0  # in which the body of an HTTP response is read
_PIECE = 16  # bytes: a server that sends one after the other is noticed soon

_LOGGERS = (
    *("apprise", "urllib3", "urllib3.connectionpool", "urllib3.util.retry", "requests", "smtplib"),
    *("charset_normalizer", "paho", "slixmpp", "markdown", "MARKDOWN", "asyncio", "httpx"),
    "httpx2",
)
_STATUS = re.compile(r"error=([1-5][0-9]{2})\b")
_FORMATS: dict[str, Format] = {"text": "text", "markdown": "markdown", "html": "html"}
_MIN_ROOM = 160  # characters of a body


def make_services(settings: AlertSettings) -> tuple[AnyService, ...]:
    """Return a service object for each notification service in the settings.

    Raises:
        ConfigError: an address is invalid. The error does not quote it.
    """
    return tuple(_make_service(entry) for entry in settings.tell)


def _make_service(settings: NotificationSettings) -> AnyService:
    scheme = settings.url.reveal().partition("://")[0].lower()
    return AlertmanagerService(settings) if scheme in _SCHEMES else AppriseService(settings)


class AppriseService:
    """A notification service, such as mail or a chat, that the library apprise sends messages to.

    Its ``repr`` omits the address, which is a secret.
    """

    def __init__(self, settings: NotificationSettings) -> None:
        """Check that apprise supports the address of the service. No connection is opened.

        Raises:
            ConfigError: apprise is not installed, or does not support this kind of address.
        """
        self.name = settings.name
        self._settings = settings
        with _muted():
            plugin = self._plugin()
        _install_limits()
        # A service that keeps incidents takes the key of the incident (apprise ≥ 2).
        self.has_incidents = hasattr(plugin, "dedup") and hasattr(plugin, "action")

    def __repr__(self) -> str:
        return f"AppriseService({self.name!r})"

    def send(self, message: Message, incident: str, seconds: float) -> str:
        """Send a message to the service. Never raises.

        Args:
            message: the message.
            incident: the key of an incident, for services that group messages, such as PagerDuty.
            seconds: how long sending may take. Then the connections that the plugin opened in this
                thread are shut down. Name resolution, and a plugin that uses other threads, may
                take longer.

        Returns:
            The reason if sending failed, else an empty text.
        """
        with _muted() as statuses, _limited(seconds) as deadline:
            problem = ""
            try:
                if self._send(message, incident):
                    return ""
            except Exception as exc:  # noqa: BLE001  # a plugin may raise anything, with its address
                problem = f"{FAILED} ({type(exc).__name__})"
            if deadline.passed:
                return TIMED_OUT
        return problem or (f"it answered with status {statuses[-1]}" if statuses else FAILED)

    def _send(self, message: Message, incident: str) -> bool:
        from apprise import NotifyType

        plugin = self._plugin()
        if incident and self.has_incidents:
            plugin.dedup, plugin.action = incident, "map"
        if getattr(plugin, "secure_protocol", "") == "jsons":  # programs read fields
            plugin.payload_extras = {**plugin.payload_extras, "alerts": message_json(message)}
        form = _format_of(plugin)
        room = max(int(plugin.body_maxlen or 0) - (0 if plugin.title_maxlen else 200), _MIN_ROOM)
        # In the service's own format nothing is converted. The plugin itself is called, in this
        # thread: apprise would use another thread, and log records from there would not be dropped.
        return bool(
            plugin.notify(
                title=message.title,
                body=render(message, form, room),
                body_format=form,
                notify_type=NotifyType(message.kind),
            )
        )

    def _plugin(self) -> Any:
        """Create apprise's plugin for the address of the service.

        Each message gets a new plugin, so that no part of one message gets into the next.

        Raises:
            ConfigError: apprise is not installed, or doesn't know the address.
        """
        try:
            from apprise import Apprise
        except ModuleNotFoundError as exc:
            raise ConfigError(
                "notifications need the package apprise",
                key="alerts.tell",
                fix="pip install 'certpin[watch]'",
            ) from exc
        plugin = Apprise.instantiate(
            self._settings.url.reveal(), asset=_asset(), suppress_exceptions=True
        )
        if plugin is None:
            raise ConfigError(
                f"apprise does not know the address of {self.name}, or a part of it is missing",
                key="alerts.tell",
                fix='the page "Alerts" of the documentation has examples, and the pages of apprise '
                "all services",
            )
        return plugin


def _format_of(plugin: Any) -> Format:
    """Return the text format that a plugin of apprise prefers: "text", "markdown" or "html".

    If the plugin's format is unknown, the result is "text".
    """
    known = plugin.notify_format
    first = known[0] if isinstance(known, (tuple, list)) else known
    return _FORMATS.get(str(getattr(first, "value", first)), "text")


def _asset() -> Any:
    """Return apprise's options (``AppriseAsset``): no stored files or keys, no HTTP redirects."""
    from apprise import AppriseAsset

    asset = AppriseAsset(async_mode=False, secure_logging=True)
    asset.app_id = "certpin"
    asset.app_desc = "certpin watch"
    asset.app_url = ""
    wanted = {"pgp_autogen": False, "pem_autogen": False, "http_redirects": False}
    for name, value in wanted.items():
        if hasattr(asset, name):  # older versions lack some
            setattr(asset, name, value)
    return asset


class _DropRecords(logging.Filter):
    """A log filter that drops the records of apprise and its libraries while a message is sent.

    These records can contain the secret address of the service. Records of the thread that sends
    are dropped, and the HTTP statuses in them are collected, to report why sending failed. In other
    threads, only the records of the logger ``apprise`` are dropped, at any time.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        statuses = _STATUSES.get()
        if statuses is None:
            return record.name != "apprise"  # apprise may use other threads
        with suppress(TypeError, ValueError):  # a text that does not fit its arguments
            statuses += _STATUS.findall(record.getMessage())
        return False


_STATUSES: ContextVar[list[str] | None] = ContextVar("statuses", default=None)
_DROP_RECORDS = _DropRecords()


@contextmanager
def _muted() -> Iterator[list[str]]:
    """Drop the log records of apprise and its libraries while the ``with`` block runs.

    Only the records that this thread writes are dropped (see ``_DropRecords``).

    Yield a list that collects the HTTP statuses in these records.
    """
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if _DROP_RECORDS not in logger.filters:
            logger.addFilter(_DROP_RECORDS)
    statuses: list[str] = []
    before = _STATUSES.set(statuses)
    try:
        yield statuses
    finally:
        _STATUSES.reset(before)


_DEADLINE: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


@contextmanager
def _limited(seconds: float) -> Iterator[Deadline]:
    """Limit the time and the responses of connections that this thread opens in the ``with`` block.

    When ``seconds`` have passed, each connection is shut down. Only the beginning of a response is
    read. Yield the deadline.
    """
    with Deadline(seconds, seconds).enforced() as deadline:
        before = _DEADLINE.set(deadline)
        try:
            yield deadline
        finally:
            _DEADLINE.reset(before)


@cache
def _install_limits() -> None:
    """Install the hooks with which ``_limited`` limits the connections of apprise.

    apprise itself has no setting for such limits. An audit hook (PEP 578) limits the time, because
    it is called for each connection, also if a library opens its sockets itself. Replacements for
    the HTTP adapter of ``requests`` and for ``smtplib.SMTP.getreply`` limit the size of responses.
    Outside of ``_limited``, these hooks change nothing.
    """
    from requests import sessions
    from requests.adapters import HTTPAdapter

    class LimitedAdapter(HTTPAdapter):
        def send(self, request: Any, stream: bool = False, **more: Any) -> Any:  # type: ignore[override]
            response = super().send(request, stream=stream, **more)
            if not stream and (deadline := _DEADLINE.get()) is not None:
                response._content = _beginning(response, deadline)
                response.close()
            return response

    getreply = smtplib.SMTP.getreply

    def limited_getreply(mail: smtplib.SMTP) -> tuple[int, bytes]:
        if mail.file is None and mail.sock is not None and _DEADLINE.get() is not None:
            mail.file = _Replies(mail.sock.makefile("rb", buffering=0))
        return getreply(mail)

    sys.addaudithook(_hold_connection)
    sessions.HTTPAdapter = LimitedAdapter  # type: ignore[attr-defined]
    smtplib.SMTP.getreply = limited_getreply  # type: ignore[assignment,method-assign]


def _hold_connection(event: str, args: tuple[Any, ...]) -> None:
    """Make a connection that is about to be opened subject to the deadline of ``_limited``.

    When the time is up, the deadline shuts the connection down. This function is an audit hook (PEP
    578), which Python calls with the name and the arguments of each event. The first argument of a
    connection is its socket. Outside of ``_limited``, it does nothing.

    Raises:
        TimeoutError: the time is up already. The call of ``connect`` fails with this error.
    """
    if event == "socket.connect" and (deadline := _DEADLINE.get()) is not None:
        if deadline.passed:
            raise TimeoutError(TIMED_OUT)
        deadline.hold(args[0])


def _beginning(response: Any, deadline: Deadline) -> bytes:
    """Return the body of a response, or only its beginning if a limit of size or time is reached.

    The HTTP status, which arrives first, shows if the message was accepted. So an incomplete body
    is not an error: otherwise, an accepted message would be sent again and again. Reading takes at
    most half of the time that is left, so that the status can still be reported in time.
    ``deadline`` is the time limit for the whole message.
    """
    from requests import RequestException

    data = b""
    until = time.monotonic() + min(_MAX_RESPONSE_SECONDS, deadline.left / 2)
    with suppress(RequestException):
        for piece in response.iter_content(_PIECE):
            data += piece
            if len(data) > _MAX_RESPONSE or time.monotonic() > until:
                break
    return data


class _Replies(io.BufferedReader):
    """A file object that reads the replies of a mail server, at most ``_MAX_RESPONSE`` bytes.

    After that, ``readline`` returns no data, as if the server had closed the connection. The limit
    is needed because smtplib collects all lines of a reply (RFC 5321, 4.2.1), however many come.
    """

    _read = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        self._read += len(line)
        return line if self._read <= _MAX_RESPONSE else b""


class AlertmanagerService:
    """A Prometheus Alertmanager server as notification service: it receives alerts over HTTP.

    Its ``repr`` contains only its name, because the address is a secret.
    """

    has_incidents = False

    def __init__(self, settings: NotificationSettings) -> None:
        """Check the address of the server. No connection is opened.

        Raises:
            ConfigError: the address is invalid.
        """
        self.name = settings.name
        self._url, self._headers = _alertmanager_request(settings)

    def __repr__(self) -> str:
        return f"AlertmanagerService({self.name!r})"

    def send(self, message: Message, incident: str, seconds: float) -> str:
        """Send the current state of the alerts of a message to the server. Never raises.

        Args:
            message: the message.
            incident: ignored, because Alertmanager identifies alerts by labels.
            seconds: how long the request may take.

        Returns:
            The reason if sending failed, else an empty text.
        """
        del incident
        alerts = [alertmanager_json(item.alert, message.at, message.url) for item in message.items]
        deadline = Deadline(_TIMEOUT, seconds)
        try:
            status = self._post(json.dumps(alerts).encode(), deadline)
        except (OSError, http.client.HTTPException) as exc:
            return (
                TIMED_OUT if deadline.passed else f"it could not be reached ({type(exc).__name__})"
            )
        return "" if 200 <= status < 300 else f"it answered with status {status}"

    def _post(self, body: bytes, deadline: Deadline) -> int:
        context = ssl.create_default_context() if self._url.startswith("https:") else None
        answer = exchange("POST", self._url, deadline, context, headers=self._headers, body=body)
        return answer.status


def _alertmanager_request(settings: NotificationSettings) -> tuple[str, dict[str, str]]:
    """Return the URL and the headers of requests that post alerts to an Alertmanager.

    ``settings`` are those of the notification service. A user name and password in its address
    become the header ``Authorization``.

    Raises:
        ConfigError: the address in the settings is invalid.
    """
    wrong = ConfigError(
        f"the address of {settings.name} is not that of an Alertmanager",
        key="alerts.tell",
        fix="alertmanagers://USER:PASSWORD@HOST:PORT/PREFIX; only HOST is required",
    )
    try:
        parts = urlsplit(settings.url.reveal())
        host, port = parts.hostname or "", parts.port or _PORT
    except ValueError:
        raise wrong from None  # its text quotes the address
    if not host or parts.query or parts.fragment:
        raise wrong
    headers = {"Content-Type": "application/json"}
    if parts.username is not None:
        words = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        encoded = base64.b64encode(words.encode()).decode()
        headers["Authorization"] = f"Basic {encoded}"
    scheme = "https" if parts.scheme == "alertmanagers" else "http"
    path = parts.path.rstrip("/") + "/api/v2/alerts"
    return f"{scheme}://{join_address(host, port)}{path}", headers


def alertmanager_json(alert: AlertRow, now: int, url: str) -> dict[str, Any]:
    """Return an alert as JSON for Alertmanager's API v2 (``postableAlert``).

    Labels are neither shortened nor made harmless, because routes and silences of Alertmanager
    compare their exact values. Their values are safe: hosts are normalised names or patterns, and
    pin sets are those of the monitored files. The texts in annotations are for people, and are made
    harmless.

    Args:
        alert: the alert.
        now: the Unix time.
        url: the base address of the web pages, or empty.
    """
    labels = {
        "alertname": alert.rule,
        "severity": alert.severity,
        "host": alert.host,
        "pin_set": alert.pin_set,
        "id": "" if alert.id is None else str(alert.id),
        "service": "certpin",
    }
    annotations = {
        "summary": harmless(alert.summary, _MAX_ANNOTATION),
        "clients": clients_text(alert.clients),
        "command": command_line(alert.command),
        "state": alert.state,
        "acknowledged_by": alert.acknowledged_by,
    }
    ends = now + _EXPIRY_SECONDS if alert.resolved_at is None else alert.resolved_at
    return {
        "labels": {name: printable(value) for name, value in labels.items() if value},
        "annotations": {name: value for name, value in annotations.items() if value},
        "startsAt": _iso(alert.opened_at),
        # Alertmanager refuses an alert that ends before it starts.
        "endsAt": _iso(max(ends, alert.opened_at)),
        "generatorURL": link(alert, url),
    }


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


AnyService = AppriseService | AlertmanagerService
