"""An app with signed updates: the exported Dart, with a dictionary as its server."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.formats.flutter._bridge import PinUpdateException, call

if TYPE_CHECKING:
    from collections.abc import Mapping


class App:
    """``pins`` is the ``pins.json`` in the app, ``root`` the root in the app."""

    def __init__(self, pins: bytes, root: bytes) -> None:
        self._app = call("appNew", pins, root)
        self.stored = ""
        self.asked: list[str] = []

    def start(self) -> None:
        """Restart the app with its stored state. Raises ``PinUpdateException``."""
        call("appStart", self._app, self.stored)

    @property
    def state(self) -> dict[str, Any]:
        """``version``, ``stored``, ``roots`` (how many), ``good`` and ``until``."""
        found: dict[str, Any] = call("appState", self._app)
        return found

    @property
    def version(self) -> int:
        """The version of the current pins."""
        version: int = self.state["version"]
        return version

    def is_newest(self, now: datetime) -> bool:
        """Return True if its pins are known to be the newest."""
        newest: bool = call("appIsNewest", self._app, _moment(now))
        return newest

    def refresh(self, files: Mapping[str, bytes], now: datetime) -> None:
        """Refresh from a server with these files. Raises ``PinUpdateException``."""
        shown = {path: b64encode(data).decode() for path, data in files.items()}
        answer = call("appRefresh", self._app, shown, _moment(now))
        self.stored, self.asked = answer["stored"], answer["asked"]
        if answer["reason"]:
            raise PinUpdateException(answer["reason"], answer["problem"])


def _moment(now: datetime) -> str:
    return now.astimezone(UTC).isoformat()


def verdict(app: App, files: Mapping[str, bytes], now: datetime) -> tuple[str, int]:
    """Return the reason of the refusal, or an empty text, and the current version."""
    try:
        app.refresh(files, now)
    except PinUpdateException as refused:
        return refused.reason, app.version
    return "", app.version
