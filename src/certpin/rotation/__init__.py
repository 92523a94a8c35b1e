"""Rotation without lock-outs: states, guards, plans, and the journal that they are decided from.

Pure: versions in the field, what is served, the delays and the clock come in as arguments.

    event → journal → history ─┐
    field, timing, situation ──┴→ adoption → invariants → guards → plan
"""

from __future__ import annotations

from certpin.rotation.adoption import (
    Adoption,
    Field,
    Past,
    Sighting,
    Situation,
    Version,
    adoption,
    standing,
)
from certpin.rotation.gate import Breach, Invariant
from certpin.rotation.history import History, contradictions
from certpin.rotation.journal import Event, after, format_journal, parse_journal
from certpin.rotation.measured import Enough, Told, measured
from certpin.rotation.plan import NEXT_BACKUP, Plan, Step, plan
from certpin.rotation.timing import Timing, format_duration, parse_duration

__all__ = [
    "NEXT_BACKUP",
    "Adoption",
    "Breach",
    "Enough",
    "Event",
    "Field",
    "History",
    "Invariant",
    "Past",
    "Plan",
    "Sighting",
    "Situation",
    "Step",
    "Timing",
    "Told",
    "Version",
    "adoption",
    "after",
    "contradictions",
    "format_duration",
    "format_journal",
    "measured",
    "parse_duration",
    "parse_journal",
    "plan",
    "standing",
]
