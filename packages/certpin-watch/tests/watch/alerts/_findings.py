"""Findings of alert rules, and times, for the tests of alerts."""

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
    """Return a finding (a problem that an alert rule reports), with defaults as the monitor sets
    them.

    ``more`` sets ``summary``, ``subject``, or details of the finding.
    """
    summary = more.pop("summary", f"{host} presents a chain without a pin")
    subject = more.pop("subject", "")
    return AlertFinding(rule, severity, host, "bank-app", summary, "certpin check", more, subject)


class History:
    """The alerts that a store would contain after several evaluations, and every change to them."""

    def __init__(self) -> None:
        self.alerts: dict[str, AlertRow] = {}
        self.changes: list[AlertChange] = []

    def evaluate(
        self, now: int, *found: AlertFinding, silencing: Silencing | None = None, **more: Any
    ) -> list[str]:
        """Update the alerts from the findings at the time ``now``.

        Returns:
            The events of this evaluation, such as "opened", with a ``!`` after an event that is
            sent to notification services.
        """
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
