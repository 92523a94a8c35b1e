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
from certpin.cli.options import file_option, json_option, pin_file_option
from certpin.cli.reply import fold, print_json, say
from certpin.cli.rotate.emergency_record import (
    affected_hosts,
    append_record,
    earlier_record,
    load_pins,
    locked_for_record,
    missing_key,
    named_key,
    other_pins,
    recorded_hosts,
)
from certpin.cli.rotate.emergency_text import PathCommands, PathText, ordered_steps, path_lines
from certpin.cli.rotate.files import (
    RotationFiles,
    person_name,
    probe_for_reading,
    repeat_if_changed,
    who_option,
)
from certpin.cli.rotate.steps import compare_destination
from certpin.cli.servers import ProbeOptions, probe_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime
    from pathlib import Path

    from certpin.cli.named_key import KeyReference
    from certpin.pins import HostPolicy, Pin
    from certpin.rotation import Event, Situation
    from certpin.rotation.emergency import EmergencyPath, Fact
    from certpin.rotation.journal import StepName

_STEPS: dict[Fact, StepName] = {"stolen": "compromise", "lost": "lose"}


@click.command()
@click.argument(
    "key", required=False, metavar="KEY | CSR | CERT | PIN | URI", shell_complete=complete_files
)
@click.option("--stolen", is_flag=True, help="An attacker may have the key.")
@click.option("--lost", is_flag=True, help="The key is gone, and no attacker has it.")
@pin_file_option
@probe_options
@who_option
@json_option
@click.pass_context
def emergency(
    ctx: click.Context,
    key: str | None,
    stolen: bool,
    lost: bool,
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

    Exit code 0: recorded, and a safe path exists, or nothing is left to do. 1: recorded, and no
    path is known that locks out no client, or clients stay locked out until they have another
    version: the least harmful path is printed; or the gate will refuse the pin file as it is.
    2: not recorded.
    """  # noqa: D301  # click reads the \b itself
    if key is None:
        raise missing_key(path)
    if not stolen and not lost:
        raise click.UsageError("say what happened to the key: --stolen or --lost")
    if stolen and lost:
        raise click.UsageError("if another person may have the key, it is --stolen and not --lost")
    fact: Fact = "stolen" if stolen else "lost"
    report = EmergencyReport(path, fact, named_key(key, path), person_name(who))
    report.record(probes.hosts)
    report.find_paths(probes)
    if as_json:
        print_json(report.json())
    else:
        report.print()
    ctx.exit(SUCCESS if report.is_safe and not report.is_refused else PROBLEM_FOUND)


@dataclass(frozen=True)
class WrongClock:
    """The clock of this machine, or the time of the journal's newest entry, is wrong.

    Because of it, the gate (the check before each step) refuses every step.

    Attributes:
        problem: the fault of the clock or of the journal's times, as a clause.
        advice: what to do about it, for the top of the output.
        is_now_known: False if the current time is not known, or if the journal has versions of a
            later time. No path is computed then: which clients accept the key depends on the time.
    """

    problem: str
    advice: str
    is_now_known: bool


@dataclass
class EmergencyReport:
    """A stolen or lost key: its record in the journal, and the path to a new key for each host.

    A path is the shortest series of steps to a key that is neither stolen nor lost
    (``EmergencyPath``).

    Attributes:
        path: the pin file.
        fact: ``stolen`` or ``lost``.
        key: the stolen or lost key, as the user named it.
        who: the name of the person, for the journal.
        hosts: the host patterns for which the fact is recorded.
        earlier: the journal event that had recorded the fact before this command; ``None`` if this
            command recorded it.
        is_worse: True if the user gave ``--lost``, and the journal already had the key as stolen,
            which is worse. The path is then that of a stolen key.
        marked: the hosts at which the pin file marks the key as stolen or lost.
        unmarked: the hosts at which the pin file can't mark the key yet, because too few other pins
            would be left, or because no version is recorded.
        later: the hosts at which the pin file does not refuse the stolen root yet, because clients
            trust no other root.
        below: the pins of authorities below the stolen one, which the pin file now marks as lost.
        also: the other pins of the key, as of its certificate, that are recorded, too.
        version: the version of the pin file; None if it could not be read.
        has_version: False if the journal has no published version.
        paths: the path of each host.
        texts: the paths in words, for each group of hosts with equal steps.
        problem: the reason why no path could be computed, as text; empty if the paths were
            computed.
        unknown: facts that could not be checked, as clauses.
        is_known: False if neither the pin file nor a version that clients hold has the key, and no
            server that answered: it can be the wrong key.
        hints: those of ``unknown`` that are about the version that clients can fetch now.
        clock: the problem with the clock or the journal's times; None without such a problem.
        doubt: by how much this machine's clock differs from that of a server without a verified
            chain, as text; empty if it doesn't, or if a server with a verified chain has a time.
    """

    path: Path
    fact: Fact
    key: KeyReference
    who: str
    hosts: list[str] = field(default_factory=list)
    earlier: Event | None = None
    is_worse: bool = False
    marked: list[str] = field(default_factory=list)
    unmarked: list[str] = field(default_factory=list)
    later: list[str] = field(default_factory=list)
    below: list[str] = field(default_factory=list)
    also: list[str] = field(default_factory=list)
    version: int | None = None
    has_version: bool = True  # whether the journal has a version
    paths: list[EmergencyPath] = field(default_factory=list)
    texts: list[PathText] = field(default_factory=list)
    problem: str = ""
    unknown: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    is_known: bool = True
    clock: WrongClock | None = None
    doubt: str = ""

    @property
    def journal(self) -> Path:
        """The journal, beside the pin file."""
        from certpin.rotation import journal_path

        return journal_path(self.path)

    @property
    def is_now_known(self) -> bool:
        """False if no path can be computed because of ``clock``."""
        return self.clock is None or self.clock.is_now_known

    @property
    def is_safe(self) -> bool:
        """True if each host has a path on which no client is locked out.

        If not, or if no path could be computed, the command ends with exit code 1.
        """
        is_computed = self.is_now_known and not self.problem
        return is_computed and all(path.is_safe for path in self.paths)

    @property
    def is_refused(self) -> bool:
        """True if the gate will refuse the pin file until the user has corrected an edit of it."""
        return any(text.refused is not None for text in self.texts)

    def record(self, hosts: Sequence[str]) -> None:
        """Record in the journal that the key was stolen or lost.

        Call this method before the others, so that no other error can prevent the record. If the
        journal already has the theft or loss, nothing is recorded, and ``earlier`` is set to that
        event.

        Args:
            hosts: the values of ``--host``.

        Raises:
            JournalError: the journal can't be written. The error has the lines to append.
            click.UsageError: no host is known.
        """
        from certpin.errors import CertpinError
        from certpin.pins import utc_now
        from certpin.rotation import Event, History, load_journal
        from certpin.rotation.trust import known_anchor_pins

        journal, pins = self.journal, load_pins(self.path)
        with locked_for_record(journal):
            try:
                history = load_journal(journal)
            except CertpinError as exc:
                say("certpin: warning", f"the journal can't be read, and is appended to: {exc}")
                history = History()
            self.hosts = affected_hosts(self.path, pins, history, self.key, hosts)
            self.earlier = earlier_record(history, self.key, self.fact)
            if self.earlier is not None:
                self.is_worse = (self.fact, self.earlier.step) == ("lost", "compromise")
                self.fact = "stolen" if self.is_worse else self.fact
            known = recorded_hosts(history, self.key.pin, self.fact)
            hosts = [host for host in self.hosts if host not in known]
            if not hosts:
                return
            now = utc_now()
            # A note says that the key is a server's: the marks in the pin file depend on that.
            versions = [each.pins for each in history.deployed.versions]
            roots = known_anchor_pins([*versions, *([pins] if pins else [])])
            note = "" if self._is_authority(roots) else self.key.note
            events = [
                Event(now, self.who, _STEPS[self.fact], host, self.key.pin, note=note)
                for host in hosts
            ]
            append_record(journal, history, events)

    def find_paths(self, probes: ProbeOptions) -> None:
        """Mark the key as lost or compromised in the pin file; find the next steps of each host.

        The servers of the hosts are contacted to find the steps.

        An error is stored in ``problem`` and not raised, because the theft or loss is already
        recorded.
        """
        from certpin.errors import CertpinError

        try:
            marked = self._mark(probes)
            if marked is not None:
                if marked.unrecorded:  # clients may hold versions that no path considers
                    marked.require_signed_recorded()
                self._find_paths(probes, marked)
        except CertpinError as exc:
            self.problem = str(exc)
        except click.UsageError as exc:
            self.problem = exc.message

    @repeat_if_changed
    def _mark(self, probes: ProbeOptions) -> RotationFiles | None:
        """Mark the key in the pin file before servers are contacted. Return the changed files.

        If clients can fetch a newer version than the journal has, set ``problem`` and return None,
        because no path is safe that is computed without that version. The pin file is not changed
        then, so that git can merge the newer one.
        """
        from certpin.support.text import sentence

        files = RotationFiles(self.path)  # marks the key in the draft
        newer, self.hints = compare_destination(files, probes)
        if newer:
            self.problem = f"{newer[0].problem}. {sentence(newer[0].fix)}"
            return None
        self.later = [str(host) for host, pin in files.put_off if pin == self.key.pin]
        files.commit([])
        return files

    @repeat_if_changed
    def _find_paths(self, probes: ProbeOptions, marked: RotationFiles) -> None:
        from certpin.rotation.deadlines import certificates_perhaps_of
        from certpin.rotation.emergency import emergency_path
        from certpin.rotation.gate import clock_doubt

        self._forget_paths()
        files = self._with_certificates(marked.latest(), probes)
        self.has_version = files.deployed.latest is not None
        self.version = files.pins.version
        policies = self._policies(files)
        self._read_marks(policies)
        results, now = probe_for_reading(files, probes, files.pins, policies)
        self.unknown = [*self.hints, *results.unknown]
        self.doubt = clock_doubt(files.evidence)
        self.clock = self._wrong_clock(files, now)
        if not self.is_now_known:
            return
        all_answered = not (probes.offline or results.unanswered)
        is_authority = self._is_authority(files.known_roots)
        self.is_known = self._has_key(files) or is_authority
        commands, situations = PathCommands(files, probes), []
        for policy in policies:
            situation = files.situation(policy, results.of(policy), now)
            found = emergency_path(
                situation,
                self.key.pin,
                self.fact,
                all_answered=all_answered,
                silent=not all_answered and not probes.offline,
            )
            if self.fact == "stolen" and (found.authority or is_authority):
                self._mark_authority(files, policy)
            self._mark_below(files, situation)
            self.paths.append(found)
            situations.append(situation)
            self.is_known |= bool(found.serving) or found.authority
            self._ask_about(certificates_perhaps_of(situation, self.key.pin))
        known = {str(policy.pattern) for policy in policies}
        if missing := [host for host in self.hosts if host not in known]:
            self.problem = (
                f"{self.path} has no policy for {', '.join(missing)}, which clients may have: put "
                "it back (git checkout), and run this command again"
            )
        groups: dict[object, list[tuple[EmergencyPath, Situation]]] = {}
        for found, situation in zip(self.paths, situations, strict=True):
            # The commands depend on the certificates that clients compare, too.
            kind = (found.kind, situation.policy.match, situation.policy.trust is None)
            groups.setdefault(kind, []).append((found, situation))
        for (found, situation), *others in groups.values():
            alike = [found, *(path for path, _ in others)]
            hosts = tuple(path.host for path in alike)
            serving = tuple(server for path in alike for server in path.serving)
            self.texts.append(PathText(found, situation, commands, hosts, serving))

    def _policies(self, files: RotationFiles) -> list[HostPolicy]:
        return [each for each in files.pins.policies if str(each.pattern) in self.hosts]

    def _with_certificates(self, files: RotationFiles, probes: ProbeOptions) -> RotationFiles:
        """Record the other pins of the key as stolen or lost, and return the changed files.

        The other pins are those of its certificates, and its own pin if the user named a
        certificate. The certificates are those that servers present, and the named file. ``files``
        are the pin file and the journal. ``probes`` has the options for contacting servers.
        """
        from certpin.rotation import Event

        policies = self._policies(files)
        results, now = probe_for_reading(files, probes, files.pins, policies)
        events: list[Event] = []
        for policy in policies:
            situation = files.situation(policy, results.of(policy), now)
            for pin, note in other_pins(self.key, situation):
                host = str(policy.pattern)
                self.also.append(str(pin))
                if host not in recorded_hosts(files.history, pin, self.fact):
                    events.append(Event(now, self.who, _STEPS[self.fact], host, pin, note=note))
        if not events:
            return files
        with locked_for_record(files.journal):
            append_record(files.journal, files.history, events)
        files = files.latest()  # it marks them
        files.commit([])
        return files

    def _ask_about(self, certificates: Sequence[Pin]) -> None:
        """Add questions to ``unknown``: whether certificates have the stolen or lost key.

        ``certificates`` are the pins of the certificates that may have it.
        """
        for pin in certificates:
            question = (
                f"whether {pin} is the certificate of this key: then no server may use it (run "
                "this command again with --served FILE, that certificate)"
            )
            if question not in self.unknown:
                self.unknown.append(question)

    def _forget_paths(self) -> None:
        """Forget the results of a run of ``_find_paths`` that is repeated.

        ``below`` stays, because these pins are marked in the pin file already.
        """
        self.marked, self.unmarked, self.also = [], [], []
        self.paths, self.texts = [], []
        self.problem, self.clock = "", None

    def _wrong_clock(self, files: RotationFiles, now: datetime) -> WrongClock | None:
        """Return the problem with the clock or the journal's times; None without such a problem.

        Args:
            files: the pin file and the journal, after the servers were contacted.
            now: the time by the clock of this machine.
        """
        from certpin.rotation.gate import behind_journal, clock_problem
        from certpin.rotation.history import ahead_of

        evidence = files.evidence
        repair = f"certpin rotate clock --reason TEXT{file_option(self.path)}"
        if problem := clock_problem(evidence):
            is_now_known = False
            line = f"SET THE CLOCK of this machine, and run this again: {problem}."
        elif problem := behind_journal(evidence, now):
            has_versions = any(event.version for event in ahead_of(files.history.events, now))
            is_now_known = evidence.confirmed and not has_versions
            line = (
                f"CORRECT THE JOURNAL ({repair}), and run this again: {problem}, which a server "
                "confirms."
                if evidence.confirmed
                else f"SET THE CLOCK of this machine, and run this again: {problem}. If it is "
                f"right, correct the journal ({repair})."
            )
        else:
            return None
        then = "each step below is refused" if is_now_known else "no path is certain"
        return WrongClock(problem, f"{line} Before that, {then}.", is_now_known)

    def _mark_authority(self, files: RotationFiles, policy: HostPolicy) -> None:
        """Change the role of the stolen key in the pin file to that of an authority.

        ``files`` are the pin file and the journal. ``policy`` is that of the host. The checks of
        later steps assume that a key with the role ``leaf`` signs no certificate. With the role of
        an authority, they know that clients refuse every chain below the stolen key.
        """
        entry = next((each for each in policy.pins if each.pin == self.key.pin), None)
        if entry is None or entry.state != "compromised":
            return
        if entry.role == "leaf" or (entry.role == "backup" and policy.match != "ca"):
            pattern = str(policy.pattern)
            files.editor.change_pin(pattern, self.key.pin, role="intermediate")
            files.commit([])

    def _mark_below(self, files: RotationFiles, situation: Situation) -> None:
        """Mark pinned authorities as LOST if servers present them only below a gone key.

        Such an authority is no backup: clients refuse each path that contains a stolen key, and no
        authority below a lost key can be renewed. It is marked in the pin file now, because later
        it can't be found: when servers present another chain, it is unknown which authorities were
        below the key. Without the mark, the path would lead from one authority below a lost root to
        the next one, and back. ``files`` are the pin file and the journal, and ``situation`` has
        the facts about the host.
        """
        from certpin.rotation.next_key import below_gone

        for pin in sorted(below_gone(situation), key=str):
            entry = situation.entry(pin)
            if entry is not None and entry.usable and situation.role_of(pin) != "leaf":
                files.editor.change_pin(str(situation.pattern), pin, state="lost")
                files.commit([])
                self.below.append(str(pin))

    def _is_authority(self, roots: AbstractSet[Pin]) -> bool:
        """Return True if the key is known to be an authority's.

        That is so if the user named a certificate of an authority, or if the key is that of a trust
        anchor. The journal then gets no note about the key, because a note means that the key is a
        server's.

        Args:
            roots: the pins of the trust anchors in the pin file and in the recorded versions.
        """
        return self.key.is_authority or self.key.pin in roots

    def _has_key(self, files: RotationFiles) -> bool:
        """Return True if the pin file, a version or a step in the journal has the key.

        If not, and no server uses the key, the output asks if it is the right one. ``files`` are
        the pin file and the journal. A pin that is COMPROMISED in the pin file doesn't count,
        because this command adds it.
        """
        steps = {each.step for each in files.history.events if each.pin == self.key.pin}
        draft = files.pins
        versions = (draft, *(each.pins for each in files.deployed.versions))
        return bool(steps - {*_STEPS.values()}) or any(
            entry.pin == self.key.pin and (pins is not draft or entry.live)
            for pins in versions
            for policy in pins.policies
            for entry in policy.pins
        )

    def _read_marks(self, policies: list[HostPolicy]) -> None:
        dead = {"compromised"} if self.fact == "stolen" else {"compromised", "lost", "removed"}
        for policy in policies:
            states = {entry.state for entry in policy.pins if entry.pin == self.key.pin}
            if str(policy.pattern) in self.later:
                continue
            if states & dead:
                self.marked.append(str(policy.pattern))
            elif states:
                self.unmarked.append(str(policy.pattern))

    def json(self) -> dict[str, Any]:
        """Return the record of the stolen or lost key, and the steps for each host, as JSON."""
        clock = self.clock.problem if self.clock else None
        return {
            "file": str(self.path),
            "pin": str(self.key.pin),
            "fact": self.fact,
            "journal": str(self.journal),
            "recorded": True,
            "recorded_before": self.earlier.time.isoformat() if self.earlier else None,
            "hosts": [
                text.json(path)
                for path in self.paths
                for text in self.texts
                if path.host in text.hosts
            ],
            "steps": list(ordered_steps(self.texts)),
            "marked": self.marked,
            "unmarked": self.unmarked,
            "known": self.is_known,
            "version": self.version,
            "safe": self.is_safe,
            "problem": self.problem or (None if self.is_now_known else clock),
            "unknown": self.unknown,
            "clock": clock,
        }

    def print(self) -> None:
        """Print the recorded theft or loss, then each host's steps and their effect."""
        for line in self._certain():
            bold = line.startswith("RECORDED")
            click.echo(
                click.style(fold(line, sys.stdout), bold=True) if bold else fold(line, sys.stdout)
            )
        if self.texts:
            click.echo("")
        for line in path_lines(self.texts):
            click.echo(fold(line, sys.stdout))
        for unknown in self.unknown:
            click.echo(fold(f"Not known: {unknown}.", sys.stdout))
        if self.problem:
            say("certpin", f"the way out can't be computed: {self.problem}")
        if self.problem or not self.is_now_known:
            click.echo(f"Next, when that is fixed:  {self._repeat(str(self.key.pin))}")

    def _repeat(self, key: str) -> str:
        """Return the command to record ``key`` as stolen or lost, as this run did.

        The output suggests it to the user, for the same key later or for another key.
        """
        return f"certpin rotate emergency {key} --{self.fact}{file_option(self.path)}"

    def _certain(self) -> list[str]:
        from certpin.support.text import printable

        word = "COMPROMISED" if self.fact == "stolen" else "LOST"
        where = ", ".join(self.hosts)
        lines = [f"RECORDED: {self.key.pin} is {word} at {where}. No step lets servers use it."]
        if self.also:
            lines.append(f"The same key has {', '.join(dict.fromkeys(self.also))}: recorded, too.")
        if self.clock:
            lines.append(self.clock.advice)
        if self.is_worse:
            lines.append(
                "It was recorded as stolen, which is worse than lost: this is the path of a stolen "
                "key."
            )
        if self.earlier is not None:
            lines.append(
                f"{printable(self.earlier.who)} had recorded that on "
                f"{self.earlier.time:%Y-%m-%d %H:%M} UTC."
            )
        lines += self._marks()
        lines.append(f"The journal is {self.journal}.")
        if not self.is_known:
            lines.append(
                "IS IT THE RIGHT KEY? Neither the pin file nor a version of clients has it, nor a "
                "server that answered. The record stays, and harms no other key. If it is the "
                f"wrong one, record the right one, too: {self._repeat('KEY')}"
            )
        if self.doubt:
            lines.append(
                f"CHECK THE CLOCK of this machine first: it seems to be {self.doubt}. With a wrong "
                "clock, a valid chain does not verify, and the steps below are wrong."
            )
        return lines

    def _marks(self) -> Iterator[str]:
        """Yield the sentences about what the pin file marks, and what it can't mark yet."""
        if self.marked:
            yield f"{self.path} (version {self.version}) marks it too."
        if self.unmarked:
            has_start = any(path.needs_backup for path in self.paths)
            where_backup = "the new backup below" if has_start else "another backup"
            why = (
                f"because too few other pins are left: it follows with {where_backup}"
                if self.has_version
                else "because no version is recorded: it follows when you have recorded one"
            )
            yield f"{self.path} still accepts it, {why}."
        if self.later:
            yield (
                f"{self.path} does not refuse it yet at {', '.join(self.later)}: it follows "
                "when every client trusts another root."
            )
        if self.below:
            pins = ", ".join(dict.fromkeys(self.below))
            why = (
                "clients refuse each path through it, because it is below the stolen key"
                if self.fact == "stolen"
                else "it is below the lost key, which can't renew it. Certificates that it issues "
                "are accepted until then"
            )
            yield f"{self.path} marks {pins} as LOST: {why}."
