"""Key rotation without lockouts: journal, states of pins, safety rules, plans and simulations.

The package is pure: deployed versions, served chains, delays and the clock are arguments. Only
``load_journal`` reads a file.

    facts     journal → history ──┐
              measured, releases ─┴→ situation
    chains    situation → prospect → faults → trust
    rules     trust, fleet, remedies → rules → gate
    dates     gate → planner → simulate      rules, fleet → deadlines
    advice    gate → renewal → next_step     gate → emergency

Each name is a module. An arrow leads from a module to one that uses its results. A situation has
the facts about one host. A prospect is a chain that a server will present, ``faults`` are reasons
to refuse it whatever is pinned, and ``trust`` finds the path that clients verify. ``rules`` has the
safety rules about pins and versions, and ``remedies`` what to do if one refuses a step. ``gate``
chooses the rules of each step, and adds those about the time and the servers.
"""

from __future__ import annotations

from certpin.rotation.deadlines import (
    ExposureStage,
    KeyExposure,
    PublishDeadline,
    exposure_text,
    key_exposure,
    publish_deadlines,
)
from certpin.rotation.gate import (
    ServerStatus,
    check_now,
    check_step,
    new_observations,
    server_states,
    step_time,
    time_evidence,
)
from certpin.rotation.history import (
    History,
    contradictions,
    journal_of,
    journal_path,
    load_journal,
)
from certpin.rotation.journal import Event, after, format_journal, parse_journal, pin_state
from certpin.rotation.measured import ReportedUsage, Threshold, measured
from certpin.rotation.plan import NEXT_BACKUP, Plan, Step
from certpin.rotation.planner import plan
from certpin.rotation.prospect import Prospect
from certpin.rotation.releases import AppRelease
from certpin.rotation.situation import (
    Adoption,
    AdoptionDelays,
    DeployedVersions,
    PinHistory,
    ServerDate,
    ServerObservation,
    Sighting,
    Situation,
    TimeEvidence,
    Version,
    adoption,
    server_name,
)
from certpin.rotation.violation import Invariant, Violation
from certpin.support.text import format_duration, in_utc, parse_duration

__all__ = [
    "NEXT_BACKUP",
    "Adoption",
    "AdoptionDelays",
    "AppRelease",
    "DeployedVersions",
    "Event",
    "ExposureStage",
    "History",
    "Invariant",
    "KeyExposure",
    "PinHistory",
    "Plan",
    "Prospect",
    "PublishDeadline",
    "ReportedUsage",
    "ServerDate",
    "ServerObservation",
    "ServerStatus",
    "Sighting",
    "Situation",
    "Step",
    "Threshold",
    "TimeEvidence",
    "Version",
    "Violation",
    "adoption",
    "after",
    "check_now",
    "check_step",
    "contradictions",
    "exposure_text",
    "format_duration",
    "format_journal",
    "in_utc",
    "journal_of",
    "journal_path",
    "key_exposure",
    "load_journal",
    "measured",
    "new_observations",
    "parse_duration",
    "parse_journal",
    "pin_state",
    "plan",
    "publish_deadlines",
    "server_name",
    "server_states",
    "step_time",
    "time_evidence",
]
