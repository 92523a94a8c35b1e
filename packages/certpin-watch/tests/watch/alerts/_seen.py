"""Findings and moments for the tests of alerts."""

from __future__ import annotations

from typing import Any

from certpin_watch.alerts.quiet import Quiet
from certpin_watch.alerts.settings import Settings
from certpin_watch.alerts.state import Alert, Change, Seen, decide
from certpin_watch.finding import Finding, Severity

NOW = 1_800_000_000
SETTINGS = Settings()
HOST = "api.bank.example"


def finding(
    rule: str = "pin-mismatch", severity: Severity = "critical", host: str = HOST, **more: Any
) -> Finding:
    """A finding that is like those of the monitor."""
    summary = more.pop("summary", f"{host} shows what no pin accepts")
    subject = more.pop("subject", "")
    return Finding(rule, severity, host, "bank-app", summary, "certpin check", more, subject)


class Book:
    """Alerts as the store keeps them, and all that ever came of them."""

    def __init__(self) -> None:
        self.alerts: dict[str, Alert] = {}
        self.changes: list[Change] = []

    def look(self, now: int, *found: Finding, quiet: Quiet | None = None, **more: Any) -> list[str]:
        """What came of this look: a name for each transition, with ``!`` where it is told."""
        settings = more.pop("settings", SETTINGS)
        changes = decide(self.alerts.values(), Seen(found, **more), quiet or Quiet(), now, settings)
        self.alerts |= {each.alert.key: each.alert for each in changes}
        self.changes += changes
        return [
            each.what + ("!" if each.told else "")
            for change in changes
            for each in change.transitions
        ]
