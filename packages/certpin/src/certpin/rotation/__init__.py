"""Key rotation without lockouts: the journal, states of pins, the gate, plans and simulations.

The package is pure: deployed versions, served chains, delays and the clock are arguments. Only
``load_journal`` reads a file.

    journal → history ──┐
    measured, timing ───┴→ adoption → gate → plan → simulate
"""

from __future__ import annotations

from certpin.rotation.adoption import (
    Adoption,
    DeployedVersions,
    PinHistory,
    Sighting,
    Situation,
    Timing,
    Version,
    adoption,
    format_duration,
    in_utc,
    parse_duration,
)
from certpin.rotation.gate import Invariant, Violation, check_now, check_step
from certpin.rotation.history import History, contradictions, journal_path, load_journal
from certpin.rotation.journal import Event, after, format_journal, parse_journal, pin_state
from certpin.rotation.measured import ReportedUsage, Threshold, measured
from certpin.rotation.plan import NEXT_BACKUP, Plan, Step, plan

__all__ = [
    "NEXT_BACKUP",
    "Adoption",
    "DeployedVersions",
    "Event",
    "History",
    "Invariant",
    "PinHistory",
    "Plan",
    "ReportedUsage",
    "Sighting",
    "Situation",
    "Step",
    "Threshold",
    "Timing",
    "Version",
    "Violation",
    "adoption",
    "after",
    "check_now",
    "check_step",
    "contradictions",
    "format_duration",
    "format_journal",
    "in_utc",
    "journal_path",
    "load_journal",
    "measured",
    "parse_duration",
    "parse_journal",
    "pin_state",
    "plan",
]
