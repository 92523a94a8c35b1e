"""Findings and times for the tests of alerts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from certpin_watch.alerts.silences import Silencing
from certpin_watch.alerts.state import AlertChange, decide
from certpin_watch.rules.engine import Evaluation
from certpin_watch.rules.rule import AlertFinding
from certpin_watch.settings import AlertSettings

if TYPE_CHECKING:
    from certpin_watch.settings import Severity
    from certpin_watch.store.alerts import AlertRow

NOW = 1_800_000_000
SETTINGS = AlertSettings()
HOST = "api.bank.example"


def finding(
    rule: str = "pin-mismatch", severity: Severity = "critical", host: str = HOST, **more: Any
) -> AlertFinding:
    """A finding like those of the monitor."""
    summary = more.pop("summary", f"{host} presents a chain without a pin")
    subject = more.pop("subject", "")
    return AlertFinding(rule, severity, host, "bank-app", summary, "certpin check", more, subject)


class History:
    """Alerts as the store keeps them, and every change."""

    def __init__(self) -> None:
        self.alerts: dict[str, AlertRow] = {}
        self.changes: list[AlertChange] = []

    def evaluate(
        self, now: int, *found: AlertFinding, silencing: Silencing | None = None, **more: Any
    ) -> list[str]:
        """Decide once. Return the events, with ``!`` if services are notified."""
        settings = more.pop("settings", SETTINGS)
        evaluation = Evaluation(found, **more)
        changes = decide(self.alerts.values(), evaluation, silencing or Silencing(), now, settings)
        self.alerts |= {change.alert.key: change.alert for change in changes}
        self.changes += changes
        return [
            transition.what + ("!" if transition.notify else "")
            for change in changes
            for transition in change.transitions
        ]
