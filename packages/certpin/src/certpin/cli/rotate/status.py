"""``certpin rotate status``: the state of each pin, and the date from which each step is safe."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.candidates import complete_hosts
from certpin.cli.main import INCONCLUSIVE, PROBLEM_FOUND, SUCCESS
from certpin.cli.options import json_option, pin_file_option
from certpin.cli.reply import fold, print_json
from certpin.cli.rotate.files import RotationFiles, probe_for_reading
from certpin.cli.rotate.recording import (
    differs_from_latest,
    draft_refusals,
    push_commands,
    refusals_elsewhere,
    unmarked_keys,
    unsignable,
)
from certpin.cli.rotate.status_text import OUTDATED, NextText, ServerTable, server_table
from certpin.cli.rotate.steps import (
    UsageOptions,
    compare_destination,
    delay_options,
    format_violation,
    time_json,
    usage_options,
    violation_json,
    with_delays,
)
from certpin.cli.servers import ProbeOptions, ProbeResults, probe_options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime, timedelta
    from pathlib import Path

    from certpin.pins import HostPin, HostPolicy, Pin, State
    from certpin.rotation import (
        Adoption,
        AdoptionDelays,
        KeyExposure,
        PublishDeadline,
        Sighting,
        Situation,
        Version,
        Violation,
    )
    from certpin.rotation.gate import GatedStep

_SAFE = re.compile(r"\b(un)?safe\b")
_DONE, _AHEAD = " ━ ", " ┄ "

# The steps that may come next, by the state of the pin.
_NEXT: dict[State, tuple[GatedStep, ...]] = {
    "staged": ("activate",),
    "published": ("activate", "remove"),
    "adopted": ("activate", "remove"),
    "active": ("retire",),
    "retiring": ("remove",),
}


@click.command()
@click.argument("host", required=False, metavar="[HOST]", shell_complete=complete_hosts)
@pin_file_option
@delay_options
@usage_options
@probe_options
@json_option
@click.pass_context
def status(
    ctx: click.Context,
    host: str | None,
    path: Path,
    delays: dict[str, timedelta],
    usage: UsageOptions,
    probes: ProbeOptions,
    as_json: bool,
) -> None:
    """Show the state of each key at each server, and the next safe action with its date.

    Use it before each step of a rotation: it prints the command of the next one.

    The table has a column for each server: x presents the key now, ? did when it was last seen. The
    line of a pin goes from GENERATED to REMOVED; the dates beneath are month and day. With --cdn,
    --cache, --poll, --opened or --skew you see the dates for those delays.

    \b
    certpin rotate status
    certpin rotate status api.bank.example --offline

    Exit code 1: clients are locked out now, or will be when pins expire. 3: a server did not
    answer.
    """  # noqa: D301  # click reads the \b itself
    files = RotationFiles(path)
    if host:
        probes = replace(probes, hosts=(*probes.hosts, host))
    policies = probes.selected(files.pins) if probes.hosts else list(files.pins.policies)
    results, now = probe_for_reading(files, probes, files.pins, policies)
    timing = with_delays(files.timing, delays)
    usage.apply(files, timing, now)
    newer, unknown = compare_destination(files, probes)
    results.unknown.extend(unknown)
    draft = _Draft(files, timing, now, newer, results)
    hosts = [
        _host_status(draft, files.situation(policy, results.of(policy), now, timing), probes)
        for policy in policies
    ]
    hosts = _with_shared_emergencies(hosts)
    if as_json:
        print_json(_status_json(files, results, timing, now, hosts))
    else:
        _print_status(draft, results, hosts)
    if any(found.violations for found in hosts):
        ctx.exit(PROBLEM_FOUND)
    ctx.exit(INCONCLUSIVE if results.errors else SUCCESS)


@dataclass(frozen=True)
class PinStatus:
    """The rotation status of one pin of a host.

    Attributes:
        entry: the pin as the pin file has it.
        state: its state by the pin file and the journal.
        since: when the pin entered each of its states.
        adoption: the date from which every client accepts the pin.
        served_by: the servers that present the key of the pin.
        steps: the name of each step that can come next, with the rotation invariants that the
            command for this step would violate now. Retiring and removing a pin are steps of the
            same command, ``rotate finish``.
    """

    entry: HostPin
    state: State
    since: dict[State, datetime]
    adoption: Adoption
    served_by: tuple[str, ...]
    steps: tuple[tuple[str, tuple[Violation, ...]], ...]

    @property
    def dates(self) -> dict[State, datetime]:
        """The date on which the pin entered each state so far, and its date of adoption.

        Adoption is the date from which every client accepts the pin; it is left out if the pin is
        not published.
        """
        from certpin.rotation.journal import LINE

        at = LINE.index(self.state) if self.state in LINE else len(LINE)
        reached = {
            state: moment
            for state, moment in self.since.items()
            if state not in LINE or LINE.index(state) <= at
        }
        moment = self.adoption.moment
        out = self.state not in {"generated", "staged", "removed", "lost", "compromised"}
        return reached | ({"adopted": moment} if moment and out else {})


@dataclass(frozen=True)
class HostStatus:
    """The rotation status of a host: its pins, and the rotation invariants that are violated now.

    Attributes:
        situation: the facts from which the status is computed.
        pins: the status of each pin in the pin file, and of each generated key that only the
            journal has.
        violations: the violated invariants, the rules that prevent lockouts.
        table: the keys that each server presents.
        next: the next step in words, and from when it is safe.
        deadlines: the latest dates to publish a version before the pins that clients hold expire.
        exposures: for each stolen key, the number of clients that accept it, and until when.
    """

    situation: Situation
    pins: tuple[PinStatus, ...]
    violations: tuple[Violation, ...]
    table: ServerTable
    next: NextText
    deadlines: tuple[PublishDeadline, ...]
    exposures: tuple[KeyExposure, ...]


@dataclass(frozen=True)
class _Draft:
    """The facts about the draft that are the same for all hosts. Each is computed at most once.

    The draft is the content of the pin file, which would be published as the next version.
    ``newer`` has a violation if clients can fetch a newer version than the journal has, and
    ``results`` the chains that servers present.
    """

    files: RotationFiles
    timing: AdoptionDelays
    now: datetime
    newer: list[Violation]  # if clients can fetch a newer version than the journal has
    results: ProbeResults

    @cached_property
    def differs(self) -> bool:
        """True if the draft differs from the latest version in a way that affects clients."""
        return differs_from_latest(self.files)

    @cached_property
    def refusals(self) -> dict[str, list[Violation]]:
        """The rules that publishing the draft would violate, by host pattern."""
        return draft_refusals(self.files, self.timing, self.now, self.results)

    @cached_property
    def unsignable(self) -> list[Violation]:
        """A violation if the draft can't be signed; else empty."""
        return unsignable(self.files)


def _host_status(draft: _Draft, situation: Situation, probes: ProbeOptions) -> HostStatus:
    """Return the rotation status of a host.

    The status has the pins of the pin file, and generated keys that only the journal has.

    Args:
        draft: the facts about the pin file, the draft of the next version, for all hosts.
        situation: the facts about the host.
        probes: the options of the user that the suggested command repeats.
    """
    from certpin.pins import HostPin
    from certpin.rotation import check_now, publish_deadlines
    from certpin.rotation.next_step import NextStep, next_step

    files = draft.files
    generated = [
        HostPin(pin, "backup", state)
        for pin, state in situation.past.states.items()
        if state == "generated" and situation.entry(pin) is None
    ]
    pins = tuple(
        _pin_status(draft, situation, entry) for entry in (*situation.policy.pins, *generated)
    )
    activated = files.history.activated(situation.pattern)
    step = next_step(situation, activated, differs=draft.differs)
    if step.act in {"publish", "extend"}:
        others = refusals_elsewhere(draft.refusals, [situation.policy])
        others = [each for each in others if step.act == "publish" or each.invariant != "expiry"]
        unmarked = unmarked_keys(files)
        step = replace(step, violations=(*step.violations, *others, *unmarked, *draft.unsignable))
    if files.journal_doubt and step.act != "emergency":
        step = NextStep("journal")
    for host, pin, _ in files.unmarked:
        if host == situation.pattern:
            step = NextStep("emergency", pin)
    if step.act != "none":
        step = replace(step, violations=(*draft.newer, *step.violations))
    return HostStatus(
        situation,
        pins,
        (*draft.newer, *check_now(situation)),
        server_table(situation, [(each.entry.pin, each.entry.role, each.state) for each in pins]),
        NextText(step, situation, files, probes),
        publish_deadlines(situation),
        tuple(_exposures(situation)),
    )


def _with_shared_emergencies(hosts: list[HostStatus]) -> list[HostStatus]:
    """Return the status of each host, in which hosts with the same stolen or lost key share a path.

    The next version is refused until the key is dealt with at each of them.
    """
    shared: dict[Pin | None, list[HostPolicy]] = {}
    for found in hosts:
        if found.next.step.act == "emergency":
            shared.setdefault(found.next.step.pin, []).append(found.situation.policy)
    return [
        replace(found, next=replace(found.next, hosts=tuple(shared[found.next.step.pin])))
        if found.next.step.act == "emergency"
        else found
        for found in hosts
    ]


def _exposures(situation: Situation) -> Iterator[KeyExposure]:
    """Yield how many clients accept each stolen key, and until when, if some clients accept it.

    A key and its certificates may be pinned. If clients accept both for the same time, the result
    has only the key.
    """
    from certpin.rotation import key_exposure

    shown = set()
    for pin in sorted(situation.compromised, key=lambda each: (each.kind != "sha256", str(each))):
        exposure = key_exposure(situation, pin)
        keys = (each for each in situation.same_keys({pin}) if each.kind == "sha256")
        same = next(keys, pin), exposure.stages
        if exposure.stages and same not in shown:
            shown.add(same)
            yield exposure


def _pin_status(draft: _Draft, situation: Situation, entry: HostPin) -> PinStatus:
    from certpin.rotation import adoption, check_step, pin_state
    from certpin.rotation.renewal import removal_violations

    pin = entry.pin
    state = pin_state(situation, pin)
    steps = tuple(
        (
            step,
            (
                *draft.newer,
                *(
                    check_step(situation, step, pin)
                    if step == "activate"
                    else removal_violations(situation, pin)
                ),
            ),
        )
        for step in _NEXT.get(state, ())
    )
    since = draft.files.history.since(situation.pattern, pin)
    return PinStatus(entry, state, since, adoption(situation, pin), situation.serving(pin), steps)


# As text.


def _print_status(draft: _Draft, results: ProbeResults, hosts: list[HostStatus]) -> None:
    now = draft.now
    outdated = [f"NOW: {format_violation(violation)}" for violation in draft.newer]
    for line in (*_version_lines(draft.files, draft.timing, now), *outdated):
        click.echo(fold(line, sys.stdout))
    for host in hosts:
        click.echo("")
        click.secho(str(host.situation.pattern), bold=True)
        for line in _summary_lines(host, now):
            click.echo(fold(f"  {line}", sys.stdout))
        for pin in host.pins:
            for line in _pin_lines(pin):
                click.echo(line)
    for unknown in results.unknown:
        click.echo(fold(f"\nNot known: {unknown}.", sys.stdout))


def _summary_lines(host: HostStatus, now: datetime) -> Iterator[str]:
    """Yield output lines: violated rules, next step, deadlines, stolen keys, server table.

    ``host`` is the rotation status of the host.
    """
    from certpin.rotation import exposure_text

    for violation in host.violations:
        if violation.invariant != "outdated":  # printed once, because it is about all hosts
            yield f"NOW: {format_violation(violation)}"
    yield from host.next.lines()
    for deadline in host.deadlines:
        if deadline.advice and deadline.is_late(now):
            continue  # the rule `expiry` has the same advice
        word = "TOO LATE" if deadline.is_late(now) else "DEADLINE"
        yield f"{word}: {deadline.text(now)}"
    for exposure in host.exposures:
        for text in exposure_text(exposure):
            yield f"STOLEN: {exposure.pin}: {text}"
    yield from host.table.lines()


def _version_lines(files: RotationFiles, timing: AdoptionDelays, now: datetime) -> list[str]:
    """Return a line for each version that clients may hold, after a line with the update delays.

    ``files`` are the pin file and the journal. If the pin file differs from the latest version, a
    line says so. ``timing`` has the delays until clients update.
    """
    from certpin.rotation import format_duration, in_utc
    from certpin.rotation.violation import clients_text

    deployed, latest = files.deployed, files.deployed.latest
    delays = " + ".join(f"{name} {text}" for name, text in timing.texts().items())
    lines = [f"T_adopt {format_duration(timing.adopt)}: {delays}"]
    if latest is None:
        if files.journal_doubt:
            return [*lines, f"No version is recorded, although {files.journal_doubt}."]
        return [*lines, "No version is recorded: record the one that clients have."]
    if differs_from_latest(files):
        lines.append(f"The draft differs from version {latest.number}.")
    for version in deployed.alive(now, timing):
        until = deployed.end_of_life(version, timing)
        how = "in a binary" if version.bundled else _fetched(version, files)
        held = clients_text(_clients_with(version, files, timing, now))
        end = f"until {in_utc(until)}" if until else _without_end(version)
        last = version.last_reported
        reported = f", last reported {last:%Y-%m-%d}" if last else ""
        lines.append(f"version {version.number}, {how}, {end}, held by {held}{reported}")
    return lines


def _clients_with(
    version: Version, files: RotationFiles, timing: AdoptionDelays, now: datetime
) -> int | None:
    """Return the number of clients that hold a version now, or None if it is unknown.

    ``files`` are the pin file and the journal. ``timing`` has the delays until clients update. The
    rules that refuse a rotation step use the same count for the clients at risk.
    """
    from certpin.rotation.fleet import clients_at_risk

    situation = files.situation(files.pins.policies[0], (), now, timing)
    return clients_at_risk(situation, [version])


def _fetched(version: Version, files: RotationFiles) -> str:
    if not version.pending:
        return "fetched"
    command, *others = push_commands(files)
    return f"not {'signed' if others else 'pushed'} yet ({command})"


def _without_end(version: Version) -> str:
    return "until you record that it has ended" if version.bundled else "until the next version"


def _pin_lines(pin: PinStatus) -> Iterator[str]:
    """Yield the output lines of a pin: its states, their dates, its servers, and the next steps.

    A compromised or lost pin gets one line with a warning instead.
    """
    from certpin.rotation.gate import COMMAND_OF_STEP
    from certpin.support.text import printable

    note = f"  {printable(pin.entry.note)}" if pin.entry.note else ""
    yield f"  {pin.entry.role:<12} {pin.entry.pin}{note}"
    words = {
        "compromised": "COMPROMISED: it is never used again",
        "lost": "LOST: no server can use it; clients may still accept it",
    }
    if pin.state in words:
        yield "    " + click.style(words[pin.state], fg="red", bold=True)
        return
    yield "    " + _state_line(pin.state)
    if pin.dates:
        yield "    " + _date_line(pin)
    if pin.served_by:
        yield f"    served by {', '.join(pin.served_by)}"
    for step, violations in pin.steps:
        line = f"    {COMMAND_OF_STEP[step]:<9} {_verdict(violations, pin.entry.pin)}"
        yield _with_colour(fold(line, sys.stdout))


def _state_line(state: State) -> str:
    from certpin.rotation.journal import LINE

    at = LINE.index(state)
    words = [_state_word(word, index, at) for index, word in enumerate(LINE)]
    line = words[0]
    for index, word in enumerate(words[1:], 1):
        line += (_DONE if index <= at else _AHEAD) + word
    return line


def _state_word(state: State, index: int, at: int) -> str:
    """Return the name of a state, styled for the line that lists all states of a pin in order.

    The pin's current state is in bold capitals; later states are dimmed.

    Args:
        state: the state.
        index: its position in the line.
        at: the position of the pin's current state.
    """
    if index == at:
        return click.style(state.upper(), bold=True)
    return click.style(state, dim=index > at)


def _date_line(pin: PinStatus) -> str:
    from certpin.rotation.journal import LINE

    cells = [f"{_month_and_day(pin.dates.get(state)):<{len(state)}}" for state in LINE]
    return (" " * len(_DONE)).join(cells).rstrip()


def _month_and_day(moment: datetime | None) -> str:
    """Return a date as month and day, short enough to fit below the name of a state.

    ``moment`` is the date; the result is empty for ``None``.
    """
    from certpin.rotation import in_utc

    return "" if moment is None else in_utc(moment)[5:10]


def _verdict(violations: tuple[Violation, ...], pin: Pin) -> str:
    from certpin.rotation import in_utc

    if not violations:
        return "safe"
    first = violations[0]
    if first.invariant == "outdated":
        return f"unsafe: {OUTDATED}"
    problem = first.problem.replace(str(pin), "it")
    until = f"unsafe until {in_utc(first.safe_from)}" if first.safe_from else "unsafe"
    return f"{until}, {first.at_risk} at risk: {problem}"


def _with_colour(line: str) -> str:
    """Return a line of output with the word "safe" in green, or "unsafe" in red.

    Wrap the line to the width of the terminal before the call: colour codes would count as columns.
    """
    return _SAFE.sub(lambda word: click.style(word[0], fg="red" if word[1] else "green"), line, 1)


# As JSON.


def _status_json(
    files: RotationFiles,
    results: ProbeResults,
    timing: AdoptionDelays,
    now: datetime,
    hosts: list[HostStatus],
) -> dict[str, Any]:
    from certpin.rotation import format_duration

    deployed = files.deployed
    alive = deployed.alive(now, timing)
    return {
        "file": str(files.path),
        "pin_set": files.pins.name,
        "version": files.pins.version,
        "published": not differs_from_latest(files),
        "timing": timing.texts() | {"adopt": format_duration(timing.adopt)},
        "versions": [
            {
                "version": version.number,
                "fetched": time_json(version.fetched),
                "bundled": time_json(version.bundled),
                "ended": time_json(version.ended),
                "waiting": version.pending,
                "alive": version in alive,
                "until": time_json(deployed.end_of_life(version, timing)),
                "clients": version.clients,
                "held": _clients_with(version, files, timing, now) if version in alive else 0,
                "told": time_json(version.last_reported),
                "gone": time_json(version.negligible_since),
            }
            for version in deployed.versions
        ],
        "hosts": [_host_json(host, now) for host in hosts],
        "contradictions": list(files.contradictions),
        "unknown": results.unknown,
    }


def _host_json(status: HostStatus, now: datetime) -> dict[str, Any]:
    host = str(status.situation.pattern)
    return {
        "host": host,
        "vantages": [_sighting_json(sighting) for sighting in status.situation.sightings],
        "breaches": [violation_json(host, violation) for violation in status.violations],
        "next": status.next.json(host),
        "deadlines": [deadline.json(now) for deadline in status.deadlines],
        "exposures": [exposure.json() for exposure in status.exposures],
        "servers": status.table.json(),
        "pins": [_pin_json(host, pin) for pin in status.pins],
    }


def _sighting_json(sighting: Sighting) -> dict[str, Any]:
    from certpin.pins import pins_of

    path = sighting.chain.certificates if sighting.chain else None
    pins = [str(pins_of(certificate)[0]) for certificate in path] if path else None
    return {"vantage": sighting.vantage, "chain_pins": pins}


def _pin_json(host: str, pin: PinStatus) -> dict[str, Any]:
    return {
        "pin": str(pin.entry.pin),
        "role": pin.entry.role,
        "state": pin.state,
        "note": pin.entry.note or None,
        "reached": [
            {"state": state, "time": moment.isoformat()} for state, moment in pin.dates.items()
        ],
        "served_by": list(pin.served_by),
        "refused_by": [version.number for version in pin.adoption.refusing],
        "steps": [
            {
                "step": step,
                "breaches": [violation_json(host, violation) for violation in violations],
            }
            for step, violations in pin.steps
        ],
    }
