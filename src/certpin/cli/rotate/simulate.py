"""``certpin rotate simulate``: who would be locked out, before anything is done."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.main import FINDING, HOLDS
from certpin.cli.options import json_option, pin_file_option
from certpin.cli.reply import print_json
from certpin.cli.rotate.context import delay_options, merged, told
from certpin.cli.rotate.simulate_input import crowd_options, parse_moves
from certpin.cli.screen import fold
from certpin.cli.servers import Vantages, vantage_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

    from certpin.cli.keyref import Aim
    from certpin.cli.rotate.simulate_input import Crowd, Names
    from certpin.cli.rotate.simulate_views import Case
    from certpin.pins import Pin
    from certpin.rotation import Situation
    from certpin.rotation.simulate import Hour, Lockout
    from certpin.rotation.simulate_fleet import Fleet
    from certpin.rotation.simulate_script import Dated, Script


_FORMATS = {".png", ".svg"}
_LONG = 16  # chunks of clients, a second's work: from there on there is a progress bar


@click.command()
@pin_file_option
@click.option("--to", "key", metavar="KEY|CSR|CERT|PIN|URI", help="Simulate the plan to this key.")
@click.option(
    "--steps",
    "schedule",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Simulate the steps of this file (TOML) instead, in whatever order.",
)
@click.option(
    "--move",
    "moves",
    multiple=True,
    callback=parse_moves,
    metavar="STEP=DURATION",
    help="Take a step earlier (3=-5d) or later (3=5d), and the others when they were. "
    "May be repeated.",
)
@crowd_options
@click.option(
    "--plot",
    "picture",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.png|FILE.svg",
    help="Draw it, too: a picture of this name.",
)
@delay_options
@vantage_options
@json_option
@click.pass_context
def simulate(
    ctx: click.Context,
    path: Path,
    key: str | None,
    schedule: Path | None,
    moves: Mapping[int, timedelta],
    crowd: Crowd,
    picture: Path | None,
    delays: dict[str, timedelta],
    vantages: Vantages,
    as_json: bool,
) -> None:
    """See whom a plan, or a slip, would lock out: a simulated fleet.

    Each of many clients gets every version when its CDN, its cache, its polling, its user and its
    clock let it. Counted is who is refused by what the servers use then. Nothing is changed, and
    nothing is written but the picture.

    \b
    certpin rotate simulate --to next.key
    certpin rotate simulate --to next.key --move 4=-5d --plot early.svg
    certpin rotate simulate --steps schedule.toml --clients 1000000

    The steps of a plan have the numbers that `certpin rotate plan` prints.

    Exit code 0: nobody is locked out. 1: somebody is. 2: usage, or there is no plan. 3: a host
    could not be asked.
    """  # noqa: D301  # click reads the \b itself
    from certpin.cli.keyref import meant
    from certpin.cli.rotate.context import Ledger
    from certpin.pins import utc_now

    _check_packages(picture)
    ledger = Ledger(path)
    ledger.need_a_version()
    now, timing = utc_now(), merged(ledger.timing, delays)
    wanted = _wanted(key, schedule, now)
    policies = meant(ledger.pins, vantages, wanted.to)
    if picture and len(policies) > 1:
        raise click.UsageError("a picture is of one host: name it with --host")
    looked = vantages.look(ledger.pins, policies)
    if looked.error:
        raise looked.error
    situations = [ledger.situation(each, looked.of(each), now, timing) for each in policies]
    stories = [story_of(each, wanted, moves) for each in situations]
    fleet = crowd.fleet(ledger.field.alive(now, timing), timing)
    cases = _run(situations, stories, fleet, wanted.names)
    if picture:
        _draw(cases[0], fleet, picture)
    unknown = [*looked.unknown, *filter(None, map(_taken_for_granted, situations))]
    if as_json:
        facts = {
            "file": str(path),
            "to": str(wanted.to.pin) if wanted.to else None,
            "schedule": str(schedule) if schedule else None,
            "fleet": fleet_facts(fleet),
            "hosts": [case_facts(each) for each in cases],
            "unknown": unknown,
            "picture": str(picture) if picture else None,
        }
        print_json(facts)
    else:
        _tell(fleet, cases, unknown, picture)
    ctx.exit(FINDING if any(each.outcome.locked_out for each in cases) else HOLDS)


@dataclass(frozen=True)
class Wanted:
    """What is to be simulated: the plan to a key, or written steps. ``names`` are those of pins."""

    to: Aim | None
    steps: tuple[Dated, ...]
    names: Names


def _wanted(key: str | None, schedule: Path | None, now: datetime) -> Wanted:
    from certpin.cli.keyref import KEY_FILE, aim
    from certpin.cli.rotate.simulate_input import read_steps

    if schedule and key is None:
        return Wanted(None, *read_steps(schedule, now))
    if key is None or schedule:
        raise click.UsageError("name a key with --to, or a file with --steps, and not both")
    found = aim(key)
    name = found.note.removeprefix(KEY_FILE)
    return Wanted(found, (), {found.pin: name} if name else {})


def story_of(situation: Situation, wanted: Wanted, moves: Mapping[int, timedelta]) -> Script:
    """What happens to the clients of a host. Raises ``InputError`` and ``ConfigError``."""
    from certpin.errors import ConfigError
    from certpin.rotation.simulate_script import moved, script

    steps = _planned(situation, wanted.to.pin) if wanted.to else wanted.steps
    known = {*situation.policy.live_pins, *(e.step.pin for e in steps if e.step.act == "stage")}
    for each in steps:
        if each.step.act == "remove" and each.step.pin not in known:
            raise ConfigError(
                f"step {each.number} takes {each.step.pin} out of the draft, which is never in it",
                key=str(situation.pattern),
                fix="name a pin of the pin file, or stage it in another step",
            )
    return script(situation, moved(steps, moves))


def _planned(situation: Situation, to: Pin) -> tuple[Dated, ...]:
    """The planner's own steps, each as early as it allows."""
    from certpin.errors import ConfigError
    from certpin.rotation import plan as steps_to
    from certpin.rotation.simulate_script import dated

    made = steps_to(situation, to)
    if made.breaches:
        raise ConfigError(
            f"there is no plan to {to}: {told(made.breaches[0])}",
            key=str(situation.pattern),
            fix="see certpin rotate plan, or write the steps into a file for --steps",
        )
    return dated(made.steps, situation.now)


def _tell(fleet: Fleet, cases: list[Case], unknown: list[str], picture: Path | None) -> None:
    from certpin.cli.rotate.simulate_input import fleet_words
    from certpin.cli.rotate.simulate_views import tell

    click.echo(fold(fleet_words(fleet), sys.stdout))
    for each in cases:
        tell(each)
    click.echo("")
    for line in unknown:
        click.echo(fold(f"Not known: {line}.", sys.stdout))
    if picture:
        click.echo(f"Drawn: {picture}")


def _run(
    situations: Sequence[Situation], stories: Sequence[Script], fleet: Fleet, names: Names
) -> list[Case]:
    from certpin.cli.at_once import progress
    from certpin.cli.rotate.simulate_views import Case
    from certpin.rotation.simulate import chunk_of
    from certpin.rotation.simulate import simulate as run

    chunks = sum(-(-fleet.clients // chunk_of(story)) for story in stories)
    with progress(chunks, "simulating", quiet=chunks < _LONG) as advance:
        return [
            Case(str(situation.pattern), story, run(story, fleet, done=advance), names)
            for situation, story in zip(situations, stories, strict=True)
        ]


def _taken_for_granted(situation: Situation) -> str:
    """What is put in the place of what nobody has looked at."""
    from certpin.rotation.simulate_script import assumed

    if situation.sightings:
        return ""
    if assumed(situation):
        return f"what {situation.pattern} serves: taken to be the keys that are active in the file"
    return f"what {situation.pattern} serves: nobody is refused before a step installs a key"


def _check_packages(picture: Path | None) -> None:
    """Say before anything is asked or read that a simulation, or its picture, cannot be made."""
    from certpin.cli.placing import check_folder

    _need("numpy", "a simulation")
    if picture is None:
        return
    if picture.suffix.lower() not in _FORMATS:
        raise click.UsageError(f"--plot writes {' or '.join(sorted(_FORMATS))}, not {picture.name}")
    _need("matplotlib", "a picture of a simulation")
    check_folder(picture)


def _need(package: str, what: str) -> None:
    from certpin.errors import ConfigError

    try:
        import_module(package)
    except ImportError as exc:
        raise ConfigError(
            f"{what} needs the package {package}", fix="pip install 'certpin[simulate]'"
        ) from exc


def _draw(case: Case, fleet: Fleet, path: Path) -> None:
    from certpin.cli.rotate.simulate_plot import drawn
    from certpin.pinfile.writing import write_atomically

    write_atomically(path, drawn(case, fleet, path.suffix.lower().removeprefix(".")))


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
