"""Fixtures for tests of alerts: a monitoring service that sends notifications to a local web
server.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from certpin_watch.alerts.delivery import Notifier
from certpin_watch.alerts.run import Evaluator
from certpin_watch.alerts.services import make_services
from certpin_watch.context import Watch
from certpin_watch.monitor.evidence import ProbeEvidence
from certpin_watch.rules.engine import RULES
from certpin_watch.rules.rule import AlertRule
from certpin_watch.secret import Secret
from certpin_watch.settings import SEVERITIES, AlertSettings, NotificationSettings, ServiceSettings
from certpin_watch.snapshot import PinFiles
from tests.watch.alerts._findings import NOW
from tests.watch.alerts._hook import Hook, hook

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from certpin_watch.rules.rule import AlertFinding
    from certpin_watch.store import Store


class Stage:
    """A monitoring service with a clock and alert findings that the test sets.

    An extra alert rule returns the findings in ``found``. All real alert rules run as well.
    """

    def __init__(
        self,
        store: Store,
        *services: NotificationSettings,
        folder: Path | None = None,
        **more: object,
    ) -> None:
        """Start the service. With ``folder``, its settings and its pin file are in that folder."""
        self.now = NOW
        self.found: list[AlertFinding] = []
        table = AlertSettings(tell=services, **{"deadline": timedelta(seconds=5), **more})  # type: ignore[arg-type]
        settings = ServiceSettings(
            file=folder and folder / "watch.toml",
            pins=(folder / "pins.toml",) if folder else (),
            alerts=table,
            public_url="https://watch.bank.example/",
        )
        self.watch = Watch(settings, store, PinFiles(settings.pins), self._clock)
        chosen = AlertRule("chosen", SEVERITIES, lambda _: list(self.found), "probes", "", "")
        self.evaluator = Evaluator(
            self.watch, lambda *_: ProbeEvidence(), {**RULES, "chosen": chosen}
        )
        self.notifiers = [Notifier(self.watch, service) for service in make_services(table)]

    def _clock(self) -> datetime:
        return datetime.fromtimestamp(self.now, UTC)

    def evaluate(self, *found: AlertFinding) -> int | None:
        """Evaluate once, with these findings."""
        self.found = list(found)
        return self.evaluator.run_once()

    async def notify(self) -> None:
        """Send to every service until no message is due."""
        for notifier in self.notifiers:
            while await notifier.send_next():
                pass


@pytest.fixture
def webhook() -> Iterator[Hook]:
    with hook() as found:
        yield found


def service_at(
    found: Hook, name: str = "hook", secret: str = "", **more: object
) -> NotificationSettings:
    """Return the settings of a notification service that sends its messages to the web server
    ``found``.
    """
    return NotificationSettings(name, Secret(found.url(secret)), **more)  # type: ignore[arg-type]
