"""``certpin rotate shipped``: record how a version gets to clients if certpin doesn't push it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from certpin.cli.choices import MAX_CLIENTS
from certpin.cli.options import file_option, json_option, option_group, pin_file_option
from certpin.cli.rotate.files import (
    RotationFiles,
    person_name,
    probe_for_step,
    repeat_if_changed,
    who_option,
)
from certpin.cli.rotate.recording import (
    RELEASE,
    arrival_text,
    has_others_to_end,
    mark_published,
    publish_violations,
    require_marked,
    require_recordable,
)
from certpin.cli.rotate.steps import (
    ForceOptions,
    StepOutcome,
    delay_options,
    force_options,
    with_delays,
)
from certpin.cli.servers import ProbeOptions, ProbeResults, probe_options

if TYPE_CHECKING:
    from certpin.pins import PinSet
    from certpin.rotation import AdoptionDelays, AppRelease, Event
    from certpin.rotation.releases import AdoptionCurve

_DATE_METAVAR = "DATE"


def _date(ctx: click.Context, parameter: click.Parameter, text: str | None) -> datetime | None:
    """Parse the date of an option; return None if the option is not given.

    The text is a time with a zone, or a day. A day means the end of that day in UTC.

    Raises:
        click.BadParameter: the text is not a date, or too far away.
    """
    from certpin.support.text import LONGEST_DURATION

    if text is None:
        return None
    moment: datetime | None = None
    with suppress(ValueError):
        moment = datetime.fromisoformat(text)
    is_day = len(text) == len("2027-01-15")
    if moment is not None and is_day:
        moment = moment.replace(tzinfo=UTC)
    if moment is None or moment.tzinfo is None:
        raise click.BadParameter(
            f"{text[:40]!r} is not a date: write it as 2027-01-15, or 2027-01-15T09:00:00Z",
            ctx,
            parameter,
        )
    if abs(moment - datetime.now(UTC)) > LONGEST_DURATION:
        raise click.BadParameter("the date is too far away", ctx, parameter)
    return moment.astimezone(UTC) + timedelta(days=1 if is_day else 0)


@dataclass(frozen=True)
class ReleaseOptions:
    """The options that describe the release of an app that brings a version to clients.

    Attributes:
        app: the name of the app, such as ``com.bank.app``; None if the version is in no app.
        release: the name of the release, such as ``4.2.0``; None if the version is in no app.
        curve: the CSV file with the release's adoption curve: the share of users that have the
            release, by day. None if not given.
        end: the time from which no client runs the release; None if unknown.
        forced: the time from which no client runs an older release of the app; None if unknown.
        updates: True if the app also fetches signed pin sets.

    Raises:
        click.UsageError: only one of ``--app`` and ``--release`` is given; or neither is, and
            another of the options is; or the release is the placeholder of printed commands.
    """

    app: str | None
    release: str | None
    curve: Path | None
    end: datetime | None
    forced: datetime | None
    updates: bool

    def __post_init__(self) -> None:
        if (self.app is None) != (self.release is None):
            raise click.UsageError("--app and --release go together: a release is one of an app")
        if self.release == RELEASE:  # a name in the journal can't be changed
            raise click.UsageError(
                f"{RELEASE} is a placeholder: write the name of the app's release, such as 4.2.0"
            )
        facts = (self.curve, self.end, self.forced, self.updates or None)
        if self.app is None and any(fact is not None for fact in facts):
            raise click.UsageError(
                "--curve, --end, --force-update and --updates are about a release: name it with "
                "--app and --release"
            )

    @property
    def given(self) -> bool:
        """True if the options name a release of an app: the release that contains the version."""
        return self.app is not None

    def read(self, now: datetime, clients: int | None) -> AppRelease | None:
        """Return the release as the options describe it; ``None`` if they name no release.

        Args:
            now: the time at which the release is recorded.
            clients: how many clients will have it; None if unknown.

        Raises:
            InputError: a name or the curve is invalid.
        """
        from certpin.rotation.releases import AppRelease, check_name

        if self.app is None or self.release is None:
            return None
        return AppRelease(
            check_name(self.app, "an app"),
            check_name(self.release, "a release"),
            now,
            updates=self.updates,
            curve=_read_curve(self.curve) if self.curve else (),
            end=self.end,
            forced=self.forced,
            clients=clients,
        )


release_options = option_group(
    "release_facts",
    (
        click.option("--app", metavar="NAME", help="The version is in a binary of this app."),
        click.option("--release", metavar="NAME", help="The release of the app, such as 4.2.0."),
        click.option(
            "--curve",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            metavar="FILE.csv",
            help="The adoption curve: columns day (from now on) and share (of the app's users who "
            "have this release or a later one). If it reaches 100%, older releases end then.",
        ),
        click.option(
            "--end",
            callback=_date,
            metavar=_DATE_METAVAR,
            help="When the support of this release ends: after this day (UTC) no client runs it.",
        ),
        click.option(
            "--force-update",
            "forced",
            callback=_date,
            metavar=_DATE_METAVAR,
            help="When users have to update to this release: after this day (UTC) no client runs "
            "an older release of the app.",
        ),
        click.option(
            "--updates",
            is_flag=True,
            help="The app also fetches signed pin sets itself.",
        ),
    ),
    ReleaseOptions,
)


@click.command()
@click.argument("version", type=click.IntRange(min=1), metavar="VERSION")
@pin_file_option
@release_options
@click.option(
    "--ended", is_flag=True, help="Record that no client holds this version any more, instead."
)
@click.option(
    "--clients",
    type=click.IntRange(0, MAX_CLIENTS),
    metavar="N",
    help="How many clients run the app, in any release; without --app, how many clients get the "
    "pin file this way. Each client is counted once.",
)
@delay_options
@probe_options
@force_options
@who_option
@json_option
@click.pass_context
@repeat_if_changed
def shipped(
    ctx: click.Context,
    version: int,
    path: Path,
    release_facts: ReleaseOptions,
    ended: bool,
    clients: int | None,
    delays: dict[str, timedelta],
    probes: ProbeOptions,
    force: ForceOptions,
    who: str | None,
    as_json: bool,
) -> None:
    """Record that a version gets to clients in an app, or in another way.

    Run it when an app with the pins is released, or when the pin file goes out by configuration
    management or in container images. `certpin publish push` records signed sets by itself. A
    version that is not recorded is not protected.

    With --app, clients have the version as long as they run that release. Record facts about it
    again when you know them: --end, --force-update, --curve. Without --app, all clients have the
    version after the delays --cdn, --cache, --poll, --opened and --skew.

    Refused if it would lock clients out: the served chain has to match the pins, there has to be a
    backup outside of it, and the pins must not expire before every client can have the next
    version.

    \b
    certpin rotate shipped 4
    certpin rotate shipped 4 --app com.bank.app --release 4.2.0 --clients 20000
    certpin rotate shipped 4 --app com.bank.app --release 4.2.0 --force-update 2027-01-15
    certpin rotate shipped 3 --ended

    Exit code 0: done. 1: refused, nothing was changed. 2: wrong usage, or an invalid file. 3: a
    server did not answer.
    """  # noqa: D301  # click reads the \b itself
    from certpin.pins import utc_now

    files = RotationFiles(path)
    now = utc_now()
    if ended:
        if release_facts.given or clients is not None or delays or force.force:
            raise click.UsageError("--ended takes no other fact about the version")
        _record_end(files, version, who).show(ctx, as_json=as_json)
        return
    release = release_facts.read(now, clients)
    pins = _pins_of(files, version)
    amends = _require_news(files, version, release)
    timing = with_delays(files.timing, delays)
    results = ProbeResults()
    if not amends:
        results, now = probe_for_step(files, probes, pins, pins.policies, who)
    violations = []
    if not amends:
        violations = publish_violations(files, pins, results, timing, now, release)
    force.require_answers(results, violations)
    outcome = StepOutcome(
        "shipped",
        path,
        [str(policy.pattern) for policy in pins.policies],
        version=version,
        forced=force.force,
        violations=violations,
        unknown=results.unknown,
        next_command=probes.next_command("certpin rotate status", path, files.pins),
    )
    if not force.refuses(violations):
        event = _event(now, person_name(who), pins, release)
        event = replace(
            event,
            clients=clients,
            timing=timing if release is None or delays else None,
            reason=force.recorded_reason(violations, results),
        )
        is_first = not files.deployed.versions
        again = _alive_again(files, event)
        files.commit([event])
        outcome.done = True
        outcome.messages = [*_messages(files, pins, event, timing), *again]
        if not amends:
            outcome.unknown = [*outcome.unknown, *_doubtful_date(files, version, now)]
        if is_first:
            outcome.messages.append(
                "It is the first version in the journal, and no lower one can follow. If clients "
                f"hold lower ones: remove {files.journal.name}, and record those first, each from "
                "its own pin file."
            )
    outcome.show(ctx, as_json=as_json)


def _record_end(files: RotationFiles, version: int, who: str | None) -> StepOutcome:
    """Record in the journal that no client holds a version any more, and return the outcome.

    Args:
        files: the pin file and the journal.
        version: the number of the version.
        who: the person to name in the journal (``--who``); None for the default.

    Raises:
        ConfigError: the version is unknown, or is the one that clients fetch now.
    """
    from certpin.errors import ConfigError
    from certpin.pins import utc_now
    from certpin.rotation import Event

    deployed = files.deployed
    known = [each for each in deployed.versions if each.number == version]
    if not known:
        raise ConfigError(
            f"version {version} is not recorded",
            key="version",
            fix="certpin rotate status lists the versions",
        )
    if any(map(deployed.is_fetched_now, known)):
        later = [each.number for each in deployed.versions if each.number > version]
        following = min(later, default=files.next_version)
        raise ConfigError(
            f"clients fetch version {version} now: no later one has gone out to them",
            key="version",
            fix=f"give version {following} to these clients first, and record that: certpin rotate "
            f"shipped {following}, or certpin publish push for a signed set",
        )
    files.commit([Event(utc_now(), person_name(who), "ended", version=version)])
    probes = ProbeOptions.without_probe()
    return StepOutcome(
        "ended",
        files.path,
        [],
        version=version,
        done=True,
        messages=[f"Version {version} has ended: no step waits for its clients any more."],
        next_command=probes.next_command(
            "certpin rotate status", files.path, files.pins, connects=False
        ),
    )


def _pins_of(files: RotationFiles, version: int) -> PinSet:
    """Return the pin set of a version: from the journal, or else from the pin file.

    If it comes from the pin file, its pins become PUBLISHED. ``files`` are the pin file and the
    journal, and ``version`` is the number.

    Raises:
        ConfigError: the version is neither in the journal nor in the pin file, or is in both with
            different pins; the pin file lacks the mark of a stolen or lost key; or the journal
            lacks a lower version that is signed.
    """
    from certpin.errors import ConfigError
    from certpin.pins.policy import meaning

    pins = files.pins
    recorded = [each.pins for each in files.deployed.versions if each.number == version]
    for each in recorded:
        if pins.version == version and meaning(pins) != meaning(each):
            raise ConfigError(
                f"{files.path} differs from version {version} as it is recorded",
                key="version",
                fix=f"name version {files.next_version} for the changed file, or restore it (git "
                "checkout)",
            )
    require_marked(files)
    if recorded:
        return _with_servers(recorded[-1], pins)
    _number(files, version)
    require_recordable(files, version)
    mark_published(files)
    return files.pins


def _with_servers(recorded: PinSet, draft: PinSet) -> PinSet:
    """Return a version from the journal, with the servers of the pin file added to its policies.

    ``recorded`` is the pin set of the version, and ``draft`` that of the pin file. The servers have
    to be added, because the journal does not contain servers.
    """
    servers = {policy.pattern: policy.servers for policy in draft.policies}
    policies = tuple(
        replace(policy, servers=servers.get(policy.pattern, ())) for policy in recorded.policies
    )
    return replace(recorded, policies=policies)


def _number(files: RotationFiles, version: int) -> None:
    """Make sure that the pin file has the version number that the user gave.

    ``files`` are the pin file and the journal. If the file was changed and still has the number of
    the latest version, and the user gave the next number, that number is written into the file.
    Before the call, the caller has to check that no version in the journal has the number.

    Raises:
        ConfigError: the pin file has a different version, or nothing was changed since the latest
            one.
    """
    from certpin.errors import ConfigError
    from certpin.pins.policy import meaning

    pins, latest = files.pins, files.deployed.latest
    if latest is not None and version == files.next_version and pins.version == latest.number:
        if meaning(pins) == meaning(latest.pins):
            raise ConfigError(
                f"nothing that clients would notice has changed since version {latest.number}",
                key="version",
                fix="change the pin file first",
            )
        files.editor.set_version(version)
    elif pins.version != version:
        raise ConfigError(
            f"version {version} is not recorded, and {files.path} has version {pins.version}",
            key="version",
            fix=f"name the version of the file, or check out the file of version {version}",
        )


def _require_news(files: RotationFiles, version: int, release: AppRelease | None) -> bool:
    """Require that ``rotate shipped`` has something to record.

    Args:
        files: the pin file and the journal.
        version: the number of the version.
        release: the release of an app that has the version; None if clients get it otherwise.

    Returns:
        True if the journal already has the release with this version, so that only facts about the
        release are added; otherwise False.

    Raises:
        ConfigError: the version is recorded already, or the release is recorded with a different
            version.
    """
    from certpin.errors import ConfigError

    for known in files.deployed.versions:
        if release is None and known.number == version and known.fetched and not known.pending:
            raise ConfigError(
                f"version {version} is recorded already, since {known.fetched:%Y-%m-%d}",
                key="version",
                fix="certpin rotate status lists the versions",
            )
        for each in known.releases if release else ():
            if release and (each.app, each.name) == (release.app, release.name):
                if known.number != version:
                    raise ConfigError(
                        f"{each.title} is recorded with version {known.number}",
                        key="version",
                        fix="a release has one version: name the next release",
                    )
                return True
    return False


def _event(now: datetime, who: str, pins: PinSet, release: AppRelease | None) -> Event:
    from certpin.rotation import Event

    return Event(
        now,
        who,
        "publish",
        version=pins.version,
        bundled=release is not None,
        pins=pins,
        release=release,
    )


def _messages(
    files: RotationFiles, pins: PinSet, event: Event, timing: AdoptionDelays
) -> list[str]:
    from certpin.rotation import History, in_utc
    from certpin.rotation.releases import later_releases

    version, release = event.version, event.release
    if release is None:
        return [
            f"Version {version} goes out to clients from now on.",
            arrival_text(files, pins, event.time, timing),
        ]
    deployed = History((*files.history.events, event)).deployed
    lines = [f"Version {version} is in {release.title}."]
    for known in deployed.versions:
        for each in known.releases:
            end = deployed.end_of_life(known, timing)
            is_this = (each.app, each.name) == (release.app, release.name)
            if is_this:
                until = f"until {in_utc(end)}" if end else "until you record its end"
                lines.append(f"Clients may hold version {known.number} {until}.")
                lines += _expiry_notes(pins, each, end)
            elif release in later_releases(each, [release]) and (release.forced or end):
                until = in_utc(end) if end else "when you record it"
                lines.append(f"Version {known.number} in {each.title} ends: {until}.")
    return lines


def _alive_again(files: RotationFiles, event: Event) -> list[str]:
    """Return a sentence if clients may hold a version again that had ended.

    Each record of a version counts after the record of its end, also one that adds only a fact
    about a release: an old version in a new release must not be forgotten. ``files`` are the pin
    file and the journal, and ``event`` records the version. The list is empty if the version had no
    recorded end, or is not alive by its dates.
    """
    from certpin.rotation import History, in_utc

    version = event.version
    ends = [each.ended for each in files.deployed.versions if each.number == version and each.ended]
    alive = History((*files.history.events, event)).deployed.alive(event.time, files.timing)
    if not ends or version not in {each.number for each in alive}:
        return []
    text = (
        f"Version {version} had ended ({in_utc(max(ends))}), and is alive again with this record: "
        "each step waits for its clients. If no client holds it, record that again: certpin rotate "
        f"shipped {version} --ended{file_option(files.path)}"
    )
    return [text]


def _doubtful_date(files: RotationFiles, version: int, now: datetime) -> list[str]:
    """Return a clause if no server has confirmed the time at which a version was recorded.

    Adoption counts from that time. If this machine's clock is behind, clients seem to have the
    version too early. The list is empty if clients may hold no other version, because none has to
    be waited for.

    Args:
        files: the pin file and the journal, with the evidence about the time.
        version: the number of the version.
        now: the time that was recorded.
    """
    from certpin.rotation import in_utc
    from certpin.rotation.remedies import how_to_confirm_time

    if files.evidence.confirmed or not has_others_to_end(files, version, now):
        return []
    how = how_to_confirm_time(files.evidence, "compare the clock yourself")
    return [
        (
            f"whether version {version} goes out on {in_utc(now, down=True)}, from which its "
            "adoption counts: no server confirmed the clock of this machine. If the clock is "
            f"behind, other versions seem to end too early: restore {files.journal.name} (git "
            f"checkout), set the clock, and record it again. To have it confirmed, {how}"
        )
    ]


def _expiry_notes(pins: PinSet, release: AppRelease, end: datetime | None) -> list[str]:
    """Return a sentence if clients with a release refuse every server from some time on.

    That is so if the pins of its version expire (``fail-closed``), and no other version reaches
    these clients. The list is empty if the release has ended before.

    Args:
        pins: the pin set of the version.
        release: the release of the app.
        end: the time from which no client runs it; None if unknown.
    """
    from certpin.rotation import in_utc

    expires = min(filter(None, (policy.refuses_from for policy in pins.policies)), default=None)
    if expires is None or release.updates or (end is not None and end <= expires):
        return []
    note = (
        f"From {in_utc(expires, down=True)} on, clients with {release.title} refuse every server: "
        "its pins expire then, and only another release replaces them. Ship one in time, with a "
        "later `expires`, and record when the last client has it (--force-update, --end)."
    )
    return [note]


def _read_curve(path: Path) -> AdoptionCurve:
    """Read an adoption curve from a CSV file: the share of users that have a release, by day.

    Raises:
        InputError: the file can't be read, or is not a curve.
    """
    from certpin.errors import InputError
    from certpin.rotation.exports import MAX_CURVE_BYTES, read_curve

    try:
        with path.open("rb") as file:
            return read_curve(file.read(MAX_CURVE_BYTES + 1))
    except OSError as exc:
        raise InputError(f"{path} cannot be read: {exc.strerror or exc}") from exc
    except InputError as exc:
        raise InputError(f"{path}: {exc.problem}", fix=exc.fix) from exc
