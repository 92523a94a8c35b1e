"""``certpin rotate status``: where each pin stands, and until when each step is unsafe."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from certpin.cli.main import FINDING, HOLDS, INCONCLUSIVE
from certpin.cli.options import json_option, pin_file_option
from certpin.cli.reply import print_json
from certpin.cli.rotate.context import (
    Measuring,
    breach_facts,
    delay_options,
    measuring_options,
    merged,
    told,
)
from certpin.cli.screen import fold
from certpin.cli.servers import Looked, Vantages, vantage_options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime, timedelta
    from pathlib import Path

    from certpin.cli.rotate.context import Ledger
    from certpin.cli.servers import Looked
    from certpin.pins import HostPin, Pin, State
    from certpin.rotation import Adoption, Breach, Sighting, Situation, Timing, Version


@click.command()
@click.argument("host", required=False, metavar="[HOST]")
@pin_file_option
@delay_options
@measuring_options
@vantage_options
@json_option
@click.pass_context
def status(
    ctx: click.Context,
    host: str | None,
    path: Path,
    delays: dict[str, timedelta],
    measuring: Measuring,
    vantages: Vantages,
    as_json: bool,
) -> None:
    """Draw where each pin stands, and say until when each step is unsafe.

    The line of a pin goes from GENERATED to REMOVED; the dates beneath are month and day. With
    --cdn, --cache, --poll, --opened or --skew you see what would be with those delays.

    Exit code 1: somebody is locked out now, or will be when pins end. 3: a host could not be asked.
    """
    from certpin.cli.rotate.context import Ledger
    from certpin.pins import utc_now

    ledger = Ledger(path)
    if host:
        vantages = replace(vantages, hosts=(*vantages.hosts, host))
    policies = vantages.chosen(ledger.pins) if vantages.hosts else list(ledger.pins.policies)
    looked = vantages.look(ledger.pins, policies)
    timing, now = merged(ledger.timing, delays), utc_now()
    measuring.apply(ledger, timing, now)
    seen = [
        _see(ledger, ledger.situation(policy, looked.of(policy), now, timing))
        for policy in policies
    ]
    if as_json:
        print_json(status_facts(ledger, looked, timing, now, seen))
    else:
        _tell(ledger, looked, timing, now, seen)
    if any(each.breaches for each in seen):
        ctx.exit(FINDING)
    ctx.exit(INCONCLUSIVE if looked.error else HOLDS)


def _see(ledger: Ledger, situation: Situation) -> Seen:
    """Each pin of the draft, and those that the journal alone knows: keys that were made."""
    from certpin.pins import HostPin
    from certpin.rotation.gate import of_the_field

    past = situation.past.states
    made = [
        HostPin(pin, "backup", state)
        for pin, state in past.items()
        if state == "generated" and situation.entry(pin) is None
    ]
    standings = tuple(
        stand(situation, entry, ledger.history.since(situation.pattern, entry.pin))
        for entry in (*situation.policy.pins, *made)
    )
    return Seen(situation, standings, of_the_field(situation))


def _tell(ledger: Ledger, looked: Looked, timing: Timing, now: datetime, seen: list[Seen]) -> None:

    for line in _of_versions(ledger, timing, now):
        click.echo(fold(line, sys.stdout))
    for each in seen:
        click.echo("")
        click.secho(str(each.situation.pattern), bold=True)
        for breach in each.breaches:
            click.echo(fold(f"  NOW: {told(breach)}", sys.stdout))
        for standing in each.standings:
            for line in drawn(standing):
                click.echo(line)
    for unknown in looked.unknown:
        click.echo(fold(f"\nNot known: {unknown}.", sys.stdout))


def _of_versions(ledger: Ledger, timing: Timing, now: datetime) -> list[str]:
    """The draft against the field, and each version that clients may hold."""
    from certpin.pins.meaning import meaning
    from certpin.rotation import format_duration
    from certpin.rotation.timing import in_utc

    latest = ledger.field.latest
    lines = [f"T_adopt {format_duration(timing.adopt)}: {_sum(timing)}"]
    if latest is None:
        return [*lines, "No version is recorded: certpin rotate publish records what clients have."]
    if meaning(ledger.pins) != meaning(latest.pins):
        lines.append(f"The draft differs from version {latest.number}: certpin rotate publish")
    for version in ledger.field.alive(now, timing):
        until = ledger.field.dies(version, timing)
        how = "in a binary" if version.bundled else _fetched(version)
        held = "an unknown number of clients" if version.clients is None else version.clients
        end = f"until {in_utc(until)}" if until else _without_end(version)
        told = f", last told {version.told:%Y-%m-%d}" if version.told else ""
        lines.append(f"version {version.number}, {how}, {end}, clients: {held}{told}")
    return lines


def _fetched(version: Version) -> str:
    return "not pushed yet (certpin publish push)" if version.waiting else "fetched"


def _without_end(version: Version) -> str:
    return "until you say that it has ended" if version.bundled else "until the next one"


def _sum(timing: Timing) -> str:
    return " + ".join(f"{name} {text}" for name, text in timing.texts().items())


_SAFE = re.compile(r"\b(un)?safe\b")
_DONE, _AHEAD = " ━ ", " ┄ "

# What may be done next with a pin that stands there, and what guards it.
_NEXT = {
    "staged": ("activate",),
    "published": ("activate", "remove"),
    "adopted": ("activate", "remove"),
    "active": ("retire",),
    "retiring": ("remove",),
}


@dataclass(frozen=True)
class Standing:
    """A pin of a host: where it stands, since when, and what each next step would break."""

    entry: HostPin
    state: State
    since: dict[State, datetime]
    adoption: Adoption
    served_by: tuple[str, ...]
    steps: tuple[tuple[str, tuple[Breach, ...]], ...]

    @property
    def dates(self) -> dict[State, datetime]:
        """The dates of the states, and the one from which it is adopted, if it is known."""
        from certpin.rotation.states import LINE

        at = LINE.index(self.state) if self.state in LINE else len(LINE)
        reached = {
            state: moment
            for state, moment in self.since.items()
            if state not in LINE or LINE.index(state) <= at
        }
        moment = self.adoption.moment
        out = self.state not in {"generated", "staged", "removed", "compromised"}
        return reached | ({"adopted": moment} if moment and out else {})


def stand(situation: Situation, entry: HostPin, since: dict[State, datetime]) -> Standing:
    """Look at one pin."""
    from certpin.rotation import adoption, gate, standing

    guards = {"activate": gate.to_activate, "retire": gate.to_retire, "remove": gate.to_remove}
    state = standing(situation, entry.pin)
    steps = _NEXT.get(state, ())
    return Standing(
        entry,
        state,
        since,
        adoption(situation, entry.pin),
        situation.serving(entry.pin),
        tuple((name, guards[name](situation, entry.pin)) for name in steps),
    )


def drawn(standing: Standing) -> Iterator[str]:
    """The lines of a pin."""
    from certpin.x509 import printable

    note = f"  {printable(standing.entry.note)}" if standing.entry.note else ""
    yield f"  {standing.entry.role:<12} {standing.entry.pin}{note}"
    if standing.state == "compromised":
        yield "    " + click.style("COMPROMISED: it never comes back", fg="red", bold=True)
        return
    yield "    " + _line(standing.state)
    if standing.dates:
        yield "    " + _dates(standing)
    if standing.served_by:
        yield f"    served by {', '.join(standing.served_by)}"
    for step, breaches in standing.steps:
        yield _coloured(fold(f"    {step:<9} {_verdict(breaches, standing.entry.pin)}", sys.stdout))


def _line(state: State) -> str:
    from certpin.rotation.states import LINE

    at = LINE.index(state)
    words = [_word(each, index, at) for index, each in enumerate(LINE)]
    line = words[0]
    for index, word in enumerate(words[1:], 1):
        line += (_DONE if index <= at else _AHEAD) + word
    return line


def _word(state: State, index: int, at: int) -> str:
    """The state that it is in has capitals, for a terminal without colours."""
    if index == at:
        return click.style(state.upper(), bold=True)
    return click.style(state, dim=index > at)


def _dates(standing: Standing) -> str:
    from certpin.rotation.states import LINE

    cells = [f"{_day(standing.dates.get(state)):<{len(state)}}" for state in LINE]
    return (" " * len(_DONE)).join(cells).rstrip()


def _day(moment: datetime | None) -> str:
    """Month and day: the words above are that short. The year stands in the verdict."""
    from certpin.rotation.timing import in_utc

    return "" if moment is None else in_utc(moment)[5:10]


def _verdict(breaches: tuple[Breach, ...], pin: Pin) -> str:
    from certpin.rotation.timing import in_utc

    if not breaches:
        return "safe"
    first = breaches[0]
    problem = first.problem.replace(str(pin), "it")
    until = f"unsafe until {in_utc(first.safe_from)}" if first.safe_from else "unsafe"
    return f"{until}, {first.at_risk} at risk: {problem}"


def _coloured(line: str) -> str:
    """The first word of a verdict in its colour, when the line has been folded."""
    return _SAFE.sub(lambda word: click.style(word[0], fg="red" if word[1] else "green"), line, 1)


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
