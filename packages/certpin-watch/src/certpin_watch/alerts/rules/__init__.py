"""The rules over what clients report, and over the watch itself: one file each, one line here.

A rule is a pure function of the evidence. What the monitor finds has its own rules, over there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from certpin_watch.alerts.rules import (
    disk_nearly_full,
    failures_surge,
    look_fails,
    old_app_fails,
    repeats_unrecognised,
    reports_silent,
    reports_wait,
    retention_fails,
    room_used_up,
    signatures_end,
    strange_chain,
    telling_fails,
    would_lock_out,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from certpin_watch.alerts.evidence import Evidence
    from certpin_watch.finding import Finding


class Rule(Protocol):
    """A module with this function."""

    def find(self, evidence: Evidence) -> Iterable[Finding]:
        """What is wrong, as this rule sees it."""


RULES: dict[str, Rule] = {
    "disk-nearly-full": disk_nearly_full,
    "failures-surge": failures_surge,
    "look-fails": look_fails,
    "old-app-fails": old_app_fails,
    "repeats-unrecognised": repeats_unrecognised,
    "reports-silent": reports_silent,
    "reports-wait": reports_wait,
    "retention-fails": retention_fails,
    "room-used-up": room_used_up,
    "signatures-end": signatures_end,
    "strange-chain": strange_chain,
    "telling-fails": telling_fails,
    "would-lock-out": would_lock_out,
}
