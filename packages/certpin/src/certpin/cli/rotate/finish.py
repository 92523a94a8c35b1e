"""``certpin rotate finish``: remove replaced keys from the pin file, if no server uses them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import click

from certpin.cli.candidates import complete_files
from certpin.cli.named_key import policies_for_step, resolve_key
from certpin.cli.options import json_option, pin_file_option
from certpin.cli.rotate.files import (
    RotationFiles,
    once,
    person_name,
    probe_for_step,
    repeat_if_changed,
    who_option,
)
from certpin.cli.rotate.recording import differs_from_latest, way_out_command
from certpin.cli.rotate.start import date_text
from certpin.cli.rotate.steps import (
    ForceOptions,
    HostViolation,
    StepOutcome,
    force_options,
    of_host,
)
from certpin.cli.servers import ProbeOptions, ProbeResults, probe_options

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from certpin.pins import HostPolicy, Pin
    from certpin.rotation import Event, Situation, Violation
    from certpin.rotation.gate import GatedStep

    Step = Literal["retire", "remove", "unstage"]

_REMOVALS: tuple[Literal["retire", "remove"], ...] = ("retire", "remove")


@click.command()
@click.argument(
    "key", required=False, metavar="[KEY | CSR | CERT | PIN | URI]", shell_complete=complete_files
)
@pin_file_option
@probe_options
@force_options
@who_option
@json_option
@click.pass_context
@repeat_if_changed
def finish(
    ctx: click.Context,
    key: str | None,
    path: Path,
    probes: ProbeOptions,
    force: ForceOptions,
    who: str | None,
    as_json: bool,
) -> None:
    """End a rotation: take the replaced keys out of the pin file, under the next version.

    Run it when every server presents the new chain.

    A key is replaced if servers switched to another one after it. All servers are contacted, at
    each IP address of their names: a key that one of them still uses stays, and so does the last
    backup. A pinned authority may go if clients accept each server without it. Each safe removal is
    done; an unsafe one is printed with its reason, and with its date if waiting helps. Clients
    accept the old key until they have the next version.

    With KEY, only this key goes: a backup that you do not need any more, or one that you started
    and that no version has.

    \b
    certpin rotate finish
    certpin rotate finish unused-backup.key

    Exit code 0: done, or nothing to do. 1: something is not safe yet; the rest was done. 2: wrong
    usage, or an invalid file. 3: a server did not answer, and nothing was changed.
    """  # noqa: D301  # click reads the \b itself
    files = RotationFiles(path)
    files.require_version()
    named = once(("key", key), lambda: resolve_key(key)) if key else None
    policies = (
        policies_for_step(files.pins, probes, named)
        if named
        else probes.selected(files.pins) or list(files.pins.policies)
    )
    if named:
        _require_known(files, policies, named.pin)
    results, now = probe_for_step(files, probes, files.pins, policies, who)
    run = FinishRun(files, results, probes, force, now)
    for policy in policies:
        run.finish(str(policy.pattern), named.pin if named else None)
    if run.skipped and not run.events:
        force.require_answers(results, [*run.violations, *run.unrecorded])
    outcome = run.outcome(policies, person_name(who))
    if named:
        outcome.pin = named.pin
    refused = force.refuses(run.violations)
    unrecorded = ForceOptions(force=False, reason=None).refuses(run.unrecorded)
    outcome.done = not (refused or unrecorded)
    outcome.show(ctx, as_json=as_json)


def _require_known(files: RotationFiles, policies: list[HostPolicy], pin: Pin) -> None:
    from certpin.errors import ConfigError

    in_file = any(pin == entry.pin for policy in policies for entry in policy.pins)
    if not in_file and not any(_is_left_staged(files, policy, pin) for policy in policies):
        latest = files.deployed.latest
        known = latest.pins.policies if latest else ()
        is_out = any(pin in policy.live_pins for policy in known)
        raise ConfigError(
            f"{files.path} does not have {pin}",
            key="KEY",
            fix="clients accept it: put its entry back (git checkout), and run this again"
            if is_out
            else "certpin rotate status lists its pins",
        )


def _is_left_staged(files: RotationFiles, policy: HostPolicy, pin: Pin) -> bool:
    """Return True if a pin is STAGED in the journal and missing in the pin file.

    A crash of ``rotate finish KEY`` can leave this state. The command, run again, then writes the
    missing step into the journal. ``files`` are the pin file and the journal.
    """
    in_file = any(pin == entry.pin for entry in policy.pins)
    return not in_file and files.history.past(policy.pattern).states.get(pin) == "staged"


@dataclass
class FinishRun:
    """Removes pins from the draft (the pin file before it is written), each only if that is safe.

    One object serves one run of ``rotate finish`` or ``providers update``.

    Attributes:
        results: the chains that servers present now.
        probes: the options that the user gave for the servers.
        violations: the reasons why removals are unsafe.
        unrecorded: the keys that servers use although ``rotate switch`` was not run for them, each
            as a violation.
        skipped: the host patterns at which a pin was to be removed, but a server did not answer.
        messages: sentences for the user about the removals.
        events: the removals so far, each as the host pattern, the step and the pin.
    """

    files: RotationFiles
    results: ProbeResults
    probes: ProbeOptions
    force: ForceOptions
    now: datetime
    violations: list[HostViolation] = field(default_factory=list)
    unrecorded: list[HostViolation] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    events: list[tuple[str, Step, Pin]] = field(default_factory=list)

    def finish(self, pattern: str, named: Pin | None) -> None:
        """Remove the replaced keys of one host from the pin file if no client needs them any more.

        Args:
            pattern: the pattern of the host's policy.
            named: the pin of the only key to remove; None for all keys that were replaced.
        """
        from certpin.rotation.renewal import in_flight, old_pins, served_backups, switch_date

        recorded = self._record_missing(pattern, named)
        policy, situation = self._situation(pattern)
        if named is None:
            found = old_pins(situation, self.files.history.activated(policy.pattern))
        else:
            found = (named,) if situation.entry(named) and named not in recorded else ()
        for pin in found:
            self.take_out(pattern, pin, named=named is not None)
        _, situation = self._situation(pattern)
        if named is None:
            self._refuse_unrecorded(policy, situation, served_backups(situation))
        for pin in in_flight(situation) if named is None else ():
            date = date_text(switch_date(situation, pin), self.files)
            self.messages.append(f"{pattern}: {pin} is not adopted yet. {date}")

    def _refuse_unrecorded(
        self, policy: HostPolicy, situation: Situation, served: Iterable[Pin]
    ) -> None:
        """Store that ``finish`` is refused if servers use a key for which ``switch`` was not run.

        Without the record of ``switch``, it is not known that the key has replaced another one.
        ``--force`` has no effect on this refusal, because there is no removal to force.

        Args:
            policy: the policy of the host.
            situation: the facts about the host.
            served: the pins of the keys that servers use without ``switch``.
        """
        from certpin.rotation import Violation
        from certpin.rotation.fleet import client_count

        self.unrecorded += of_host(
            policy,
            [
                Violation(
                    "unrecorded",
                    f"servers present {pin}, and certpin rotate switch was not run for it",
                    client_count(situation),
                    fix=f"certpin rotate switch {pin}, then certpin rotate finish",
                )
                for pin in served
            ],
        )

    def _record_missing(self, pattern: str, named: Pin | None) -> set[Pin]:
        """Prepare the journal events of removals that the pin file has and the journal lacks.

        A crash of an earlier command can leave such a removal. Unsafe ones are recorded only if the
        user forces them.

        Args:
            pattern: the pattern of the host's policy.
            named: the pin of the only key to examine; None for all keys.

        Returns:
            The pins that are removed in the pin file, so that only the journal events were missing.
        """
        done: set[Pin] = set()
        policy, _ = self._situation(pattern)
        for pin, steps in self.files.history.missing_steps(policy).items():
            missing = [step for step in _REMOVALS if step in steps]
            if not missing or named not in {None, pin}:
                continue
            if not self._refused(policy, self._check(pattern, pin, "retire")):
                self.events += [(pattern, step, pin) for step in missing]
                done |= {pin} if "remove" in missing else set()
                self.messages.append(
                    f"{pattern}: {pin} is {steps[-1]}d in the pin file already; the journal now "
                    "has this step, too."
                )
        if named is not None and _is_left_staged(self.files, policy, named):
            self.events.append((pattern, "unstage", named))
            self.messages.append(
                f"{pattern}: {named} is out of the pin file already; the journal now has this "
                "step, too."
            )
        return done

    def outcome(self, policies: list[HostPolicy], who: str) -> StepOutcome:
        """Write the changes to the pin file and the journal; return the outcome for the user.

        If nothing was removed, nothing is written.

        Args:
            policies: the policies that the command is for.
            who: the name of the person, for the journal.
        """
        files, events = self.files, self.journal_events(who)
        outcome = StepOutcome(
            "finish",
            files.path,
            [str(policy.pattern) for policy in policies],
            forced=self.force.force,
            violations=[*self.violations, *self.unrecorded],
            unknown=self.results.unknown,
            messages=self.messages,
            events=events,
        )
        if events:
            self._commit(events, outcome)
        elif not self.violations and not self.messages:
            outcome.messages.insert(0, "Nothing to finish: no server key was replaced.")
        return outcome

    def journal_events(self, who: str) -> list[Event]:
        """Return the removals so far as events for the journal.

        Args:
            who: the name of the person who removes the pins.
        """
        from certpin.rotation import Event

        reason = self.force.recorded_reason(self.violations, self.results)
        return [
            Event(self.now, who, step, host, pin, reason=reason) for host, step, pin in self.events
        ]

    def _commit(self, events: list[Event], outcome: StepOutcome) -> None:
        files = self.files
        if differs_from_latest(files):
            files.editor.set_version(files.next_version)
        files.commit(events)
        outcome.version = files.pins.version
        outcome.next_command = way_out_command(files, self.probes)

    def take_out(self, pattern: str, pin: Pin, *, named: bool) -> None:
        """Set one pin of a host to REMOVED, and first to RETIRING if it is ACTIVE.

        A STAGED pin that the user named is deleted from the pin file instead. An unsafe change is
        made only if the user forces it.

        Args:
            pattern: the pattern of the host's policy.
            pin: the pin.
            named: True if the user named this pin. Only a named pin can be deleted as STAGED: it is
                a backup that no version has.
        """
        from certpin.rotation.journal import pin_state, require_transition

        policy, situation = self._situation(pattern)
        state = pin_state(situation, pin)
        if state == "removed" and named:
            self.messages.append(f"{pattern}: {pin} is REMOVED already: nothing to do.")
            return
        if state == "staged" and named:
            self.files.editor.remove_pin(pattern, pin)
            self.events.append((pattern, "unstage", pin))
            self.messages.append(f"{pattern}: {pin} is out of the pin file; no version has it.")
            return
        if state == "compromised":
            self._explain_stolen(policy, situation, pin)
            return
        if state == "active":
            if self._refused(policy, self._check(pattern, pin, "retire")):
                return
            self._change(pattern, pin, "retire")
        else:
            require_transition(pin, state, "removed")
        if not self._refused(policy, self._check(pattern, pin, "remove")):
            _refuse_invalid(situation, pin)
            self._change(pattern, pin, "remove")

    def _explain_stolen(self, policy: HostPolicy, situation: Situation, pin: Pin) -> None:
        """Store why ``finish`` doesn't remove a stolen key: as a message, or as violations.

        A stolen key stays in the pin file, marked as COMPROMISED, so that clients refuse it. If it
        is marked already, a message says so. It can't be marked before there is another backup:
        this is stored as a violation, together with another one if a server still presents the key.
        """
        from certpin.rotation import Violation
        from certpin.rotation.fleet import client_count
        from certpin.rotation.remedies import backup_fix
        from certpin.rotation.rules import not_served

        entry = situation.entry(pin)
        if entry is None or not entry.live:
            self.messages.append(
                f"{policy.pattern}: {pin} is COMPROMISED: the pin file refuses it already."
            )
            return
        served = not_served(situation, pin)
        lonely = Violation(
            "last-backup",
            f"{pin} is COMPROMISED, and the pin file can't refuse it before it has another backup",
            client_count(situation),
            fix=f"make another backup first: {backup_fix(situation)}",
        )
        self._refused(policy, [lonely] if served is None else [served, lonely])

    def _check(self, pattern: str, pin: Pin, step: GatedStep) -> list[Violation]:
        """Return why a step for a pin is unsafe after the removals so far; empty if it is safe.

        Args:
            pattern: the pattern of the host's policy.
            pin: the pin.
            step: ``retire`` or ``remove``.
        """
        from certpin.rotation import check_step
        from certpin.rotation.renewal import leaves_one_pin

        _, situation = self._situation(pattern)
        found = [*self._unanswered(pattern, pin, situation)]
        known = {violation.invariant for violation in found}
        more = check_step(situation, step, pin)
        if step == "remove":
            more = more or leaves_one_pin(situation, pin)
        return found + [violation for violation in more if violation.invariant not in known]

    def _refused(self, policy: HostPolicy, found: Sequence[Violation]) -> bool:
        """Return True if a step must not be taken: it is unsafe, and the user doesn't force it.

        ``found`` are the reasons why the step is unsafe. They are added to ``violations``, each
        with the host of ``policy``, also if the user forces the step.
        """
        known = set(self.violations)
        self.violations += [each for each in of_host(policy, found) if each not in known]
        return bool(found) and not self.force.force

    def _change(self, pattern: str, pin: Pin, step: Step) -> None:
        state, text = {
            "retire": ("retiring", "no server needs it"),
            "remove": ("removed", "clients drop it with the next version"),
        }[step]
        self.files.editor.change_pin(pattern, pin, state=state)
        self.events.append((pattern, step, pin))
        self.messages.append(f"{pattern}: {pin} is {state.upper()}: {text}.")

    def _unanswered(self, pattern: str, pin: Pin, situation: Situation) -> list[Violation]:
        """Return a violation if a server of the host did not answer; otherwise an empty list.

        ``pattern`` is the host pattern, ``pin`` the pin of the key, and ``situation`` has the facts
        about the host. Without an answer it is unknown if the server still uses the key. In that
        case the host is also added to ``skipped``.
        """
        from certpin.rotation import Violation
        from certpin.rotation.fleet import client_count

        if pattern not in self.results.unanswered:
            return []
        self.skipped.append(pattern)
        return [
            Violation(
                "unseen",
                f"a server of {pattern} did not answer: it is unknown whether it presents {pin}",
                client_count(situation),
                fix="repeat it when the server answers, or give its chain: --served FILE; for an "
                "address that this machine can't reach, repeat it on a machine with IPv4 and IPv6",
            )
        ]

    def _situation(self, pattern: str) -> tuple[HostPolicy, Situation]:
        """Return a host's policy after the removals so far, and the facts about the host.

        ``pattern`` is the pattern of the policy.
        """
        policy = next(each for each in self.files.pins.policies if str(each.pattern) == pattern)
        return policy, self.files.situation(policy, self.results.of(policy), self.now)


def _refuse_invalid(situation: Situation, pin: Pin) -> None:
    """Raise ``ConfigError`` if a removal, even a forced one, would make the pin file invalid.

    ``situation`` has the facts about the host, and ``pin`` is the pin to remove.
    """
    from certpin.errors import ConfigError
    from certpin.rotation.renewal import leaves_one_pin

    for violation in leaves_one_pin(situation, pin):
        raise ConfigError(violation.problem, key="pin", fix=violation.fix)
