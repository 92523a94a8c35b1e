"""A simulation as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from certpin.cli.rotate_simulate_case import Case
    from certpin.rotation.simulate import Hour, Lockout
    from certpin.rotation.simulate_fleet import Fleet
    from certpin.rotation.simulate_script import Dated


def fleet_facts(fleet: Fleet) -> dict[str, Any]:
    """The clients."""
    from certpin.rotation import format_duration

    adopt = {"adopt": format_duration(fleet.timing.adopt)}
    return {
        "clients": fleet.clients,
        "seed": fleet.seed,
        "timing": fleet.timing.texts() | adopt,
        "curve": [
            {"share": float(share), "gap": format_duration(gap)} for share, gap in fleet.curve
        ],
        "stragglers": float(fleet.stragglers),
        "binaries": [
            {"version": number, "share": float(share)} for number, share in fleet.binaries
        ],
    }


def case_facts(case: Case) -> dict[str, Any]:
    """One host."""
    outcome = case.outcome
    return {
        "host": case.host,
        "begin": case.story.begin.isoformat(),
        "end": case.end.isoformat(),
        "locked_out": outcome.locked_out,
        "seconds": outcome.seconds,
        "peak": _hour_facts(outcome.peak),
        "steps": [_step_facts(case, each) for each in case.ordered],
        "lockouts": [_lockout_facts(each) for each in outcome.lockouts],
        "course": [_hour_facts(each) for each in _changes(outcome.hours)],
    }


def _step_facts(case: Case, dated: Dated) -> dict[str, Any]:
    from certpin.rotation import NEXT_BACKUP

    step, safety = dated.step, case.safety(dated.number)
    lockout = case.lockout(dated.number)
    return {
        "number": dated.number,
        "act": step.act,
        "pin": str(step.pin) if step.pin and step.pin != NEXT_BACKUP else None,
        "named": case.named(step.pin) if step.pin else None,
        "version": case.version(dated.number),
        "at": dated.at.isoformat(),
        "noticed": safety is not None,
        "locked_out": lockout.clients if lockout else 0,
        "first": _moment(lockout.first if lockout else None),
        "last": _moment(lockout.last if lockout else None),
        "safe_from": _moment(safety.guaranteed if safety else None),
        "safe_from_simulated": _moment(safety.fleet if safety else None),
    }


def _lockout_facts(lockout: Lockout) -> dict[str, Any]:
    return {
        "event": lockout.cause.event,
        "step": lockout.cause.step,
        "version": lockout.cause.version,
        "clients": lockout.clients,
        "first": lockout.first.isoformat(),
        "last": lockout.last.isoformat(),
    }


def _hour_facts(hour: Hour) -> dict[str, Any]:
    return {
        "at": hour.at.isoformat(),
        "locked_out": hour.locked_out,
        "held": [{"version": number, "clients": count} for number, count in hour.held.items()],
    }


def _changes(hours: Sequence[Hour]) -> Iterator[Hour]:
    """The hours in which something is not as in the one before."""
    before: Hour | None = None
    for each in hours:
        if before is None or (each.locked_out, each.held) != (before.locked_out, before.held):
            yield each
        before = each


def _moment(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
