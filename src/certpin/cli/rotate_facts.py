"""The outcome of ``certpin rotate status`` as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from certpin.cli.forcing import breach_facts

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.cli.ledger import Ledger
    from certpin.cli.timeline import Standing
    from certpin.cli.vantages import Looked
    from certpin.rotation import Breach, Sighting, Situation, Timing


class Seen(NamedTuple):
    """A host: what is known of it, its pins, and what is broken now."""

    situation: Situation
    standings: tuple[Standing, ...]
    breaches: tuple[Breach, ...]


def status_facts(
    ledger: Ledger, looked: Looked, timing: Timing, now: datetime, seen: list[Seen]
) -> dict[str, Any]:
    """The draft, the versions, and each host with its pins."""
    from certpin.pins.meaning import meaning
    from certpin.rotation import format_duration

    field, latest = ledger.field, ledger.field.latest
    return {
        "file": str(ledger.path),
        "pin_set": ledger.pins.name,
        "version": ledger.pins.version,
        "published": latest is not None and meaning(ledger.pins) == meaning(latest.pins),
        "timing": timing.texts() | {"adopt": format_duration(timing.adopt)},
        "versions": [
            {
                "version": each.number,
                "fetched": _iso(each.fetched),
                "bundled": _iso(each.bundled),
                "ended": _iso(each.ended),
                "waiting": each.waiting,
                "alive": each in field.alive(now, timing),
                "until": _iso(field.dies(each, timing)),
                "clients": each.clients,
                "told": _iso(each.told),
                "gone": _iso(each.gone),
            }
            for each in field.versions
        ],
        "hosts": [_host_facts(each) for each in seen],
        "contradictions": list(ledger.contradictions),
        "unknown": looked.unknown,
    }


def _host_facts(seen: Seen) -> dict[str, Any]:
    host = str(seen.situation.pattern)
    return {
        "host": host,
        "vantages": [_vantage(each) for each in seen.situation.sightings],
        "breaches": [breach_facts(host, each) for each in seen.breaches],
        "pins": [_pin_facts(host, each) for each in seen.standings],
    }


def _vantage(sighting: Sighting) -> dict[str, Any]:
    from certpin.pins import pins_of

    path = sighting.chain.certificates if sighting.chain else None
    pins = [str(pins_of(each)[0]) for each in path] if path else None
    return {"vantage": sighting.vantage, "chain_pins": pins}


def _pin_facts(host: str, standing: Standing) -> dict[str, Any]:
    return {
        "pin": str(standing.entry.pin),
        "role": standing.entry.role,
        "state": standing.state,
        "note": standing.entry.note or None,
        "reached": [
            {"state": state, "time": moment.isoformat()} for state, moment in standing.dates.items()
        ],
        "served_by": list(standing.served_by),
        "refused_by": [each.number for each in standing.adoption.refusing],
        "steps": [
            {"step": step, "breaches": [breach_facts(host, each) for each in breaches]}
            for step, breaches in standing.steps
        ],
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
