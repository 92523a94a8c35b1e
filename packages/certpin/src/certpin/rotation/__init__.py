"""Key rotation without lockouts: journal, states of pins, safety rules, plans and simulations.

The package is pure: deployed versions, served chains, delays and the clock are arguments. Only
``load_journal`` reads a file.

    facts     journal → history ──┐
              measured, releases ─┴→ situation
    chains    situation → prospect → faults → trust
    rules     trust, fleet, remedies → rules → gate
    dates     gate → planner → simulate      rules, fleet → deadlines
    advice    gate → renewal → next_step     gate, deadlines → new_root → emergency

Each name is a module. An arrow leads from a module to one that uses its results. A situation has
the facts about one host. A prospect is a chain that a server will present, ``faults`` are reasons
to refuse it whatever is pinned, and ``trust`` finds the path that clients verify. ``rules`` has the
safety rules about pins and versions, and ``remedies`` what to do if one refuses a step. ``gate``
chooses the rules of each step, and adds those about the time and the servers.

These functions find the path that clients verify. A sighting is the result of probing a server:

    prospect.ways_of              all paths upwards from a prospect, as tuples of DER
    prospect.possible_chains      each path that clients may verify, completed with placeholders
    prospect.chain_of_prospect    one of them: the first that the pins accept; if there is none, the
                                  first of all
    faults.openssl_path           the path that OpenSSL takes; None if that path has a fault
    trust.chain_of_sighting       the path that clients verify in the chain that a server presents

These return whether clients accept it:

    prospect.judge                     the verdict on a path, with tolerance for new SCTs, which
                                       the docstring of ``prospect`` explains
    prospect.refusal, refuses          the verdict if it refuses the path, and whether there is one;
                                       expired pins don't count
    prospect.scts_refusal              that verdict if missing SCTs are the only reason
    prospect.conclude                  "accepted", "refused" or "open", for prospects and policies
    prospect.conclusion_of_version     the same for the policies of one version
    prospect.conclusions_by_version    the same for each version that clients may hold
    faults.chain_fault                 a reason to refuse a prospect, whatever is pinned
    prospect.lacks_path                whether clients can build no path to an anchor
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
