"""The version of the pin file, and its record in the journal before it goes out to clients.

The number in the pin file is the intent: `rotate start`, `rotate finish` and `certpin add` raise it
if the present number was recorded. A file that was changed under a recorded number goes nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.options import file_option
from certpin.cli.rotate.files import RotationFiles, name_of, settings_path, who_option
from certpin.cli.rotate.observing import probe_for_step
from certpin.cli.rotate.steps import ForceOptions, force_options, of_host
from certpin.cli.rotate.update_options import delay_options, with_delays
from certpin.cli.servers import probe_options

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from certpin.cli.rotate.steps import HostViolation
    from certpin.cli.servers import ProbeOptions, ProbeResults
    from certpin.pins import PinSet
    from certpin.rotation import AdoptionDelays, Event

_UNPUBLISHED = {"generated", "staged"}


def needs_record(files: RotationFiles) -> bool:
    """Return True if the pin file's version is not recorded as a signed one yet.

    A recorded version that is now signed for the first time keeps its number.
    """
    from certpin.pins.changes import meaning

    pins, latest = files.pins, files.deployed.latest
    if latest is None or pins.version > latest.number:
        return True
    same = pins.version == latest.number and meaning(pins) == meaning(latest.pins)
    return same and pins.version not in files.history.signed_versions


def changed_under_its_number(files: RotationFiles) -> str:
    """Return a sentence if the pin file differs from the version that it names; else empty."""
    from certpin.pins.changes import meaning

    pins, latest = files.pins, files.deployed.latest
    if latest is None or pins.version > latest.number or meaning(pins) == meaning(latest.pins):
        return ""
    return (
        f"{files.path} differs from version {latest.number}, which is recorded, and is not signed: "
        f"write version = {latest.number + 1} into it, or restore it (git checkout)"
    )


def is_signed_by_default(files: RotationFiles) -> bool:
    """Return True if clients get the next version as a signed set.

    That is if the previous one was signed, or the folder ``publish`` has its settings.
    """
    return files.history.signed or settings_path(files.path).is_file()


def way_out_command(files: RotationFiles) -> str:
    """Return the command that brings the version of the pin file to clients, or the next status.

    A version that goes out in another way than as a signed set is recorded by `rotate shipped`.
    """
    latest, option = files.deployed.latest, file_option(files.path)
    number = files.next_version if differs_from_latest(files) else files.pins.version
    is_recorded = latest is not None and number <= latest.number
    if not is_signed_by_default(files):
        return f"certpin rotate status{option}" if is_recorded else shipped_command(files, number)
    if needs_record(files):
        return f"certpin publish sign{option}"
    if latest is not None and latest.pending:
        return f"certpin publish status{option}"
    return f"certpin rotate status{option}"


def shipped_command(files: RotationFiles, number: int) -> str:
    """Return the command that records how a version gets to clients without a signature."""
    return f"certpin rotate shipped {number}{file_option(files.path)}{release_options(files)}"


def release_options(files: RotationFiles) -> str:
    """Return ``--app NAME --release`` with a space before it, for the end of `rotate shipped`.

    If only one app has brought versions so far, the next one is in an app, too. The user adds the
    name of the release: without it, nothing is recorded. Otherwise the text is empty.
    """
    import shlex

    versions = files.deployed.versions
    apps = {each.app for version in versions for each in version.releases}
    if len(apps) == 1 and all(apps) and not any(version.fetched for version in versions):
        return f" --app {shlex.quote(apps.pop())} --release"
    return ""


def differs_from_latest(files: RotationFiles) -> bool:
    """Return True if clients would notice a difference from the latest version."""
    from certpin.pins.changes import meaning

    latest = files.deployed.latest
    return latest is None or meaning(files.pins) != meaning(latest.pins)


def mark_published(files: RotationFiles) -> None:
    """Mark the pins of the draft that were not published yet as PUBLISHED."""
    for policy in files.pins.policies:
        for entry in policy.pins:
            if entry.state in _UNPUBLISHED:
                files.editor.change_pin(str(policy.pattern), entry.pin, state="published")


def publish_violations(
    files: RotationFiles,
    pins: PinSet,
    results: ProbeResults,
    timing: AdoptionDelays,
    now: datetime,
) -> list[HostViolation]:
    """Return the violations that these pins would cause at each of their hosts if they went out.

    A version that is recorded is not higher than itself, and an app may bring an old one.
    """
    from certpin.rotation import check_step

    versions = files.deployed.versions
    others = tuple(each for each in versions if each.number != pins.version)
    is_new = len(others) == len(versions)
    found: list[HostViolation] = []
    for policy in pins.policies:
        situation = files.situation(policy, results.of(policy), now, timing, pins=pins)
        deployed = replace(situation.deployed, versions=others)
        situation = replace(situation, deployed=deployed)
        broken = check_step(situation, "publish")
        found += of_host(policy, [each for each in broken if is_new or each.invariant != "version"])
    return found


@dataclass(frozen=True)
class RecordOptions:
    """The facts that the journal records beside the pins, and the options for the gate."""

    probes: ProbeOptions
    force: ForceOptions
    delays: Mapping[str, timedelta] = field(default_factory=dict)
    clients: int | None = None
    who: str | None = None


_clients_option = click.option(
    "--clients",
    type=click.IntRange(min=0),
    metavar="N",
    help="How many clients will have the new version, for the journal.",
)


def record_options(command: Any) -> Any:
    """Give a command the options that are combined into its argument ``record``."""

    @wraps(command)
    def with_record(
        *,
        clients: int | None,
        delays: dict[str, timedelta],
        probes: ProbeOptions,
        force: ForceOptions,
        who: str | None,
        **others: Any,
    ) -> Any:
        return command(record=RecordOptions(probes, force, delays, clients, who), **others)

    wrapped: Any = with_record
    for option in (who_option, force_options, probe_options, delay_options, _clients_option):
        wrapped = option(wrapped)
    return wrapped


@dataclass(frozen=True)
class CheckedVersion:
    """The version of the pin file after the rules of the gate for a version that goes out.

    Attributes:
        event: for the journal.
        violations: the rules that it would break; it must not go out unless the user forces it.
        unknown: facts that could not be checked, as sentences without full stops.
    """

    event: Event
    violations: list[HostViolation]
    unknown: list[str]

    @property
    def pins(self) -> PinSet:
        """The pin set of the version."""
        assert self.event.pins is not None  # noqa: S101  # check_version sets it
        return self.event.pins


def check_version(files: RotationFiles, options: RecordOptions) -> CheckedVersion:
    """Apply the rules of the gate to the pin file, as a signed version that goes out to clients.

    The states of its pins are changed in ``files.editor``; nothing is written. Append the event
    with ``files.commit`` before the version goes out.

    Raises:
        ProbeError: a server did not answer, and the user does not force the step.
        InputError: the pin file can't be used.
    """
    from certpin.rotation import Event

    timing = with_delays(files.timing, dict(options.delays))
    mark_published(files)
    pins = files.pins
    results, now = probe_for_step(files, options.probes, pins, pins.policies, options.who)
    options.force.require_answers(results)
    violations = publish_violations(files, pins, results, timing, now)
    event = Event(
        now,
        name_of(options.who),
        "publish",
        version=pins.version,
        signed=True,
        clients=options.clients,
        timing=timing,
        reason=options.force.recorded_reason(violations, results),
        pins=pins,
    )
    return CheckedVersion(event, violations, results.unknown)
