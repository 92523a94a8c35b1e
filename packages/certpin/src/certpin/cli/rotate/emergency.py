"""``certpin rotate emergency``: record that a key was stolen or lost, and print the next steps.

The steps are the shortest path to a key that is neither stolen nor lost, without a lockout.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.candidates import complete_files
from certpin.cli.main import PROBLEM_FOUND, SUCCESS
from certpin.cli.named_key import policies_of_name, resolve_key
from certpin.cli.options import file_option, json_option, pin_file_option
from certpin.cli.reply import fold, print_json, say
from certpin.cli.rotate.emergency_text import PathCommands, PathText
from certpin.cli.rotate.files import RotationFiles, name_of, probe_for_reading, who_option
from certpin.cli.servers import ProbeOptions, probe_options

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from certpin.cli.named_key import KeyReference
    from certpin.pins import HostPolicy, PinSet
    from certpin.rotation import Event, History
    from certpin.rotation.emergency import EmergencyPath, Fact
    from certpin.rotation.journal import StepName

_STEPS: dict[Fact, StepName] = {"stolen": "compromise", "lost": "lose"}


@click.command()
@click.argument("key", metavar="KEY | CSR | CERT | PIN | URI", shell_complete=complete_files)
@click.option("--stolen", "fact", flag_value="stolen", help="An attacker may have the key.")
@click.option("--lost", "fact", flag_value="lost", help="The key is gone, and no attacker has it.")
@pin_file_option
@probe_options
@who_option
@json_option
@click.pass_context
def emergency(
    ctx: click.Context,
    key: str,
    fact: Fact | None,
    path: Path,
    probes: ProbeOptions,
    who: str | None,
    as_json: bool,
) -> None:
    """A key was stolen or lost: record it, and print the shortest way out.

    Run it at once. You can repeat it: each time the steps are computed from the current facts.

    First it records the theft or loss in the journal. That works offline, with an invalid pin file,
    and without a published version. The key is never used again, and the pin file marks it under
    the next version. Then it prints how many clients accept a stolen key, and until when; and each
    command of the shortest path that locks no client out, with its date. It works with the minimum
    of two pins. If only the pin of the key is left, give that.

    \b
    certpin rotate emergency api.key --stolen
    certpin rotate emergency sha256/Kx... --lost --offline

    Exit code 0: recorded, and a safe path exists. 1: recorded, and no path is known that locks out
    no client: the least harmful path is printed. 2: not recorded.
    """  # noqa: D301  # click reads the \b itself
    if fact is None:
        raise click.UsageError("say what happened to the key: --stolen or --lost")
    report = EmergencyReport(path, fact, _named(key, path), name_of(who))
    report.record(probes.hosts)
    report.find_paths(probes)
    if as_json:
        print_json(report.json())
    else:
        report.print()
    ctx.exit(SUCCESS if report.is_safe else PROBLEM_FOUND)


@dataclass
class EmergencyReport:
    """A stolen or lost key: its record in the journal, and the path to a new key for each host.

    A path is the shortest series of steps to a key that is neither stolen nor lost
    (``EmergencyPath``).

    Attributes:
        fact: ``stolen`` or ``lost``.
        hosts: the host patterns for which the fact is recorded.
        earlier: the journal event that had recorded the fact before this command; ``None`` if this
            command recorded it.
        marked: the hosts at which the pin file marks the key as stolen or lost.
        unmarked: the hosts at which the pin file can't mark the key yet, because only one other pin
            would be left, or because no version is recorded.
        version: the version of the pin file; None if it could not be read.
        paths: the path of each host.
        texts: the paths in words.
        problem: the reason why no path could be computed, as text; empty if the paths were
            computed.
        unknown: facts that could not be checked, as clauses.
    """

    path: Path
    fact: Fact
    key: KeyReference
    who: str
    hosts: list[str] = field(default_factory=list)
    earlier: Event | None = None
    marked: list[str] = field(default_factory=list)
    unmarked: list[str] = field(default_factory=list)
    version: int | None = None
    has_version: bool = True  # whether the journal has a version
    paths: list[EmergencyPath] = field(default_factory=list)
    texts: list[PathText] = field(default_factory=list)
    problem: str = ""
    unknown: list[str] = field(default_factory=list)

    @property
    def is_safe(self) -> bool:
        """True if each host has a path on which no client is locked out."""
        return not self.problem and all(path.is_safe for path in self.paths)

    def record(self, hosts: Sequence[str]) -> None:
        """Record in the journal that the key was stolen or lost.

        Call this method first, so that no other error can prevent the record. Nothing is recorded
        if the journal already has the theft or loss.

        Args:
            hosts: the values of ``--host``.

        Raises:
            JournalError: the journal can't be written. The error has the lines to append.
            click.UsageError: no host is known.
        """
        from certpin.errors import CertpinError
        from certpin.pins import utc_now
        from certpin.rotation import Event, History, journal_path, load_journal

        journal, pins = journal_path(self.path), _load(self.path)
        try:
            history = load_journal(journal)
        except CertpinError as exc:
            say("certpin: warning", f"the journal can't be read, and is appended to: {exc}")
            history = History()
        self.hosts = _affected(pins, history, self.key, hosts)
        self.earlier = _earlier(history, self.key, self.fact)
        if self.earlier is not None:
            return
        now = utc_now()
        events = [
            Event(now, self.who, _STEPS[self.fact], host, self.key.pin, note=self.key.note)
            for host in self.hosts
        ]
        _append(journal, history, events)

    def find_paths(self, probes: ProbeOptions) -> None:
        """Mark the key as lost or compromised in the pin file; find the next steps of each host.

        The servers of the hosts are contacted to find the steps.

        An error is stored in ``problem`` and not raised, because the theft or loss is already
        recorded.
        """
        from certpin.errors import CertpinError

        try:
            self._find_paths(probes)
        except CertpinError as exc:
            self.problem = str(exc)
        except click.UsageError as exc:
            self.problem = exc.message

    def _find_paths(self, probes: ProbeOptions) -> None:
        from certpin.rotation.emergency import emergency_path

        files = RotationFiles(self.path)  # marks the key in the draft
        policies = [each for each in files.pins.policies if str(each.pattern) in self.hosts]
        if self.fact == "stolen":
            self._refuse_under_authorities(files, policies)
        files.commit([])
        self.has_version = files.deployed.latest is not None
        self.version = files.pins.version
        policies = [each for each in files.pins.policies if str(each.pattern) in self.hosts]
        self._read_marks(policies)
        results, now = probe_for_reading(files, probes, files.pins, policies)
        self.unknown = results.unknown
        all_answered = not probes.offline and results.error is None
        commands, situations = PathCommands(files, probes), []
        for policy in policies:
            situation = files.situation(policy, results.of(policy), now)
            found = emergency_path(situation, self.key.pin, self.fact, all_answered=all_answered)
            self.paths.append(found)
            situations.append(situation)
        known = {str(policy.pattern) for policy in policies}
        if missing := [host for host in self.hosts if host not in known]:
            self.problem = (
                f"{self.path} has no policy for {', '.join(missing)}, which clients may have: put "
                "it back (git checkout), and run this command again"
            )
        for found, situation in zip(self.paths, situations, strict=True):
            alike = tuple(path.host for path in self.paths if path.kind == found.kind)
            self.texts.append(PathText(found, situation, commands, alike))

    def _refuse_under_authorities(self, files: RotationFiles, policies: list[HostPolicy]) -> None:
        """Add the pin of a stolen server key, as COMPROMISED, to policies that compare authorities.

        Without this entry, clients of the host would accept the key because of the authority above
        it.
        """
        from certpin.pins import HostPin

        for policy in policies:
            known = {entry.pin for entry in policy.pins}
            if policy.match != "leaf" and self.key.pin not in known:
                entry = HostPin(self.key.pin, "leaf", "compromised", self.key.note)
                files.editor.add_pin(str(policy.pattern), entry)
                files.editor.set_version(files.next_version)

    def _read_marks(self, policies: list[HostPolicy]) -> None:
        dead = {"compromised"} if self.fact == "stolen" else {"compromised", "lost", "removed"}
        for policy in policies:
            states = {entry.state for entry in policy.pins if entry.pin == self.key.pin}
            if states & dead:
                self.marked.append(str(policy.pattern))
            elif states:
                self.unmarked.append(str(policy.pattern))

    def json(self) -> dict[str, Any]:
        """Return the record of the stolen or lost key, and the steps for each host, as JSON."""
        return {
            "file": str(self.path),
            "pin": str(self.key.pin),
            "fact": self.fact,
            "recorded": True,
            "recorded_before": self.earlier.time.isoformat() if self.earlier else None,
            "hosts": [text.json() for text in self.texts],
            "marked": self.marked,
            "unmarked": self.unmarked,
            "version": self.version,
            "safe": self.is_safe,
            "problem": self.problem or None,
            "unknown": self.unknown,
        }

    def print(self) -> None:
        """Print the recorded theft or loss, then each host's steps and their effect."""
        for line in self._certain():
            bold = line.startswith("RECORDED")
            click.echo(
                click.style(fold(line, sys.stdout), bold=True) if bold else fold(line, sys.stdout)
            )
        groups = {text.hosts: text for text in self.texts}
        for text in groups.values():
            click.echo("")
            if len(groups) > 1:
                click.secho(", ".join(text.hosts), bold=True)
            for line in text.lines():
                click.echo(fold(line, sys.stdout))
        for unknown in self.unknown:
            click.echo(fold(f"Not known: {unknown}.", sys.stdout))
        if self.problem:
            say("certpin", f"the way out can't be computed: {self.problem}")
            again = f"certpin rotate emergency {self.key.pin} --{self.fact}{file_option(self.path)}"
            click.echo(f"Next, when that is mended:  {again}")

    def _certain(self) -> list[str]:
        word = "COMPROMISED" if self.fact == "stolen" else "LOST"
        where = ", ".join(self.hosts)
        lines = [f"RECORDED: {self.key.pin} is {word} at {where}. No step lets servers use it."]
        if self.earlier is not None:
            lines.append(
                f"{_printable(self.earlier.who)} had recorded that on "
                f"{self.earlier.time:%Y-%m-%d %H:%M} UTC."
            )
        if self.marked:
            lines.append(f"{self.path} (version {self.version}) marks it too.")
        if self.unmarked:
            why = (
                "because only one other pin is left: it follows with the new backup below"
                if self.has_version
                else "because no version is recorded: it follows when you have recorded one"
            )
            lines.append(f"{self.path} still accepts it, {why}.")
        return lines


def _printable(text: str) -> str:
    from certpin.support.text import printable

    return printable(text)


def _named(key: str, path: Path) -> KeyReference:
    """Return the stolen or lost key that the user named by a pin, a file or a URI.

    Raises:
        ConfigError: the text names no key. The error lists the pins of the pin file.
    """
    from certpin.errors import CertpinError, ConfigError

    try:
        return resolve_key(key)
    except CertpinError as exc:
        pins = _load(path)
        known = [
            f"{entry.pin} ({entry.role}{', ' + _printable(entry.note) if entry.note else ''})"
            for policy in (pins.policies if pins else ())
            for entry in policy.pins
        ]
        listed = f"; the pins of {path}: {', '.join(dict.fromkeys(known))}" if known else ""
        raise ConfigError(
            f"NOT recorded: {getattr(exc, 'problem', exc)}",
            key="KEY",
            fix=f"if the file is gone, give the pin of the key{listed}",
        ) from exc


def _load(path: Path) -> PinSet | None:
    """Return the pin set of the pin file; None if it can't be loaded."""
    from certpin.errors import CertpinError
    from certpin.pinfile import PinSet

    try:
        return PinSet.load(path)
    except CertpinError:
        return None


def _affected(
    pins: PinSet | None, history: History, key: KeyReference, hosts: Sequence[str]
) -> list[str]:
    """Return the host patterns for which the theft or loss of a key is recorded.

    They are the first of these that exist: those of ``--host``; those that have the key in the pin
    file, in a published version or in the journal; the pinned hosts in the key's certificate; all
    hosts; the first name in the certificate.

    Args:
        pins: the pin file; None if it can't be loaded.
        history: the journal.
        key: the stolen or lost key.
        hosts: the values of ``--host``.

    Raises:
        click.UsageError: no host is known.
    """
    from certpin.pins import HostPattern
    from certpin.pins.hosts import split_address

    policies = pins.policies if pins else ()
    if hosts:
        return list(dict.fromkeys(_pattern(host, pins) for host in hosts))
    versions = [version.pins.policies for version in history.deployed.versions]
    holding = [
        str(policy.pattern)
        for known in (policies, *versions)
        for policy in known
        if key.pin in {entry.pin for entry in policy.pins}
    ]
    recorded = [event.host for event in history.events if event.pin == key.pin and event.host]
    certified = [
        str(policy.pattern)
        for name in key.names
        for policy in (policies_of_name(name, pins) if pins else ())
    ]
    everything = [str(policy.pattern) for known in (policies, *versions) for policy in known]
    found = [*holding, *recorded] or certified or everything
    if not found and key.names:
        found = [str(HostPattern.parse(split_address(name, 0)[0])) for name in key.names[:1]]
    if not found:
        raise click.UsageError("no host is known, so nothing is recorded: name it, with --host")
    return list(dict.fromkeys(found))


def _pattern(host: str, pins: PinSet | None) -> str:
    from certpin.pins import HostPattern
    from certpin.pins.hosts import split_address

    if host.startswith("*"):
        return str(HostPattern.parse(host))
    name, _ = split_address(host, 0)
    policy = pins.policy_for(name) if pins else None
    return str(policy.pattern if policy else HostPattern.parse(name))


def _earlier(history: History, key: KeyReference, fact: Fact) -> Event | None:
    """Return the first journal event by which a theft or loss of a key is already recorded.

    Return None if there is no such event. The event of a theft also counts for a lost key.
    """
    wanted = {"compromise"} if fact == "stolen" else {"lose", "compromise"}
    events = [event for event in history.events if event.pin == key.pin]
    return next((event for event in events if event.step in wanted), None)


def _append(journal: Path, history: History, events: list[Event]) -> None:
    """Append events to the journal, each with a time after the journal's newest entry.

    A time is raised if needed, because the clock of this machine may be behind.

    Raises:
        JournalError: the journal can't be written.
    """
    from certpin.cli.rotate.files import append_lines
    from certpin.errors import JournalError
    from certpin.rotation import after, format_journal
    from certpin.rotation.situation import CLOCK_TOLERANCE

    dated = list(after(history.events, events, any_lag=True))
    if dated[0].time - events[0].time > CLOCK_TOLERANCE:
        say(
            "certpin: warning",
            f"the newest entry of {journal} is later than the clock of this machine: the fact is "
            "recorded right after it",
        )
    try:
        append_lines(journal, format_journal(dated))
    except OSError as exc:
        raise JournalError(
            f"NOT recorded: it cannot be written: {exc.strerror or exc}",
            path=journal,
            fix=f"append this yourself:\n{format_journal(dated)}",
        ) from exc
