"""``certpin rotate publish`` and ``ended``: a version goes out to clients, and a version ends."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from certpin.cli.options import json_option, pin_file_option
from certpin.cli.rotate.context import (
    ForceOptions,
    RotationFiles,
    StepOutcome,
    delay_options,
    force_options,
    name_of,
    of_host,
    who_option,
    with_delays,
)
from certpin.cli.servers import ProbeOptions, ProbeResults, probe_options

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from pathlib import Path

    from certpin.cli.rotate.context import HostViolation
    from certpin.rotation import Event, Timing

_UNPUBLISHED = {"generated", "staged"}


@click.command()
@pin_file_option
@click.option(
    "--bundled",
    is_flag=True,
    help="The version is in a binary: it is alive until you record that it has ended.",
)
@click.option(
    "--signed/--unsigned",
    default=None,
    help="Clients get it as a signed set, from the next `certpin publish push` on. By default "
    "signed if there is a folder `publish`, or if the previous version was signed.",
)
@click.option(
    "--clients",
    type=click.IntRange(min=0),
    metavar="N",
    help="How many clients will have this version.",
)
@delay_options
@probe_options
@force_options
@who_option
@json_option
@click.pass_context
def publish(
    ctx: click.Context,
    path: Path,
    bundled: bool,
    signed: bool | None,
    clients: int | None,
    delays: dict[str, timedelta],
    probes: ProbeOptions,
    force: ForceOptions,
    who: str | None,
    as_json: bool,
) -> None:
    """Record that the pin file goes out to clients, under the next version.

    Refused if it would lock clients out of one of its hosts: the served chain has to match it,
    there has to be a backup outside the served chain, and the pins must not expire before every
    client can have the next version.

    certpin uploads nothing: give the file to your clients as soon as this has ended with 0.
    """
    from certpin.pins import utc_now
    from certpin.rotation import Event

    files = RotationFiles(path)
    timing = with_delays(files.timing, delays)
    signed = not bundled and (_is_signed(files) if signed is None else signed)
    if signed:
        _require_signable(path)
    is_first = not files.deployed.versions
    version = _next_version(files, bundled=bundled, signed=signed)
    _make_published(files, version)
    pins, now = files.pins, utc_now()
    results = probes.probe(pins, pins.policies)
    force.require_answers(results)
    violations = _violations(files, results, timing, now)
    outcome = StepOutcome(
        "publish",
        path,
        [str(policy.pattern) for policy in pins.policies],
        version=pins.version,
        forced=force.force,
        violations=violations,
        unknown=results.unknown,
        next_command=probes.next_command("certpin rotate status", path, pins),
    )
    if not force.refuses(violations):
        event = Event(
            now,
            name_of(who),
            "publish",
            version=version,
            bundled=bundled,
            signed=signed,
            clients=clients,
            timing=timing,
            reason=force.recorded_reason(violations, results),
            pins=pins,
        )
        files.commit([event])
        outcome.done = True
        outcome.messages = [*_messages(path, event, timing)]
        if is_first:
            outcome.messages.append(
                "It is the first version in the journal: if clients hold older ones, those are "
                "not checked."
            )
    outcome.show(ctx, as_json=as_json)


@click.command()
@click.argument("version", type=click.IntRange(min=1), metavar="VERSION")
@pin_file_option
@who_option
@json_option
@click.pass_context
def ended(ctx: click.Context, version: int, path: Path, who: str | None, as_json: bool) -> None:
    """Record that no client holds a version any more.

    A version in a binary is alive until you record its end: when its last user has updated, or is
    shut out on purpose. For a version that clients fetch, it records that you measured its end
    before T_adopt is over.
    """
    from certpin.errors import ConfigError
    from certpin.pins import utc_now
    from certpin.rotation import Event

    files = RotationFiles(path)
    latest = files.deployed.latest
    if version not in {known.number for known in files.deployed.versions}:
        raise ConfigError(
            f"version {version} was never published",
            key="version",
            fix="certpin rotate status lists the versions",
        )
    if latest and latest.number == version and latest.fetched:
        raise ConfigError(
            f"version {version} is the latest: clients fetch it now",
            key="version",
            fix="publish the next one first",
        )
    files.commit([Event(utc_now(), name_of(who), "ended", version=version)])
    probes = ProbeOptions.without_probe()
    StepOutcome(
        "ended",
        path,
        [],
        version=version,
        done=True,
        messages=[f"Version {version} has ended: no step waits for its clients any more."],
        next_command=probes.next_command("certpin rotate status", path, files.pins, connects=False),
    ).show(ctx, as_json=as_json)


def _is_signed(files: RotationFiles) -> bool:
    settings = files.path.parent / "publish" / "publish.toml"
    return files.history.signed or settings.is_file()


def _require_signable(path: Path) -> None:
    """Refuse a version that `certpin publish sign` would refuse: it could never go out.

    Without the extra `publish` nothing is checked here; another machine signs then.

    Raises:
        PinFileError: a trust file outside the folder, or a debug section.
    """
    try:
        from certpin.publish.content import read
    except ModuleNotFoundError:
        return
    read(path, flutter=False)


def _next_version(files: RotationFiles, *, bundled: bool, signed: bool) -> int:
    """Return the version number that the pin file gets when it is published.

    The same content keeps its number if it now goes into a binary, or is signed, for the first
    time.
    """
    from certpin.errors import ConfigError
    from certpin.pins.policy import meaning

    pins, latest = files.pins, files.deployed.latest
    if latest is None or pins.version > latest.number:
        return pins.version
    if meaning(pins) != meaning(latest.pins):
        return latest.number + 1
    if bundled and not latest.bundled:
        return latest.number
    if signed and latest.number not in files.history.signed_versions:
        return latest.number
    raise ConfigError(
        f"nothing that clients would notice has changed since version {latest.number}",
        key="version",
        fix="change the draft first: certpin rotate stage, remove or compromise",
    )


def _make_published(files: RotationFiles, version: int) -> None:
    """Set the draft's version number, and mark its unpublished pins as PUBLISHED."""
    for policy in files.pins.policies:
        for entry in policy.pins:
            if entry.state in _UNPUBLISHED:
                files.editor.change_pin(str(policy.pattern), entry.pin, state="published")
    files.editor.set_version(version)


def _violations(
    files: RotationFiles, results: ProbeResults, timing: Timing, now: datetime
) -> list[HostViolation]:
    from certpin.rotation import DeployedVersions, check_step

    found: list[HostViolation] = []
    number = files.pins.version
    again = number in {version.number for version in files.deployed.versions}
    for policy in files.pins.policies:
        situation = files.situation(policy, results.of(policy), now, timing)
        if again:  # compare it with the other versions: it is not higher than itself
            others = tuple(v for v in situation.deployed.versions if v.number != number)
            situation = replace(situation, deployed=DeployedVersions(others))
        found += of_host(policy, check_step(situation, "publish"))
    return found


def _messages(path: Path, event: Event, timing: Timing) -> list[str]:
    from certpin.rotation import format_duration, in_utc

    version = event.version
    if event.bundled:
        return [
            f"{path} is version {version}, in a binary.",
            f"It is alive until you record that it has ended: certpin rotate ended {version}",
        ]
    delay = format_duration(timing.adopt)
    if event.signed:
        return [
            f"{path} is version {version}, and is out as soon as it is signed and pushed:",
            "certpin publish sign KEY, then certpin publish push.",
            f"Every client has it {delay} (T_adopt) after that.",
        ]
    date = in_utc(event.time + timing.adopt)
    return [
        f"{path} is version {version}. Give it to your clients now.",
        f"Every client has it from {date} on (T_adopt {delay}).",
    ]
