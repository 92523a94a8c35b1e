"""An app with signed pin updates: the exported Dart code, controlled from Python.

A dictionary of files takes the place of its server.
"""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.formats.flutter._bridge import PinUpdateException, call

if TYPE_CHECKING:
    from collections.abc import Mapping


class App:
    """An app that runs the Dart update client, with its stored state.

    ``pins`` is the ``pins.json`` that the app contains, ``root`` is its TUF root metadata.
    """

    def __init__(self, pins: bytes, root: bytes) -> None:
        self._app = call("appNew", pins, root)
        self.stored = ""
        self.asked: list[str] = []

    def start(self) -> None:
        """Restart the app with its stored state. Raises ``PinUpdateException``."""
        call("appStart", self._app, self.stored)

    @property
    def state(self) -> dict[str, Any]:
        """The state of the Dart client: ``version``, ``stored``, ``roots``, ``good`` and ``until``.

        ``version`` is that of the pins in force, and ``roots`` the number of root files. ``good``
        is whether a verified set is stored, and ``until`` the time at which that set expires.
        """
        found: dict[str, Any] = call("appState", self._app)
        return found

    @property
    def version(self) -> int:
        """The version of the pin set that the app has in force."""
        version: int = self.state["version"]
        return version

    def is_newest(self, now: datetime) -> bool:
        """Return whether the app has verified that its pins are the newest at this time."""
        newest: bool = call("appIsNewest", self._app, _moment(now))
        return newest

    def refresh(self, files: Mapping[str, bytes], now: datetime) -> None:
        """Update from a server that has these files, by path. Raises ``PinUpdateException``."""
        shown = {path: b64encode(data).decode() for path, data in files.items()}
        answer = call("appRefresh", self._app, shown, _moment(now))
        self.stored, self.asked = answer["stored"], answer["asked"]
        if answer["reason"]:
            raise PinUpdateException(answer["reason"], answer["problem"])


def _moment(now: datetime) -> str:
    return now.astimezone(UTC).isoformat()


def verdict(app: App, files: Mapping[str, bytes], now: datetime) -> tuple[str, int]:
    """Update an app from a server with these files.

    Returns:
        The reason of a refusal, or an empty text; and the version of the pins in force.
    """
    try:
        app.refresh(files, now)
    except PinUpdateException as refused:
        return refused.reason, app.version
    return "", app.version
