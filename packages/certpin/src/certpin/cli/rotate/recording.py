"""Check the pin file, and record it in the journal as a new version, before clients get it.

The number in the pin file is that of the next version. If a version with this number is recorded
already, `rotate start`, `rotate finish` and `certpin add` raise the number. If the pin file was
changed but still has the number of a recorded version, it needs a higher number before it can go
out to clients.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.choices import MAX_CLIENTS
from certpin.cli.options import file_option, sign_command
from certpin.cli.reply import say
from certpin.cli.rotate.files import (
    RotationFiles,
    person_name,
    probe_for_step,
    settings_path,
    who_option,
)
from certpin.cli.rotate.steps import (
    ForceOptions,
    HostViolation,
    accepted_stolen_key,
    delay_options,
    force_options,
    of_host,
    with_delays,
)
from certpin.cli.servers import ProbeOptions, ProbeResults, probe_options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta
    from pathlib import Path

    from certpin.pins import HostPolicy, PinSet
    from certpin.rotation import AdoptionDelays, AppRelease, Event, Violation

RELEASE = "RELEASE"  # for the name of an app's release, in a printed command
_UNPUBLISHED = {"generated", "staged"}
# Rules that are broken if a server was not contacted, or refers to its chain.
_ABOUT_SERVERS = {"unlisted", "unseen", "served-chain", "still-served", "clock"}


def needs_record(files: RotationFiles) -> bool:
    """Return True if the pin file's version has to be recorded before it can be signed.

    That is so in three cases: no version is recorded; the number in the pin file is higher than
    that of the latest recorded version; or the pin file has the latest version, which was recorded,
    but not as signed. Return False if the file was changed, and its number is not higher than that
    of the latest version. ``files`` are the pin file and the journal.
    """
    from certpin.pins.policy import meaning

    pins, latest = files.pins, files.deployed.latest
    if latest is None or pins.version > latest.number:
        return True
    same = pins.version == latest.number and meaning(pins) == meaning(latest.pins)
    return same and pins.version not in files.history.signed_versions


def changed_under_its_number(files: RotationFiles) -> str:
    """Return a warning if the pin file was changed without getting a higher version number.

    ``files`` are the pin file and the journal. The file is compared with the latest recorded
    version. A lower number counts as a change, even with the same pins. Return an empty string if
    nothing was changed, if the number in the file is higher, or if no version is recorded.
    """
    from certpin.pins.policy import meaning

    pins, latest = files.pins, files.deployed.latest
    if latest is None or pins.version > latest.number:
        return ""
    if meaning(pins) == meaning(latest.pins):
        if pins.version == latest.number:
            return ""
        return (
            f"{files.path} says version = {pins.version}, and version {latest.number} with the "
            f"same pins is recorded: write version = {latest.number} into it, or restore it (git "
            "checkout)"
        )
    return (
        f"{files.path} differs from version {latest.number}, which is recorded, and is not signed: "
        f"write version = {latest.number + 1} into it, or restore it (git checkout)"
    )


def needs_number(files: RotationFiles) -> bool:
    """Return True if the user has to raise the pin file's number before its pins can go out.

    That is so if the file differs from the latest recorded version, such as after an edit or a git
    merge, and its number isn't higher. But if the next version will not be signed, a file with the
    number of the latest version needs no edit: ``rotate shipped`` raises this number itself.
    ``files`` are the pin file and the journal.
    """
    latest = files.deployed.latest
    if latest is None or not differs_from_latest(files):
        return False
    highest = latest.number if is_signed_by_default(files) else latest.number - 1
    return files.pins.version <= highest


def require_marked(files: RotationFiles) -> None:
    """Require that the pin file marks each key that the journal records as stolen or lost.

    If the pin file can't mark a stolen root yet, its pins have to refuse an attacker. ``files`` are
    the pin file and the journal.

    An edit or a git merge can have removed the mark. In memory, certpin adds it again. If the
    version were recorded now, the journal would state that clients with this version refuse the
    key, although they may get the file without the mark.

    Raises:
        ConfigError: the pin file has a different state for such a key, or would let an attacker in.
    """
    from certpin.errors import ConfigError

    for violation in unmarked_keys(files):
        raise ConfigError(violation.problem, key="state", fix=violation.fix)


def require_recordable(files: RotationFiles, version: int) -> None:
    """Require that a version may be recorded in the journal.

    A version that was signed must have the signed content. The journal must have each lower signed
    version already. If the journal has no version, and seems to be missing, print a warning:
    clients that hold earlier versions would not be counted.

    Args:
        files: the pin file and the journal.
        version: the number of the new version.

    Raises:
        ConfigError: ``publish/site`` has a lower version, and the journal lacks it; or it has this
            version with different content, or can't be read.
    """
    files.require_signed_recorded(below=version)
    _require_as_signed(files)
    if files.journal_doubt and not files.deployed.versions:
        say(
            "certpin: warning",
            f"{files.journal} has no published version, although {files.journal_doubt}: "
            f"{files.journal_fix}",
        )


def _require_as_signed(files: RotationFiles) -> None:
    """Require that the pin file is as the signed pin set with its version, if there is one.

    Clients may hold the signed set: the journal must not record other pins or trust anchors under
    its number. ``files`` are the pin file and the journal.
    """
    from certpin.cli.rotate.signed_site import signed_files
    from certpin.errors import ConfigError

    version = files.pins.version
    differing = [_differing(files, each) for each in signed_files(files.site, version)]
    if differing and all(differing):
        copies = "; ".join(
            f"cp {shlex.quote(str(source))} {shlex.quote(str(target))}"
            for source, target in min(differing, key=len)
        )
        raise ConfigError(
            f"version {version} was signed with another content, and clients may hold it",
            key="version",
            fix=f"take the signed one ({copies}), and record that; or give the pin file a higher "
            "version",
        )


def _differing(files: RotationFiles, signed: dict[str, Path]) -> list[tuple[Path, Path]]:
    """Return the files of a signed set that differ from the pin file and the files that it names.

    Args:
        files: the pin file and the journal.
        signed: the signed files by their names (``signed_files``).

    Returns:
        The path of each such file, and that of its copy beside the pin file.
    """
    from certpin.cli.rotate.signed_site import has_content
    from certpin.pinfile import PinSet
    from certpin.pinfile.file import read_text
    from certpin.pins.policy import meaning
    from certpin.updates.settings import PIN_FILE

    source, path = signed[PIN_FILE], files.path
    pins = PinSet.parse(read_text(source), path=path)
    found = [] if meaning(pins) == meaning(files.pins) else [(source, path)]
    for name, each in signed.items():
        if name != PIN_FILE and not has_content(path.parent / name, each):
            found.append((each, path.parent / name))
    return found


def unmarked_keys(files: RotationFiles) -> list[Violation]:
    """Return a violation for each stolen or lost key that the pin file does not mark any more.

    There is also a violation for each host at which the pin file can't mark a stolen root yet, and
    would let an attacker in. No host's pins can go out then: a version is for the whole pin file.
    ``files`` are the pin file and the journal.
    """
    from certpin.rotation import Violation

    return _open_drafts(files) + [
        Violation(
            "compromised",
            f"{host}: {files.journal} records {pin} as {state.upper()}, and {files.path} does not",
            None,
            fix="let certpin restore its state: certpin rotate emergency "
            f"{pin} --{'stolen' if state == 'compromised' else 'lost'}{file_option(files.path)}",
        )
        for host, pin, state in files.unmarked
    ]


def unsignable(files: RotationFiles) -> list[Violation]:
    """Return a violation if ``certpin publish sign`` will refuse the content of the pin file.

    For example, Flutter apps fetch the signed pin sets, and can't enforce the pins. The list is
    empty if the next version will not be signed, or if this can't be checked: ``publish.toml`` or
    the extra ``publish`` is missing. ``files`` are the pin file and the journal.
    """
    from certpin.errors import CertpinError, ConfigError
    from certpin.rotation import Violation

    if not settings_path(files.path).is_file():
        return []
    try:
        from certpin.cli.publish.context import tuf_needed

        with tuf_needed():
            from certpin.publish.content import read
        read(files.path, flutter=files.flutter)
    except ConfigError as exc:
        place = f"{exc.host}: " if exc.host else ""
        problem = f"certpin publish sign will refuse {files.path}: {place}{exc.problem}"
        return [Violation("unsignable", problem, None, fix=exc.fix)]
    except CertpinError:
        return []
    return []


def _open_drafts(files: RotationFiles) -> list[Violation]:
    """Return a violation for each host at which the pin file would let an attacker in.

    ``files`` are the pin file and the journal. At these hosts, the mark of a stolen root is put
    off, and the pins of the pin file do not refuse an attacker (``open_draft``).
    """
    from certpin.rotation.new_root import open_draft, root_change

    hosts = {host for host, _ in files.put_off}
    known = [files.without_servers(each) for each in files.pins.policies if each.pattern in hosts]
    changes = [(situation, root_change(situation, frozenset())) for situation in known]
    found = [open_draft(situation, change) for situation, change in changes if change is not None]
    return [violation for violation in found if violation is not None]


def is_signed_by_default(files: RotationFiles) -> bool:
    """Return True if clients fetch the next version of the pin file as a signed pin set.

    The printed commands then sign and push the version; otherwise they record it with ``rotate
    shipped``. The result is True if the last version that clients fetched was signed, or if
    ``publish/publish.toml``, the settings file of ``certpin publish``, exists. ``files`` are the
    pin file and the journal.
    """
    return files.history.signed or settings_path(files.path).is_file()


def way_out_command(files: RotationFiles, probes: ProbeOptions | None = None) -> str:
    """Return the certpin command to run next so that the pin file's version reaches clients.

    - If clients accept a stolen key, it is ``rotate emergency``, which prints the steps that come
      before the version: while servers use the key, the version is refused.
    - If clients get these pins already, even under a lower version number, it is ``rotate status``.
    - Otherwise, for signed pin sets, it is ``publish sign``; or ``publish status``, if the version
      is signed and was not pushed yet.
    - Otherwise it is ``rotate shipped``.

    Args:
        files: the pin file and the journal.
        probes: the options that the user gave; None without such options.
    """
    probes = probes or ProbeOptions.without_probe()
    for situation in map(files.without_servers, files.pins.policies):
        if not situation.compromised:  # at any host
            break
        stolen = accepted_stolen_key(situation)
        if stolen is not None:
            command = f"certpin rotate emergency {stolen} --stolen"
            return replace(probes, hosts=()).next_command(command, files.path, files.pins)
    first_command = publish_commands(files, probes, files.next_version)[0]
    latest, option = files.deployed.latest, file_option(files.path)
    differs = differs_from_latest(files)
    if not is_signed_by_default(files):
        if differs:
            return first_command
        return f"certpin rotate status{option}"
    is_only_raised = latest is not None and not differs and files.pins.version > latest.number
    if needs_record(files) and not is_only_raised:
        return first_command
    if latest is not None and latest.pending:
        return f"certpin publish status{option}"
    return f"certpin rotate status{option}"


def publish_commands(files: RotationFiles, probes: ProbeOptions, number: int) -> list[str]:
    """Return the commands with which a version of the pin file gets to the clients.

    A signed version is signed and pushed. Any other is recorded with ``rotate shipped``; for an
    app, that command ends with a placeholder for the name of the release (``RELEASE``).

    Args:
        files: the pin file and the journal.
        probes: the options that the user gave. The command repeats those about servers, but not
            ``--host``, because a version is for all hosts of the pin file.
        number: the number of the version.
    """
    everything = replace(probes, hosts=())

    def with_options(command: str) -> str:
        return everything.next_command(command, files.path, files.pins)

    if is_signed_by_default(files):
        sign = with_options(sign_command(None))  # `next_command` appends `--file`
        return [sign, _push_command(files)]
    return [with_options(f"certpin rotate shipped {number}") + release_options(files)]


def push_commands(files: RotationFiles) -> list[str]:
    """Return the commands after which clients can fetch the latest version, which is recorded.

    ``files`` are the pin file and the journal. If the version has its signatures, the only command
    pushes it; otherwise the commands sign and push it.
    """
    push = _push_command(files)
    return [sign_command(files.path), push] if files.lacks_signature else [push]


def _push_command(files: RotationFiles) -> str:
    return f"certpin publish push{file_option(files.path)}"


def push_text(files: RotationFiles) -> str:
    """Return a clause about the purpose of ``push_commands``, with the missing signatures if known.

    ``files`` are the pin file and the journal. The missing signatures are unknown without the extra
    ``publish``, or if the folder ``publish`` is invalid.
    """
    from certpin.errors import CertpinError

    latest = files.deployed.latest
    number = f"version {latest.number}" if latest else "the version that waits"
    if not files.lacks_signature:
        return f"push {number}, so that clients can fetch it"
    text = f"sign {number}, and push it, so that clients can fetch it"
    try:
        from certpin.cli.publish.context import open_context, wait_text

        waits = [wait_text(wait) for wait in open_context(files.path, files).pending]
    except CertpinError:
        return text
    return f"{text}: {' '.join('; '.join(waits).split())}" if waits else text


def question_about_unpinned(
    files: RotationFiles, hosts: Sequence[str], probes: ProbeOptions | None = None
) -> str:
    """Return the question which keys installed apps accept at hosts that no version pins.

    It is a clause for the list of facts that are not known. It has the commands that publish a
    version with these hosts.

    Args:
        files: the pin file, with the changes of this command, and the journal.
        hosts: the patterns of these hosts (``Situation.is_unpinned``); at least one.
        probes: the options that the user gave; None without such options.
    """
    probes = probes or ProbeOptions.without_probe()
    number = files.next_version
    commands = " and ".join(publish_commands(files, probes, number))
    these = "this host" if len(hosts) == 1 else "these hosts"
    return (
        f"which keys installed apps accept at {', '.join(hosts)}, because no version that clients "
        f"may hold has {these}: give version {number} to the clients and record it ({commands}) "
        "before servers switch"
    )


def arrival_text(
    files: RotationFiles, pins: PinSet, since: datetime, timing: AdoptionDelays
) -> str:
    """Return a sentence that gives the time from which every client has a version.

    Adoption counts a version as held by every client if the journal has no other version that a
    client may hold (``certpin.rotation.situation.adoption``). A date would contradict the commands
    that rely on it.

    Args:
        files: the pin file and the journal.
        pins: the pin set of the version.
        since: when clients can first fetch it.
        timing: the delays of the clients.
    """
    from certpin.pins.policy import meaning
    from certpin.rotation import format_duration, in_utc

    alive = files.deployed.alive(since, timing)
    this = pins.version, meaning(pins)
    if all((each.number, meaning(each.pins)) == this for each in alive):
        return (
            "It counts as held by every client already: the journal has no other version that a "
            "client may hold."
        )
    date = in_utc(since + timing.adopt)
    return f"Every client has it from {date} on (T_adopt {format_duration(timing.adopt)})."


def has_others_to_end(files: RotationFiles, number: int, now: datetime) -> bool:
    """Return True if clients may hold a different version than the one that is recorded.

    certpin then waits, from the time of the record, until clients have left the other version. Only
    in that case does a wrong clock do harm.

    Args:
        files: the pin file and the journal.
        number: the number of the version that is recorded.
        now: the time of the record.
    """
    return any(each.number != number for each in files.deployed.alive(now, files.timing))


def release_options(files: RotationFiles) -> str:
    """Return `` --app NAME --release RELEASE`` for the end of a ``rotate shipped`` command.

    ``files`` are the pin file and the journal. Return an empty string unless every recorded version
    went out only in releases of one app; only then is the next version expected in that app too.
    """
    import shlex

    versions = files.deployed.versions
    apps = {each.app for version in versions for each in version.releases}
    if len(apps) == 1 and all(apps) and not any(version.fetched for version in versions):
        return f" --app {shlex.quote(apps.pop())} --release {RELEASE}"
    return ""


def differs_from_latest(files: RotationFiles) -> bool:
    """Return True if the pin file differs from the latest version in a way that affects clients.

    The pin file then has to go out as a new version. Also True if no version is recorded. ``files``
    are the pin file and the journal.
    """
    from certpin.pins.policy import meaning

    latest = files.deployed.latest
    return latest is None or meaning(files.pins) != meaning(latest.pins)


def mark_published(files: RotationFiles) -> None:
    """Change the state of the pin file's pins that are GENERATED or STAGED to PUBLISHED.

    The change is in memory (``files.editor``); ``files.commit`` writes it. ``files`` are the pin
    file and the journal.
    """
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
    release: AppRelease | None = None,
) -> list[HostViolation]:
    """Return the rotation invariants that a pin set would violate if it went out to clients now.

    A rotation invariant is a rule that prevents lockouts.

    Args:
        files: the pin file and the journal.
        pins: the pin set. Its number must be higher than those of all recorded versions, unless it
            is one of them: an app can be released with an old version.
        results: the chains that servers present.
        timing: the delays until clients update.
        now: the time at which the pin set would go out.
        release: the release of an app that brings it to clients; None if clients fetch it.

    Returns:
        The violations at each host of the pin set, and at hosts that the latest version has and the
        pin set does not; empty if there are none.
    """
    from certpin.rotation import check_step
    from certpin.rotation.rules import hosts_kept

    versions = files.deployed.versions
    others = tuple(each for each in versions if each.number != pins.version)
    is_new = len(others) == len(versions)
    found: list[HostViolation] = []
    for policy in pins.policies:
        situation = files.situation(policy, results.of(policy), now, timing, pins=pins)
        deployed = replace(situation.deployed, versions=others)
        situation = replace(situation, deployed=deployed, release=release)
        broken = check_step(situation, "publish")
        found += of_host(policy, [each for each in broken if is_new or each.invariant != "version"])
    known = replace(files.deployed, versions=others)
    return found + [HostViolation(str(host), each) for host, each in hosts_kept(known, pins)]


def draft_refusals(
    files: RotationFiles,
    timing: AdoptionDelays,
    now: datetime,
    results: ProbeResults | None = None,
) -> dict[str, list[Violation]]:
    """Return the rules that publishing the draft would violate.

    The draft is the pin file that would be published next. Rules about servers are left out for
    each host without a result in ``results``, and rules about the clock for all hosts. The result
    is about all hosts, so compute it once in a run.

    Args:
        files: the pin file and the journal.
        timing: the delays until clients update.
        now: the time at which the draft would go out.
        results: the chains that servers present; by default no server was contacted.

    Returns:
        The violations by host pattern, each with the host in its text; hosts without violations
        are left out.
    """
    draft = replace(files.pins, version=files.next_version)
    refusals: dict[str, list[Violation]] = {}
    results = results or ProbeResults()
    for each in publish_violations(files, draft, results, timing, now):
        left_out = {"clock"} if each.host in results.sightings else _ABOUT_SERVERS
        if each.violation.invariant not in left_out:
            problem = f"{each.host}: {each.violation.problem}"
            refusals.setdefault(each.host, []).append(replace(each.violation, problem=problem))
    return refusals


def refusals_elsewhere(
    refusals: Mapping[str, Sequence[Violation]], policies: Sequence[HostPolicy]
) -> list[Violation]:
    """Return the rules that publishing the draft would violate at other hosts of the pin file.

    A version is for the whole pin file: no host can publish it before the other hosts are safe.

    Args:
        refusals: the rules that publishing the draft would violate (``draft_refusals``).
        policies: the policies of the hosts that the caller checks itself; they are left out here.
    """
    hosts = {str(policy.pattern) for policy in policies}
    return [each for host, found in refusals.items() if host not in hosts for each in found]


@dataclass(frozen=True)
class RecordOptions:
    """The command-line options of a command that records a version of the pin file in the journal.

    Attributes:
        probes: the servers to contact before the version is recorded.
        force: the options ``--force`` and ``--reason``, which let the version go out although it
            violates a rule against lockouts.
        delays: the delays until clients update, by name (such as ``cdn``); only those that the user
            gave.
        clients: how many clients will have the version; None if unknown.
        who: the person to name in the journal (``--who``); None for the default.
    """

    probes: ProbeOptions
    force: ForceOptions
    delays: Mapping[str, timedelta] = field(default_factory=dict)
    clients: int | None = None
    who: str | None = None


_clients_option = click.option(
    "--clients",
    type=click.IntRange(0, MAX_CLIENTS),
    metavar="N",
    help="How many clients will have the new version, for the journal.",
)


def record_options(command: Any) -> Any:
    """Decorate a click command with the options for recording a version of the pin file.

    The command gets their values as one argument ``record`` of the type ``RecordOptions``.
    """

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
    """The result of checking the pin file's version before it goes out to clients.

    Attributes:
        event: the journal entry that records the version; the caller appends it.
        violations: the rotation invariants that the version would violate. It must not go out if
            there are any, unless the user forces it.
        unknown: facts that could not be checked, as sentences without full stops.
    """

    event: Event
    violations: list[HostViolation]
    unknown: list[str]

    @property
    def pins(self) -> PinSet:
        """The pin set of the version that was checked."""
        assert self.event.pins is not None  # noqa: S101  # check_version sets it
        return self.event.pins


def check_version(files: RotationFiles, options: RecordOptions) -> CheckedVersion:
    """Check if the pin file can go out to clients as the next signed version.

    ``files`` are the pin file and the journal. ``options`` are those of the command. The function
    contacts the servers. The result lists the rules against lockouts that the version would
    violate. In memory (``files.editor``), pins that are GENERATED or STAGED become PUBLISHED;
    nothing is written. Before the version goes out, the caller has to append the result's ``event``
    to the journal with ``files.commit``.

    Raises:
        ProbeError: servers did not answer, the step violates no rule, and the user does not force
            it.
        InputError: the pin file can't be used.
    """
    from certpin.rotation import Event

    timing = with_delays(files.timing, dict(options.delays))
    mark_published(files)
    pins = files.pins
    results, now = probe_for_step(files, options.probes, pins, pins.policies, options.who)
    violations = publish_violations(files, pins, results, timing, now)
    options.force.require_answers(results, violations)
    event = Event(
        now,
        person_name(options.who),
        "publish",
        version=pins.version,
        signed=True,
        clients=options.clients,
        timing=timing,
        reason=options.force.recorded_reason(violations, results),
        pins=pins,
    )
    return CheckedVersion(event, violations, results.unknown)
