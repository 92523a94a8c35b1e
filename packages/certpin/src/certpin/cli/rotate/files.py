"""Read and write the data of a rotation: the pin file, the journal beside it, the served chains."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import replace
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

from certpin.cli.reply import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from certpin.cli.servers import ProbeOptions, ProbeResults
    from certpin.errors import PinFileError
    from certpin.pins import HostPattern, HostPin, HostPolicy, Pin, PinSet, State
    from certpin.publish.settings import PublishSettings
    from certpin.rotation import (
        AdoptionDelays,
        DeployedVersions,
        Event,
        ServerDate,
        Sighting,
        Situation,
    )

_MAX_NAME = 100  # characters of a person's name; a login name has 32
_READ_WAIT = 2.0  # seconds; another command needs a fraction of one to write both files

_Params = ParamSpec("_Params")
_Result = TypeVar("_Result")

# What servers, key services and the user have answered to the running command, if it may run twice.
_answers: ContextVar[dict[object, Any] | None] = ContextVar("_answers", default=None)


def repeat_if_changed(command: Callable[_Params, _Result]) -> Callable[_Params, _Result]:
    """Decorate a command: if another one changes the files that it has read, run it once more.

    The command reads the pin file and the journal, contacts servers, and decides. Only ``commit``
    and ``PinFileEditor.save`` lock the files, so that a slow server delays no other command. If the
    files have changed by then, the decision may be wrong: nothing is written, and the command
    decides again, with the files locked. It does not ask the same servers, or the user, twice
    (``once``).

    The command must have no other effect before it writes the files, or undo it on failure.

    Raises:
        PinFileChangedError: the files have changed although they were locked, by a program that
            does not lock them.
    """

    @wraps(command)
    def run(*args: _Params.args, **options: _Params.kwargs) -> _Result:
        from pathlib import Path

        from certpin.pinfile.file import PinFileChangedError, changing

        token = _answers.set({})
        try:
            try:
                return command(*args, **options)
            except PinFileChangedError as exc:
                changed = Path(exc.path)
            with changing(changed):
                return command(*args, **options)
        finally:
            _answers.reset(token)

    return run


def once(question: tuple[object, ...], ask: Callable[[], _Result]) -> _Result:
    """Return the answer to a question; the earlier one, if the running command is repeated.

    Args:
        question: identifies the question, and all that its answer depends on.
        ask: asks a server or the user.
    """
    known = _answers.get()
    if known is None:
        return ask()
    if question not in known:
        known[question] = ask()
    answer: _Result = known[question]
    return answer


class RotationFiles:
    """A pin file and the journal beside it, read and written together.

    The draft (of the next version) is the content of the pin file with the changes of the running
    command. Contradictions in the journal are printed on standard error.

    Attributes:
        path: the pin file.
        journal: the path of the journal.
        editor: changes the text of the draft.
        history: the content of the journal.
        measured: the published versions with the usage that clients or stores report; None if the
            user did not ask for it.
        evidence: the facts about the time: the newest journal entry, and the servers' times.
        observations: the journal entries about the servers that this command has contacted.
        contradictions: the contradictions in the journal, as texts.
        unmarked: the keys that the journal records as stolen or lost, and the pin file does not:
            each with its host and the recorded state. The draft marks them, if it can be edited.
        put_off: the stolen roots that the draft must not mark yet (``marks_root_later``), each with
            its host.

    Raises:
        PinFileError: the pin file is invalid.
        JournalError: the journal is invalid; or the pin file is a symbolic link, and there is
            another journal beside the link.
    """

    def __init__(self, path: Path) -> None:
        from certpin.pinfile.editor import PinFileEditor
        from certpin.rotation import contradictions, journal_of, load_journal, time_evidence

        self.path = path
        self.journal = journal_of(path)
        with locked_if_possible(path, _READ_WAIT):  # both or none has a step of another command
            self._journal_state = _file_state(self.journal)  # before it is read
            self.editor = PinFileEditor.open(path)
            self.history = load_journal(self.journal)
        self._before = self.editor.text
        self.evidence = time_evidence(self.newest)
        self.observations: list[Event] = []
        self.measured: DeployedVersions | None = None
        self.contradictions = contradictions(self.history)
        for contradiction in self.contradictions:
            say("certpin: warning", f"{self.journal}: {contradiction}")
        self._expired: datetime | None = None  # when the signatures for clients expired
        self._deployed = self._fetchable()
        self._warn_unrecorded()
        self.put_off: list[tuple[HostPattern, Pin]] = []
        self.unmarked = self._mark_unusable()

    def latest(self) -> RotationFiles:
        """Return these files, or read them again if another program has changed them.

        Call it in a ``with changing`` block. Changes of the draft are lost if the files are read
        again.
        """
        from certpin.pinfile.file import PinFileChangedError

        try:
            self._refuse_changed()
        except PinFileChangedError:
            return RotationFiles(self.path)
        return self

    def _refuse_changed(self) -> None:
        """Raise ``PinFileChangedError`` if another program has changed one of the files."""
        from certpin.pinfile.file import PinFileChangedError

        self.editor.refuse_overwriting()
        if _file_state(self.journal) != self._journal_state:
            raise PinFileChangedError.of(self.journal)

    @property
    def pins(self) -> PinSet:
        """The draft: the content of the pin file, with the changes of the running command."""
        return self.editor.check()

    @property
    def newest(self) -> Event | None:
        """The newest entry of the journal; ``None`` if the journal is empty."""
        return self.history.events[-1] if self.history.events else None

    @property
    def fetch_url(self) -> str:
        """``fetch_url`` of ``publish.toml``; empty if there is none."""
        return (self._publishing and self._publishing.fetch_url) or ""

    @property
    def flutter(self) -> bool:
        """True if ``publish.toml`` says that Flutter apps fetch the signed pin sets."""
        return bool(self._publishing and self._publishing.flutter)

    @cached_property
    def _publishing(self) -> PublishSettings | None:
        """The settings in ``publish.toml``; ``None`` if there are none.

        Also ``None`` if they are invalid, because other commands report that.
        """
        from certpin.errors import PinFileError
        from certpin.publish.settings import load

        place = settings_path(self.path)
        try:
            return load(place) if place.is_file() else None
        except PinFileError:
            return None

    @property
    def site(self) -> Path:
        """The folder ``publish/site``, with the signed files."""
        return settings_path(self.path).with_name("site")

    @property
    def fetch_host(self) -> str:
        """The host of ``fetch_url``, from which clients fetch signed pin sets; empty if none."""
        from urllib.parse import urlsplit

        return urlsplit(self.fetch_url).hostname or ""

    @property
    def deployed(self) -> DeployedVersions:
        """All published versions of the pin set, each with the ways in which clients get it.

        While the signatures in ``publish/site`` have expired, no client can fetch a version. A
        version that had not reached every client at the expiry is then treated as if clients could
        first fetch it now.
        """
        return self.measured or self._deployed

    @property
    def known_roots(self) -> frozenset[Pin]:
        """The pins of the trust anchors in the draft, and in all recorded versions."""
        from certpin.rotation.trust import known_anchor_pins

        versions = (each.pins for each in self.history.deployed.versions)
        return known_anchor_pins([self.pins, *versions])

    @property
    def next_version(self) -> int:
        """The version number that the pin file gets with its next change of pins."""
        return self.deployed.next_number(self.pins)

    @cached_property
    def lacks_signature(self) -> bool:
        """True if clients can't fetch the latest version because it lacks signatures.

        The journal records it, and ``publish/site`` has an earlier version or none: a push would
        not upload it. False if the files there can't be read, because push reports that.
        """
        from certpin.cli.rotate.signed_site import version_in_site
        from certpin.errors import ConfigError

        latest = self.deployed.latest
        if latest is None or not latest.pending or not settings_path(self.path).is_file():
            return False
        try:
            number = version_in_site(self.site)
        except ConfigError:
            return False
        return number is None or number < latest.number

    @property
    def timing(self) -> AdoptionDelays:
        """The delays until clients have a new version, from the latest publish in the journal.

        If the journal has no such delays, they are certpin's defaults.
        """
        from certpin.rotation import AdoptionDelays

        return self.history.timing or AdoptionDelays()

    def situation(
        self,
        policy: HostPolicy,
        sightings: Sequence[Sighting],
        now: datetime,
        timing: AdoptionDelays | None = None,
        pins: PinSet | None = None,
    ) -> Situation:
        """Return the facts about one host by which the safety of its rotation steps is checked.

        Args:
            policy: the policy of the host.
            sightings: the results of probing the host's servers, with the chains that they present.
            now: the time for which the steps are checked.
            timing: the delays until clients update; by default those in the journal.
            pins: the pin set; by default the draft.
        """
        from certpin.rotation import Situation

        known = Situation(
            pins or self.pins,
            policy.pattern,
            self.deployed,
            tuple(sightings),
            timing or self.timing,
            now,
            self.history.past(policy.pattern),
            self.history.observed,
            self.evidence,
            key_files=self._key_files,
        )
        if len({bool(each and each.trust) for each in known.live_policies}) == 1:
            return known
        from certpin.x509.chain import public_roots

        # Some clients trust them, and others only the anchors of a file.
        return replace(known, roots=public_roots())

    @cached_property
    def _key_files(self) -> frozenset[str]:
        """The names of key files in the current folder; empty if it can't be listed."""
        from pathlib import Path

        with suppress(OSError):
            return frozenset(path.name for path in Path().glob("*.key"))
        return frozenset()

    def _marks_later(self, policy: HostPolicy, entry: HostPin) -> bool:
        """Return True if the draft must not mark a stolen root yet (``marks_root_later``).

        Args:
            policy: a policy in the pin file.
            entry: the entry of a stolen or lost key, with the missing mark as its state.
        """
        if entry.state != "compromised":
            return False
        from certpin.rotation.new_root import marks_root_later

        return marks_root_later(self.without_servers(policy), entry.pin)

    def without_servers(self, policy: HostPolicy) -> Situation:
        """Return the facts about a host that are known without contacting its servers.

        Args:
            policy: the policy of the host.
        """
        from certpin.pins import utc_now

        # Before the newest version, no version would be alive. An entry of another step can have
        # been written with a clock that was ahead: at its time, all versions could have ended.
        versions = [event.time for event in self.history.events if event.version]
        return self.situation(policy, (), max([utc_now(), *versions]))

    def require_version(self) -> None:
        """Check that the journal has a published version, and each signed one.

        Without them, the pins of clients are unknown.

        Raises:
            ConfigError: the journal has no version, or lacks a version in ``publish/site``.
        """
        from certpin.errors import ConfigError

        self.require_signed_recorded()
        if not self.deployed.versions:
            although = f", although {self.journal_doubt}" if self.journal_doubt else ""
            raise ConfigError(
                f"{self.journal} has no published version{although}",
                key="version",
                fix=self.journal_fix,
            )

    def require_signed_recorded(self, below: int | None = None) -> None:
        """Check that the journal has each signed version in ``publish/site``: clients may hold it.

        Versions below all those in the journal are not required: the user can let the journal begin
        with a later one.

        Args:
            below: check only the versions below this number, before it is recorded; None for all.

        Raises:
            ConfigError: the journal lacks such a version; or ``publish/site`` can't be read.
        """
        from certpin.errors import ConfigError
        from certpin.rotation.rules import number_list

        lacking = [each for each in self._lacking if below is None or each < below]
        if lacking:
            raise ConfigError(
                f"{self.journal} lacks {number_list(lacking)}, which publish/site has: clients may "
                "hold it",
                key="version",
                fix=self.journal_fix,
            )

    @cached_property
    def _lacking(self) -> tuple[int, ...]:
        if not self.site.is_dir():
            return ()
        from certpin.cli.rotate.signed_site import signed_versions

        known = {event.version for event in self.history.events if event.pins}
        lowest = min(filter(None, known), default=0)
        return tuple(
            each for each in signed_versions(self.site) if each > lowest and each not in known
        )

    @cached_property
    def unrecorded(self) -> tuple[int, ...]:
        """The signed versions in ``publish/site`` that the journal lacks.

        Versions before the first one in the journal are left out: they are older than the journal.
        The result is also empty if ``publish/site`` can't be read, because each step reports that.
        """
        from certpin.errors import ConfigError

        with suppress(ConfigError):
            return self._lacking
        return ()

    @cached_property
    def journal_doubt(self) -> str:
        """Why the journal seems to be missing or outdated, as a clause; empty if it doesn't.

        An empty journal is right before the first version goes out. The pin file is then as
        ``certpin add`` or ``certpin import`` wrote it. ``add`` raises its version once for each
        host, and neither writes the states that follow the first version.
        """
        from certpin.rotation.rules import number_list

        pins = self.pins
        if self.unrecorded:
            return f"publish/site has {number_list(self.unrecorded)}"
        if self.history.deployed.versions:
            return ""
        if pins.version > len(pins.policies):
            return f"{self.path} has version {pins.version}"
        for policy in pins.policies:
            states = {entry.state for entry in policy.pins}
            if states & {"retiring", "removed"} or states >= {"published", "staged"}:
                return f"{self.path} has pins of {policy.pattern} from a later step"
        return ""

    @property
    def journal_fix(self) -> str:
        """The fix if the journal has no published version, or lacks a signed one.

        If the journal seems to be missing, the number in the pin file is not printed: it may be
        that of a draft, which no client has.
        """
        restore = f"get the journal back: git checkout {self.journal}, or git pull"
        if self.unrecorded:
            return (
                f"{restore}; if it is lost for good, take each of these versions from "
                "publish/site/targets as the pin file, with its files of trust anchors, the lowest "
                "first, and record it: certpin rotate shipped VERSION --force --reason TEXT"
            )
        if self.journal_doubt:
            return (
                f"{restore}; if there never was one, record the versions that clients have, the "
                "lowest first, each from its own pin file: certpin rotate shipped VERSION"
            )
        return (
            "record the one that clients have: certpin publish sign does for a signed set, "
            f"certpin rotate shipped {self.pins.version} for any other, with --app and --release "
            "if it is in an app; oldest first, if there are several"
        )

    def commit(self, events: Sequence[Event]) -> None:
        """Write the draft to the pin file, then append events to the journal.

        If the journal can't be written, the pin file is restored. A crash between the two leaves a
        step without its record, which the next command reports (``missing_steps``, decision 22).
        ``observations`` are appended before the events. The files are locked meanwhile.

        Args:
            events: the steps to record. A step with a ``reason`` was forced by the user.

        Raises:
            PinFileError: the pin file can't be written.
            JournalError: the journal can't be written, or a step that is not forced is dated before
                the journal's newest entry. The pin file is as before.
            PinFileChangedError: another program has changed the pin file or the journal since they
                were read. Nothing was written.
        """
        from certpin.pinfile.file import changing

        with changing(self.path):
            self._refuse_changed()
            self._commit(events)
            self._before = self.editor.text
            self._journal_state = _file_state(self.journal)

    def _commit(self, events: Sequence[Event]) -> None:
        from certpin.errors import JournalError
        from certpin.pinfile.file import write_atomically
        from certpin.rotation import after, format_journal

        for event in events:
            if not event.reason:
                self.require_time(event.time)
        if not any(event.pins for event in events):  # a published pin set is as it was checked
            self._mark_unusable()
        changed = self.editor.text != self._before
        if changed:
            self.editor.save()
        try:
            new = after(self.history.events, [*self.observations, *events])
            append_lines(self.journal, format_journal(new))
        except BaseException as exc:  # also Ctrl-C
            if changed:
                write_atomically(self.path, self._before)
            if not isinstance(exc, OSError):
                raise
            raise JournalError(
                f"it cannot be written: {exc.strerror or exc}",
                path=self.journal,
                fix="free space on its disk and check its rights, then repeat the step",
            ) from exc

    def require_time(self, now: datetime) -> None:
        """Require that the time of a step is not before the newest entry of the journal.

        Raises:
            JournalError: the time is before the entry. Either this machine's clock is behind, or
                the clock with which the entry was written was ahead.
        """
        from certpin.errors import JournalError
        from certpin.rotation.gate import REPAIR, behind_journal

        if problem := behind_journal(self.evidence, now):
            raise JournalError(problem, path=self.journal, fix=REPAIR)

    def _fetchable(self) -> DeployedVersions:
        """Return the published versions, with new dates while the signatures have expired.

        The signatures are those in ``publish/site``. If they have expired, a version that had not
        reached every client at the expiry is treated as if clients could first fetch it now. If the
        expiry can't be read, print a warning and change no date.
        """
        from certpin.errors import ConfigError
        from certpin.pins import utc_now
        from certpin.rotation.history import fetched_again

        now, expired = utc_now(), None
        try:
            if self.history.signed:
                from certpin.cli.rotate.signed_site import signatures_expiry

                expired = signatures_expiry(self.site)
        except ConfigError as exc:
            say("certpin: warning", f"it is unknown whether clients can fetch versions: {exc}")
        if expired is not None and expired <= now:
            self._expired = expired
            return fetched_again(self.history.deployed, self.history.unadopted(expired), now)
        return self.history.deployed

    def warn_expired(self) -> None:
        """Warn if the signatures in ``publish/site`` have expired: clients get no version then."""
        signed = self.history.signed_versions
        numbers = [each.number for each in self.deployed.versions if not each.pending]
        newest = max(signed.intersection(numbers), default=None)
        if self._expired is None or newest is None:
            return
        say(
            "certpin: warning",
            f"clients can't fetch version {newest} since {self._expired:%Y-%m-%d %H:%M} UTC, when "
            "its signatures expired: certpin publish sign KEY, then certpin publish push; or get "
            "those that another clone has signed (git pull)",
        )

    def _warn_unrecorded(self) -> None:
        """Warn of steps that the pin file has and the journal lacks, because of a crash."""
        from certpin.rotation.gate import COMMAND_OF_STEP

        if not self.deployed.versions:
            return
        for policy in self.pins.policies:
            for pin, steps in self.history.missing_steps(policy).items():
                command = f"certpin rotate {COMMAND_OF_STEP[steps[-1]]} {pin}"
                say(
                    "certpin: warning",
                    f"{policy.pattern}: {self.path} has the step {steps[-1]} of {pin}, and "
                    f"{self.journal} lacks it: repeat {command}",
                )

    def _mark_unusable(self) -> list[tuple[HostPattern, Pin, State]]:
        """Mark keys in the draft as COMPROMISED or LOST if the journal records a theft or loss.

        If the pin file can't be edited, a warning is printed and no error is raised. Return the
        keys without a mark, each with its host and state.

        While the journal lacks signed versions, nothing is marked: the user records them from their
        own files, and the journal must not state that clients refuse a key which they accept.
        """
        from certpin.errors import CertpinError

        if not self.history.has_unusable_keys or self.unrecorded:
            return []
        from certpin.rotation.marks import missing_marks

        missing: list[tuple[HostPolicy, HostPin]] = []
        try:
            found = missing_marks(self.editor.check(), self.history)
            later = [each for each in found if self._marks_later(*each)]
            self.put_off = [(policy.pattern, entry.pin) for policy, entry in later]
            missing = [each for each in found if each not in later]
            self._mark(missing)
        except CertpinError as exc:
            say("certpin: warning", f"the states in {self.path} can't be set: {exc}")
        return [(policy.pattern, entry.pin, entry.state) for policy, entry in missing]

    def _mark(self, missing: Sequence[tuple[HostPolicy, HostPin]]) -> None:
        """Write the missing marks of stolen and lost keys into the draft, and raise its version.

        Raises:
            PinFileError: the pin file can't be edited in its present form.
        """
        for policy, entry in missing:
            pattern, pin = str(policy.pattern), entry.pin
            before = next((known for known in policy.pins if known.pin == pin), None)
            if before is None:
                self.editor.add_pin(pattern, entry)
                continue
            role = {"role": entry.role} if entry.role != before.role else {}
            self.editor.change_pin(pattern, pin, state=entry.state, **role)
        latest = self.history.deployed.latest
        if missing and latest and self.pins.version <= latest.number:
            self.editor.set_version(latest.number + 1)


@contextmanager
def locked_if_possible(path: Path, wait: float) -> Iterator[PinFileError | None]:
    """Lock a pin file and its journal as ``changing`` does, or run the ``with`` block without lock.

    Args:
        path: the pin file or the journal.
        wait: seconds to wait for another command.

    Yields:
        The reason why they are not locked; None if they are locked, or if there are no locks.
    """
    from certpin.errors import PinFileError
    from certpin.pinfile.file import changing

    with ExitStack() as stack:
        problem = None
        try:
            stack.enter_context(changing(path, wait=wait))
        except PinFileError as exc:
            problem = exc
        yield problem


def _file_state(path: Path) -> tuple[int, int, int] | None:
    """Return values that differ after a program has changed a file; None if it can't be read."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def append_lines(path: Path, lines: str) -> None:
    """Append whole lines to a file, and wait until they are on the disk (fsync).

    The caller has locked the file (``changing``): if the lines can't be written, the file is
    truncated, and lines that another process had appended meanwhile would be lost.

    If the last line of the file has no line end, a line end is added first.

    Raises:
        OSError: the lines can't be written. The file has none of them: half a line of a journal
            would stop all commands that read it.
    """
    if not lines:
        return  # an empty file would be a journal
    with path.open("ab+", buffering=0) as file:  # a buffer would be written again by close()
        size = file.tell()
        data = lines.encode()
        if size:
            file.seek(-1, os.SEEK_END)
            data = data if file.read(1) == b"\n" else b"\n" + data
        try:
            while data:
                data = data[file.write(data) :]  # a full disk can take a part of them
            os.fsync(file.fileno())
        except BaseException:
            file.truncate(size)
            os.fsync(file.fileno())
            raise


# The person who takes a step.

who_option = click.option(
    "--who",
    envvar="CERTPIN_WHO",
    show_envvar=True,
    metavar="NAME",
    help="The person who takes this step, for the journal; by default your login name.",
)


def person_name(who: str | None) -> str:
    """Return the person's name for the journal: ``who``, else the login name, else the user ID.

    Args:
        who: the value of ``--who``; None if it is not given.
    """
    import getpass

    from certpin.support.text import printable

    if who is None:
        try:
            who = getpass.getuser()
        except (OSError, KeyError):
            who = str(os.getuid())
    return printable(who)[:_MAX_NAME]


# The chains and clocks of servers. Commands that change a rotation also record these observations
# in the journal; commands that only read, such as ``status``, record nothing.


def probe_for_reading(
    files: RotationFiles, probes: ProbeOptions, pins: PinSet, policies: Sequence[HostPolicy]
) -> tuple[ProbeResults, datetime]:
    """Contact the servers of policies, but prepare no journal entries about their chains.

    The times that the servers report are stored in ``files.evidence``.

    Args:
        files: the pin file and the journal.
        probes: the options that choose the servers.
        pins: the pin set that has the policies.
        policies: the policies with the servers to contact.

    Returns:
        The served chains, and the time at which to judge them.

    Raises:
        InputError: a file that the user named as a chain is not one.
        click.UsageError: ``--host`` leaves out a policy or a server.
    """
    from certpin.pins import utc_now
    from certpin.rotation import step_time, time_evidence
    from certpin.rotation.gate import clock_doubt

    once((files.path, "expired"), files.warn_expired)
    results = _probe_once(probes, pins, policies)
    found = [sighting for policy in policies for sighting in results.of(policy)]
    others = repository_dates(files, offline=probes.offline, timeout=probes.timeout)
    silent = "" if others or probes.offline else files.fetch_host
    files.evidence = time_evidence(files.newest, found, others, silent)
    if doubt := clock_doubt(files.evidence):
        clock = f"whether the clock of this machine is right: it seems to be {doubt}"
        results.unknown.append(clock)
    return results, step_time(files.newest, utc_now())


def _probe_once(probes: ProbeOptions, pins: PinSet, policies: Sequence[HostPolicy]) -> ProbeResults:
    """Contact the servers of policies; but return the same results again if a command is repeated.

    A command is repeated once if another command has changed the files that it read.
    ``probes`` has the options that choose the servers. The results are the same only as long as the
    policies have the same servers and trust anchors.
    """
    servers = tuple((each.pattern, each.servers, each.trust) for each in policies)
    return once((probes, servers), lambda: probes.probe(pins, policies)).copy()


def probe_for_step(
    files: RotationFiles,
    probes: ProbeOptions,
    pins: PinSet,
    policies: Sequence[HostPolicy],
    who: str | None,
) -> tuple[ProbeResults, datetime]:
    """Contact servers like ``probe_for_reading``, and prepare journal entries about their chains.

    The entries are stored in ``files.observations``, and ``files.commit`` writes them.

    Args:
        files: the pin file and the journal.
        probes: the options that choose the servers.
        pins: the pin set that has the policies.
        policies: the policies with the servers to contact.
        who: the value of ``--who``, the name for the journal; None if it is not given.

    Returns:
        The served chains, and the time at which to judge them.
    """
    from certpin.rotation import new_observations

    results, now = probe_for_reading(files, probes, pins, policies)
    files.observations = [
        event
        for policy in policies
        for event in new_observations(
            files.situation(policy, results.of(policy), now, pins=pins), person_name(who)
        )
    ]
    return results, now


def repository_dates(
    files: RotationFiles, *, offline: bool, timeout: float
) -> tuple[ServerDate, ...]:
    """Return the time of the server from which clients fetch signed pin sets.

    The server reports it in an HTTP response.

    Args:
        files: the pin file, beside which ``publish/publish.toml`` is, and its journal.
        offline: True not to connect.
        timeout: seconds for each of connecting, the handshake and the response.

    Returns:
        A tuple with the time of the server. It is empty if ``offline`` is True, if ``publish.toml``
        is missing, invalid or has no ``fetch_url``, or if the server gives no valid answer.
    """
    from certpin.pins import utc_now
    from certpin.probe import ContextCache, url_time
    from certpin.rotation import ServerDate

    host = files.fetch_host
    if offline or not host:
        return ()
    policy = files.pins.policy_for(host)
    context = ContextCache().get(policy.trust if policy else None)
    url = files.fetch_url

    def ask() -> tuple[ServerDate, ...]:
        date = url_time(url, context, timeout=timeout)
        return (ServerDate(host, date, utc_now()),) if date else ()

    # With the time of this machine at the answer, also if the command is repeated later.
    return once((url, policy), ask)


def settings_path(pin_file: Path) -> Path:
    """Return the path of ``publish/publish.toml``, the settings of ``certpin publish``.

    The folder ``publish`` is beside the journal, also if the pin file is a symbolic link.
    """
    from certpin.rotation import journal_path

    return journal_path(pin_file).with_name("publish") / "publish.toml"
