"""One service through apprise, whose address is a secret.

apprise writes addresses into its log, and the libraries below it write paths that have tokens in
them. All that apprise logs is dropped, and what those libraries log while somebody is told; of a
failure no more is known than what ``Service.send`` says.
"""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from certpin.errors import ConfigError
from certpin_watch.alerts.message import fields, render

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin_watch.alerts.message import Format, Message
    from certpin_watch.alerts.settings import Tell

_LOGGERS = (
    *("apprise", "urllib3", "urllib3.connectionpool", "urllib3.util.retry", "requests", "smtplib"),
    *(
        "charset_normalizer",
        "paho",
        "slixmpp",
        "markdown",
        "MARKDOWN",
        "asyncio",
        "httpx",
        "httpx2",
    ),
)
_STATUS = re.compile(r"error=([1-5][0-9]{2})\b")
_FORMATS: dict[str, Format] = {"text": "text", "markdown": "markdown", "html": "html"}
_LEAST_ROOM = 160

FAILED = "it could not be reached, or did not take the message"


class _Hush(logging.Filter):
    """Drops what is logged while somebody is told, and keeps the status of HTTP alone."""

    def filter(self, record: logging.LogRecord) -> bool:
        statuses = _STATUSES.get()
        if statuses is None:
            return record.name != "apprise"  # it may use threads of its own
        with suppress(TypeError, ValueError):  # words that do not fit their arguments
            statuses += _STATUS.findall(record.getMessage())
        return False


_STATUSES: ContextVar[list[str] | None] = ContextVar("statuses", default=None)
_HUSH = _Hush()


class Service:
    """A service that is told. Its ``repr`` has its name and no more."""

    def __init__(self, tell: Tell) -> None:
        """Raises ``ConfigError`` where apprise does not know such an address."""
        self.name = tell.name
        self._tell = tell
        with _hushed():
            plugin = self._plugin()
        # A service that keeps incidents is told under which one it has to be (apprise ≥ 2).
        self.has_incidents = hasattr(plugin, "dedup") and hasattr(plugin, "action")

    def __repr__(self) -> str:
        return f"Service({self.name!r})"

    def send(self, message: Message, incident: str = "") -> str:
        """Tell it. Why it could not be told, or an empty text. Raises nothing.

        Not bounded in time: whoever calls waits no longer than it likes.
        """
        with _hushed() as statuses:
            try:
                taken = self._send(message, incident)
            except Exception as exc:  # noqa: BLE001  # a plugin may raise anything, with its address
                return f"{FAILED} ({type(exc).__name__})"
        if taken:
            return ""
        return f"it answered with status {statuses[-1]}" if statuses else FAILED

    def _send(self, message: Message, incident: str) -> bool:
        from apprise import NotifyType

        plugin = self._plugin()
        if incident and self.has_incidents:
            plugin.dedup, plugin.action = incident, "map"
        if getattr(plugin, "secure_protocol", "") == "jsons":  # programs read fields
            plugin.payload_extras = {**plugin.payload_extras, "alerts": fields(message)}
        form = _format_of(plugin)
        room = max(int(plugin.body_maxlen or 0) - (0 if plugin.title_maxlen else 200), _LEAST_ROOM)
        # Given in the very format that the service takes, nothing is converted. The plugin itself
        # is asked, in this thread: apprise would do it in another one, which logs as it likes.
        return bool(
            plugin.notify(
                title=message.title,
                body=render(message, form, room),
                body_format=form,
                notify_type=NotifyType(message.kind),
            )
        )

    def _plugin(self) -> Any:
        """A plugin of apprise, made anew for each message: nothing of one gets into the next."""
        try:
            from apprise import Apprise
        except ModuleNotFoundError as exc:
            raise ConfigError(
                "to tell anybody, the watch needs the package apprise",
                key="alerts.tell",
                fix="pip install 'certpin[watch]'",
            ) from exc
        plugin = Apprise.instantiate(
            self._tell.url.reveal(), asset=_asset(), suppress_exceptions=True
        )
        if plugin is None:
            raise ConfigError(
                f"the address of {self.name} is none that apprise knows, or something is missing "
                "in it",
                key="alerts.tell",
                fix="docs/alerts.md has examples, and the pages of apprise all services",
            )
        return plugin


def _format_of(plugin: Any) -> Format:
    """The format that a service takes first."""
    known = plugin.notify_format
    first = known[0] if isinstance(known, (tuple, list)) else known
    return _FORMATS.get(str(getattr(first, "value", first)), "text")


def _asset() -> Any:
    """Nothing is kept on a disk, fetched, or followed elsewhere."""
    from apprise import AppriseAsset

    asset = AppriseAsset(async_mode=False, secure_logging=True)
    asset.app_id = "certpin"
    asset.app_desc = "certpin watch"
    asset.app_url = ""
    wanted = {"pgp_autogen": False, "pem_autogen": False, "http_redirects": False}
    for name, value in wanted.items():
        if hasattr(asset, name):  # older ones have no such setting
            setattr(asset, name, value)
    return asset


@contextmanager
def _hushed() -> Iterator[list[str]]:
    """Nothing is logged by this thread; the statuses of HTTP that would have been."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if _HUSH not in logger.filters:
            logger.addFilter(_HUSH)
    statuses: list[str] = []
    before = _STATUSES.set(statuses)
    try:
        yield statuses
    finally:
        _STATUSES.reset(before)
