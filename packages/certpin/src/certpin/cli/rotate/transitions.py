"""A step that changes the state of one pin, for ``certpin rotate switch``."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.candidates import complete_files
from certpin.cli.named_key import (
    dropped_policies,
    policies_for_step,
    policies_of_name,
    resolve_key,
)
from certpin.cli.options import json_option, pin_file_option
from certpin.cli.rotate.context import (
    ForceOptions,
    HostViolation,
    RotationFiles,
    StepOutcome,
    UsageOptions,
    force_options,
    name_of,
    of_host,
    who_option,
)
from certpin.cli.rotate.observing import probe_for_step
from certpin.cli.servers import ProbeOptions, ProbeResults, probe_options

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from certpin.cli.named_key import KeyReference
    from certpin.pins import HostPolicy, Pin, State
    from certpin.rotation import Event, Prospect, Situation
    from certpin.rotation.gate import GatedStep
    from certpin.rotation.journal import StepName


_key_argument = click.argument(
    "key", metavar="KEY | CSR | CERT | PIN | URI", shell_complete=complete_files
)


@dataclass
class Transition:
    """A change of one pin's state, in the policy of every host that has the pin.

    It is checked for all of these hosts, and then written for all of them.

    Attributes:
        results: the served chains of these hosts.
        policies: the policies that the step is for.
    """

    step: StepName
    path: Path
    key: str
    probes: ProbeOptions
    force: ForceOptions
    who: str | None
    usage: UsageOptions = field(default_factory=UsageOptions)
    files: RotationFiles = field(init=False)
    named: KeyReference = field(init=False)
    pin: Pin = field(init=False)
    now: datetime = field(init=False)
    results: ProbeResults = field(init=False)
    policies: list[HostPolicy] = field(init=False)

    def __post_init__(self) -> None:
        self.files = RotationFiles(self.path)
        self.files.require_version()
        self.named = resolve_key(self.key)
        self.pin = self.named.pin
        pins = self.files.pins
        self.policies = policies_for_step(pins, self.probes, self.named)
        self.results, self.now = probe_for_step(
            self.files, self.probes, pins, self.policies, self.who
        )
        self.usage.apply(self.files, self.files.timing, self.now)

    @property
    def names(self) -> list[str]:
        """The host patterns of the policies that the step is for."""
        return [str(policy.pattern) for policy in self.policies]

    def situations(self) -> list[tuple[HostPolicy, Situation]]:
        """Return each policy of the step, with the facts from which its rotation is judged."""
        return [
            (policy, self.files.situation(policy, self.results.of(policy), self.now))
            for policy in self.policies
        ]

    def require(self, following: State, *, already: State | None = None) -> None:
        """Check that the pin may change to the state ``following`` at each host.

        A host at which the pin is in the state ``already`` is not checked.

        Raises:
            ConfigError: the transition is illegal.
        """
        from certpin.rotation.journal import pin_state, require_transition

        for _, situation in self.situations():
            state = pin_state(situation, self.pin)
            if state != already:
                require_transition(self.pin, state, following)

    @cached_property
    def prospects(self) -> tuple[Prospect, ...]:
        """The chain that servers will present, if the user named its file; empty otherwise."""
        from certpin.rotation import Prospect
        from certpin.x509.chain import public_roots

        certificates = self.named.certificates
        if not certificates:
            return ()
        leaf, *above = certificates
        roots = public_roots()
        by_leaf = Prospect(leaf, tuple(above), sent=True, roots=roots)
        by_authority = Prospect(None, certificates, sent=True, roots=roots)
        if not leaf.is_authority:
            return (by_leaf,)
        if not self.named.names:
            return (by_authority,)
        anchors = [policy.trust.der if policy.trust else () for policy in self.policies]
        is_own_anchor = all(leaf.der in each for each in anchors)  # a self-signed server
        return (by_leaf,) if is_own_anchor else (by_leaf, by_authority)

    def violations(self, step: GatedStep, *, needs_probe: bool = True) -> list[HostViolation]:
        """Return the rotation invariants that the step would violate, with the host of each.

        Args:
            step: the step for the gate.
            needs_probe: the rules of the step depend on the served chains.

        Raises:
            ProbeError: a server did not answer.
        """
        from certpin.rotation import check_step

        if needs_probe:
            self.force.require_answers(self.results)
        prospects = self.prospects if step == "activate" else ()
        found = [
            each
            for policy, situation in self.situations()
            for each in of_host(policy, check_step(situation, step, self.pin, prospects))
        ]
        return found + (self._of_dropped_hosts(prospects) if step == "activate" else [])

    def _of_dropped_hosts(self, prospects: tuple[Prospect, ...]) -> list[HostViolation]:
        """Return the violations at hosts of the certificate that only older versions have."""
        from certpin.rotation.clock import without_ends
        from certpin.rotation.gate import refused_by_version, relies_on_ends

        (_, situation), *_ = self.situations()
        names = self.named.names
        covered = {
            policy: None for name in names for policy in policies_of_name(name, self.files.pins)
        }
        situations = [self.files.situation(policy, (), self.now) for policy in covered]
        found = []
        for name in names:
            now, if_held = (
                refused_by_version(
                    each, dropped_policies(name, situations, each.alive), name, prospects
                )
                for each in (situation, without_ends(situation))
            )
            broken = [] if now is None else [now]
            held = [] if if_held is None else [if_held]
            broken += relies_on_ends(situation, broken, held)
            found += [HostViolation(name, violation) for violation in broken]
        return found

    def change(self, **values: str) -> None:
        """Change the state of the pin in the draft, in each policy that has the pin."""
        for policy in self.policies:
            if self.pin in {entry.pin for entry in policy.pins}:
                self.files.editor.change_pin(str(policy.pattern), self.pin, **values)

    def commit(self, violations: list[HostViolation]) -> list[Event]:
        """Write the draft to the pin file, and the events to the journal. Return the events."""
        from certpin.rotation import Event

        reason, who = self.force.recorded_reason(violations, self.results), name_of(self.who)
        events = [
            Event(self.now, who, self.step, name, self.pin, reason=reason) for name in self.names
        ]
        self.files.commit(events)
        return events

    def next_command(self, command: str, *, whole_file: bool = False) -> str:
        """Return a command to suggest after this one, with the options for the same servers."""
        pins = self.files.pins
        policies = pins.policies if whole_file else self.policies
        return self.probes.next_command(command, self.path, pins, policies)

    def outcome(
        self, violations: list[HostViolation], *messages: str, next_command: str = ""
    ) -> StepOutcome:
        """Return the outcome of this step, with its violations or messages."""
        return StepOutcome(
            self.step,
            self.path,
            self.names,
            self.pin,
            forced=self.force.force,
            violations=violations,
            unknown=self.results.unknown,
            messages=list(messages),
            next_command=next_command,
        )


def transition_command(command: Any, also: Any = None) -> Any:
    """Make a click command of a function that takes a ``Transition`` and returns its outcome.

    Args:
        command: the function. Its name is the command's.
        also: adds options that only this command has.
    """

    @wraps(command)
    def run(ctx: click.Context, path: Path, key: str, as_json: bool, **options: Any) -> None:
        name = command.__name__
        step: StepName = "activate" if name == "switch" else name
        outcome: StepOutcome = command(Transition(step, path, key, **options))
        outcome.step = name
        outcome.show(ctx, as_json=as_json)

    wrapped: Any = click.pass_context(run)
    wrapped = also(wrapped) if also else wrapped
    for option in (json_option, who_option, force_options, probe_options, pin_file_option):
        wrapped = option(wrapped)
    return click.command()(_key_argument(wrapped))
