"""``certpin rotate simulate``: which clients the steps of a rotation would lock out."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.extras import extra_needed
from certpin.cli.main import PROBLEM_FOUND, SUCCESS
from certpin.cli.named_key import KEY_FILE, policies_for_step, resolve_key
from certpin.cli.options import json_option, pin_file_option
from certpin.cli.reply import check_folder, fold, print_json, progress
from certpin.cli.rotate.files import RotationFiles, probe_for_reading
from certpin.cli.rotate.new_chain import NewChain
from certpin.cli.rotate.plan import host_plans
from certpin.cli.rotate.simulate_input import (
    FleetOptions,
    fleet_options,
    fleet_text,
    parse_moves,
    read_steps,
)
from certpin.cli.rotate.steps import (
    UsageOptions,
    delay_options,
    format_violation,
    time_json,
    usage_options,
    with_delays,
)
from certpin.cli.servers import ProbeOptions, probe_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

    from certpin.cli.rotate.simulate_input import PinNames
    from certpin.cli.rotate.simulate_views import HostSimulation
    from certpin.pins import HostPolicy, Pin, PinSet
    from certpin.rotation import Plan, Prospect, Situation
    from certpin.rotation.fleet import Fleet
    from certpin.rotation.simulate import Hour, Lockout
    from certpin.rotation.simulate_script import DatedStep, Script

_FORMATS = {".png", ".svg"}
_MIN_CHUNKS = 16  # chunks of clients, about a second; from here on a progress bar is shown


@click.command()
@pin_file_option
@click.option("--to", "key", metavar="KEY|CSR|CERT|PIN|URI", help="Simulate the plan to this key.")
@click.option(
    "--steps",
    "schedule",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Simulate the steps of this file (TOML) instead, in any order.",
)
@click.option(
    "--move",
    "moves",
    multiple=True,
    callback=parse_moves,
    metavar="STEP=DURATION",
    help="Take a step earlier (3=-5d) or later (3=5d), and the others at their dates. "
    "May be repeated.",
)
@fleet_options
@click.option(
    "--plot",
    "picture",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.png|FILE.svg",
    help="Also draw the result, to this file.",
)
@delay_options
@usage_options
@probe_options
@json_option
@click.pass_context
def simulate(
    ctx: click.Context,
    path: Path,
    key: str | None,
    schedule: Path | None,
    moves: Mapping[int, timedelta],
    crowd: FleetOptions,
    picture: Path | None,
    delays: dict[str, timedelta],
    usage: UsageOptions,
    probes: ProbeOptions,
    as_json: bool,
) -> None:
    """Simulate a fleet: which clients would a plan, or a mistake, lock out?

    Each of many clients gets every version when its CDN, its cache, its polling, its user and its
    clock allow it. The simulation counts the clients that refuse the keys of the servers at a time.
    Nothing is changed, and nothing is written except the picture.

    \b
    certpin rotate simulate --to next.key
    certpin rotate simulate --to next.key --move 4=-5d --plot early.svg
    certpin rotate simulate --steps schedule.toml --clients 1000000

    The steps of a plan have the numbers that `certpin rotate plan` prints. If --to is the file of a
    chain, clients verify it. A file for --steps (each step: now, at a time, or after a delay from
    now):

    \b
      schema = 1
      [[step]]
      act = "stage"              # now; also publish, push, serve, remove
      pin = "new:2027"           # a key that does not exist yet; or a key file, a pin
      [[step]]
      act = "publish"            # at the time of the step above it
      [[step]]
      act = "serve"
      pin = "new:2027"
      after = "33d"              # from now on; or at = 2027-03-01T09:00:00Z

    Exit code 0: no client is locked out. 1: clients are locked out. 2: wrong usage, or
    there is no plan. 3: a server did not answer.
    """  # noqa: D301  # click reads the \b itself
    from certpin.pins import utc_now
    from certpin.rotation import step_time

    _check_packages(picture)
    files = RotationFiles(path)
    files.require_version()
    now = step_time(files.newest, utc_now())
    timing = with_delays(files.timing, delays)
    usage.apply(files, timing, now)
    source, policies = _step_source(key, schedule, now, files.pins, probes)
    if picture and len(policies) > 1:
        raise click.UsageError("a picture shows one host: name it with --host")
    results, _ = probe_for_reading(files, probes, files.pins, policies)
    results.require_answers()
    situations = [files.situation(policy, results.of(policy), now, timing) for policy in policies]
    scripts = _scripts(files, situations, source, moves)
    fleet = crowd.fleet(files.deployed, files.deployed.alive(now, timing), timing)
    simulated = _run(situations, scripts, fleet, source.names)
    if picture:
        _draw(simulated[0], fleet, picture)
    unknown = [*results.unknown, *filter(None, map(_assumption, situations))]
    unknown += source.to.unknown if source.to else []
    if as_json:
        data = {
            "file": str(path),
            "to": str(source.to.pin) if source.to else None,
            "schedule": str(schedule) if schedule else None,
            "fleet": _fleet_json(fleet),
            "hosts": [_host_json(host) for host in simulated],
            "unknown": unknown,
            "picture": str(picture) if picture else None,
        }
        print_json(data)
    else:
        _print_result(fleet, simulated, unknown, picture)
    ctx.exit(PROBLEM_FOUND if any(host.outcome.locked_out for host in simulated) else SUCCESS)


@dataclass(frozen=True)
class StepSource:
    """The steps to simulate: those that lead to a key (``--to``), or those of a file (``--steps``).

    Attributes:
        to: the key or chain that servers use after the last step; ``None`` for the steps of a file.
        steps: the steps of the file. Empty for a key: its steps are computed for each host.
        names: for each pin, the name by which the user knows it, such as that of a key file.
    """

    to: NewChain | None
    steps: tuple[DatedStep, ...]
    names: PinNames


def _step_source(
    key: str | None, schedule: Path | None, now: datetime, pins: PinSet, probes: ProbeOptions
) -> tuple[StepSource, list[HostPolicy]]:
    """Return the steps to simulate, and the policies of the hosts that they are for.

    Args:
        key: the value of ``--to``: the key or chain to which the steps lead; None if not given.
        schedule: the value of ``--steps``: a file of steps; None if not given.
        now: the current time.
        pins: the pin set of the pin file.
        probes: the options that choose the hosts.

    Raises:
        click.UsageError: the user gave both of ``--to`` and ``--steps``, or neither.
    """
    if schedule and key is None:
        source = StepSource(None, *read_steps(schedule, now))
        return source, policies_for_step(pins, probes, None)
    if key is None or schedule:
        raise click.UsageError("name a key with --to, or a file with --steps, and not both")
    found = resolve_key(key)
    name = found.note.removeprefix(KEY_FILE)
    policies = policies_for_step(pins, probes, found)
    chain = NewChain(found, policies)
    chain.require_certifiable()
    return StepSource(chain, (), {found.pin: name} if name else {}), policies


def _scripts(
    files: RotationFiles,
    situations: Sequence[Situation],
    source: StepSource,
    moves: Mapping[int, timedelta],
) -> list[Script]:
    """Return the events to simulate at each host, computed from the steps.

    Args:
        files: the pin file and the journal.
        situations: the facts about each host.
        source: the steps.
        moves: for each step number, the duration by which the step is later; negative if it is
            earlier. The numbers count the steps of each host from 1.

    Raises:
        InputError: a step is in the past, too far ahead, or can't be moved.
        ConfigError: a safety rule stops the plan to the new key at a host, or a step removes a pin
            that is never in the pin file.
    """
    if source.to is None:
        return [_script(each, source.steps, moves, {}) for each in situations]
    presented = {source.to.pin: source.to.prospects}
    plans = host_plans(files, source.to, situations)
    return [script_of_plan(each, plans[str(each.pattern)], moves, presented) for each in situations]


def script_of_plan(
    situation: Situation,
    made: Plan,
    moves: Mapping[int, timedelta],
    presented: Mapping[Pin, Sequence[Prospect]],
) -> Script:
    """Return the events to simulate at one host if the steps of a plan are taken.

    Each step is taken on its date in the plan, or earlier or later by its duration in ``moves``.

    Args:
        situation: the facts about the host.
        made: the plan.
        moves: by the number of a step, the duration by which it is later than planned; negative if
            it is earlier.
        presented: by pin, the chains that servers may present with its key. For a pin that is
            missing here, the chain is assumed.

    Raises:
        InputError: a step would be in the past, or too far ahead.
        ConfigError: a safety rule stops the plan, so that servers never use the new key; or a step
            removes a pin that the pin file doesn't have then.
    """
    from certpin.errors import ConfigError
    from certpin.rotation.simulate_script import dated_steps

    if made.violations:
        raise ConfigError(
            f"there is no plan to {made.to}: {format_violation(made.violations[0])}",
            key=str(situation.pattern),
            fix="see certpin rotate plan, or write the steps into a file for --steps",
        )
    return _script(situation, dated_steps(made.steps, situation.now), moves, presented)


def _script(
    situation: Situation,
    steps: Sequence[DatedStep],
    moves: Mapping[int, timedelta],
    presented: Mapping[Pin, Sequence[Prospect]],
) -> Script:
    from certpin.errors import ConfigError
    from certpin.rotation.simulate_script import build_script, moved_steps

    staged = (dated.step.pin for dated in steps if dated.step.act == "stage")
    known = {*situation.policy.live_pins, *staged}
    for dated in steps:
        if dated.step.act == "remove" and dated.step.pin not in known:
            raise ConfigError(
                f"step {dated.number} removes {dated.step.pin}, which is never in the draft",
                key=str(situation.pattern),
                fix="name a pin of the pin file, or stage it in another step",
            )
    return build_script(situation, moved_steps(steps, moves), presented)


def _print_result(
    fleet: Fleet, simulated: list[HostSimulation], unknown: list[str], picture: Path | None
) -> None:
    from certpin.cli.rotate.simulate_views import print_simulation

    click.echo(fold(fleet_text(fleet), sys.stdout))
    for host in simulated:
        print_simulation(host)
    click.echo("")
    for line in unknown:
        click.echo(fold(f"Not known: {line}.", sys.stdout))
    if picture:
        click.echo(f"Drawn: {picture}")


def _run(
    situations: Sequence[Situation], scripts: Sequence[Script], fleet: Fleet, names: PinNames
) -> list[HostSimulation]:
    from certpin.cli.rotate.simulate_views import HostSimulation
    from certpin.rotation.simulate import chunk_size
    from certpin.rotation.simulate import simulate as run

    chunks = sum(-(-fleet.clients // chunk_size(script)) for script in scripts)
    with progress(chunks, "simulating", quiet=chunks < _MIN_CHUNKS) as advance:
        return [
            HostSimulation(str(situation.pattern), script, run(script, fleet, done=advance), names)
            for situation, script in zip(situations, scripts, strict=True)
        ]


def _assumption(situation: Situation) -> str:
    """Return a clause for the user about the unknown keys of a host's servers; empty if known.

    The keys are unknown in a simulation that contacted no server. The clause says which keys it
    assumes, or that it counts no refusals before the first step that installs a key.
    """
    from certpin.rotation.simulate_script import assumed_chains

    if situation.sightings:
        return ""
    host = situation.pattern
    if assumed_chains(situation):
        return f"which keys {host} serves: assumed to be the keys that are ACTIVE in the file"
    return f"which keys {host} serves: no client is refused before a step installs a key"


def _check_packages(picture: Path | None) -> None:
    """Check that the packages for a simulation are installed, before any server is contacted.

    Args:
        picture: the file for the picture; None without a picture.

    Raises:
        ConfigError: a package is missing, or the picture can't be written.
        click.UsageError: the format of the picture is unknown.
    """
    _require("numpy", "a simulation")
    if picture is None:
        return
    if picture.suffix.lower() not in _FORMATS:
        raise click.UsageError(f"--plot writes {' or '.join(sorted(_FORMATS))}, not {picture.name}")
    _require("matplotlib", "a picture of a simulation")
    check_folder(picture)


def _require(package: str, what: str) -> None:
    with extra_needed("simulate", what):
        import_module(package)


def _draw(host: HostSimulation, fleet: Fleet, path: Path) -> None:
    from certpin.cli.rotate.simulate_plot import draw
    from certpin.pinfile.file import write_atomically

    write_atomically(path, draw(host, fleet, path.suffix.lower().removeprefix(".")))


# As JSON.


def _fleet_json(fleet: Fleet) -> dict[str, Any]:
    from certpin.rotation import format_duration

    adopt = {"adopt": format_duration(fleet.timing.adopt)}
    return {
        "clients": fleet.clients,
        "timing": fleet.timing.texts() | adopt,
        "curve": [
            {"share": float(share), "gap": format_duration(gap)} for share, gap in fleet.curve
        ],
        "stragglers": float(fleet.stragglers),
        "binaries": [
            {"version": number, "share": float(share)} for number, share in fleet.binaries
        ],
        "apps": [{"app": name, "share": float(share)} for name, share in fleet.apps],
    }


def _host_json(host: HostSimulation) -> dict[str, Any]:
    outcome = host.outcome
    return {
        "host": host.host,
        "begin": host.script.begin.isoformat(),
        "end": host.end.isoformat(),
        "locked_out": outcome.locked_out,
        "seconds": outcome.seconds,
        "peak": _hour_json(outcome.peak),
        "steps": [_step_json(host, dated) for dated in host.ordered],
        "lockouts": [_lockout_json(lockout) for lockout in outcome.lockouts],
        "course": [_hour_json(hour) for hour in _changed_hours(outcome.hours)],
    }


def _step_json(host: HostSimulation, dated: DatedStep) -> dict[str, Any]:
    from certpin.rotation import NEXT_BACKUP

    step, safety = dated.step, host.safety(dated.number)
    lockout = host.lockout(dated.number)
    return {
        "number": dated.number,
        "act": step.act,
        "pin": str(step.pin) if step.pin and step.pin != NEXT_BACKUP else None,
        "named": host.pin_name(step.pin) if step.pin else None,
        "version": host.version(dated.number),
        "at": dated.at.isoformat(),
        "noticed": safety is not None,
        "locked_out": lockout.clients if lockout else 0,
        "first": time_json(lockout.first if lockout else None),
        "last": time_json(lockout.last if lockout else None),
        "safe_from": time_json(safety.guaranteed if safety else None),
    }


def _lockout_json(lockout: Lockout) -> dict[str, Any]:
    return {
        "event": lockout.cause.event,
        "step": lockout.cause.step,
        "version": lockout.cause.version,
        "clients": lockout.clients,
        "first": lockout.first.isoformat(),
        "last": lockout.last.isoformat(),
    }


def _hour_json(hour: Hour) -> dict[str, Any]:
    return {
        "at": hour.at.isoformat(),
        "locked_out": hour.locked_out,
        "held": [{"version": number, "clients": count} for number, count in hour.held.items()],
    }


def _changed_hours(hours: Sequence[Hour]) -> Iterator[Hour]:
    """Yield the first simulated hour, and each hour with other client counts than before.

    Hours that repeat the counts of the hour before are left out.
    """
    before: Hour | None = None
    for hour in hours:
        if before is None or (hour.locked_out, hour.held) != (before.locked_out, before.held):
            yield hour
        before = hour
