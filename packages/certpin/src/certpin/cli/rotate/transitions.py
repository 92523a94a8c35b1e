"""``certpin rotate activate``, ``retire``, ``remove``, ``compromise``: a pin changes its state."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import click

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
    usage_options,
    who_option,
)
from certpin.cli.servers import ProbeOptions, ProbeResults, probe_options

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from certpin.pins import HostPolicy, Pin, Role, State
    from certpin.rotation import Situation
    from certpin.rotation.gate import GatedStep
    from certpin.rotation.journal import StepName


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
    pin: Pin = field(init=False)
    now: datetime = field(init=False)
    results: ProbeResults = field(init=False)
    policies: list[HostPolicy] = field(init=False)

    def __post_init__(self) -> None:
        from certpin.cli.keyref import policies_for_step, resolve_key
        from certpin.pins import utc_now

        self.files = RotationFiles(self.path)
        self.files.require_version()
        key = resolve_key(self.key)
        self.pin = key.pin
        pins = self.files.pins
        self.policies = policies_for_step(pins, self.probes, key)
        self.results = self.probes.probe(pins, self.policies)
        self.now = utc_now()
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
        return [
            found
            for policy, situation in self.situations()
            for found in of_host(policy, check_step(situation, step, self.pin))
        ]

    def change(self, **values: str) -> None:
        """Change the state of the pin in the draft, in each policy that has the pin."""
        for policy in self.policies:
            if self.pin in {entry.pin for entry in policy.pins}:
                self.files.editor.change_pin(str(policy.pattern), self.pin, **values)

    def commit(self, violations: list[HostViolation]) -> None:
        """Write the draft to the pin file, and the events to the journal."""
        from certpin.rotation import Event

        reason, who = self.force.recorded_reason(violations, self.results), name_of(self.who)
        self.files.commit(
            [Event(self.now, who, self.step, name, self.pin, reason=reason) for name in self.names]
        )

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
        command: the function. Its name is the step.
        also: adds options that only this command has.
    """

    @wraps(command)
    def run(ctx: click.Context, path: Path, key: str, as_json: bool, **options: Any) -> None:
        outcome: StepOutcome = command(Transition(command.__name__, path, key, **options))
        outcome.show(ctx, as_json=as_json)

    wrapped: Any = click.pass_context(run)
    wrapped = also(wrapped) if also else wrapped
    for option in (json_option, who_option, force_options, probe_options, pin_file_option):
        wrapped = option(wrapped)
    return click.command()(click.argument("key", metavar="KEY | CSR | CERT | PIN | URI")(wrapped))


@partial(transition_command, also=usage_options)
def activate(transition: Transition) -> StepOutcome:
    """Allow the servers to use a key. Run it before you install its certificate.

    Refused until the key is ADOPTED: until every version that a client may hold accepts it. In a
    deployment, run it before the step that installs the certificate, and name the certificate:
    then it checks every host of the pin file that the certificate is for. If the key is ACTIVE
    already, as at each renewal that keeps it, nothing is written.
    """
    from certpin.rotation.journal import pin_state, require_transition

    violations = transition.violations("activate", needs_probe=False)
    allowed: set[State] = {"staged", "published", "adopted", "active", "retiring"}
    if violations and not transition.force.force:  # the refusal of a new key names the clients
        allowed.add("generated")
    for _, situation in transition.situations():
        if (state := pin_state(situation, transition.pin)) not in allowed:
            require_transition(transition.pin, state, "active")
    changes = _activations(transition)
    word = "is ACTIVE" if changes else "is ACTIVE already"
    outcome = transition.outcome(
        violations,
        f"{transition.pin} {word}: every client accepts it. Install its certificate on every "
        "server.",
    )
    if changes:
        outcome.next_command = (
            f"{transition.next_command('certpin rotate status')}, then "
            f"{transition.next_command('certpin rotate retire OLD_KEY')}"
        )
    if not transition.force.refuses(violations):
        for name, role in changes:
            transition.files.editor.change_pin(name, transition.pin, state="active", role=role)
        if changes or violations:
            transition.commit(violations)
        outcome.done = True
    return outcome


def _activations(transition: Transition) -> list[tuple[str, Role]]:
    """Return the host pattern and the pin's role for each policy that ``activate`` changes."""
    found = []
    for policy, situation in transition.situations():
        entry, role = situation.entry(transition.pin), situation.role_of(transition.pin)
        if entry and (entry.state, entry.role) != ("active", role):
            found.append((str(policy.pattern), role))
    return found


@transition_command
def retire(transition: Transition) -> StepOutcome:
    """Record that no server uses a key any more. Clients accept it until it is removed.

    Refused while one of the servers still presents it.
    """
    transition.require("retiring", already="retiring")
    violations = transition.violations("retire")
    outcome = transition.outcome(
        violations,
        f"{transition.pin} is RETIRING: clients still accept it, and no server uses it.",
        next_command=transition.next_command(f"certpin rotate remove {transition.pin}"),
    )
    if not transition.force.refuses(violations):
        transition.change(state="retiring")
        transition.commit(violations)
        outcome.done = True
    return outcome


@transition_command
def remove(transition: Transition) -> StepOutcome:
    """Take a pin out of the draft. Clients drop it when the file is published.

    It stays in the file as REMOVED, so that it is not added again by mistake; a pin that was only
    STAGED is deleted. Refused for a key that is ACTIVE or served, and for the last backup.
    """
    from certpin.rotation.journal import pin_state

    states = {pin_state(situation, transition.pin) for _, situation in transition.situations()}
    if states == {"staged"}:
        return _unstage(transition)
    if states != {"active"}:  # the gate explains that refusal better, and it can be forced
        transition.require("removed")
    violations = transition.violations("remove")
    outcome = transition.outcome(
        violations,
        f"{transition.pin} is REMOVED from the draft.",
        next_command=transition.next_command("certpin rotate publish", whole_file=True),
    )
    if not transition.force.refuses(violations):
        transition.change(state="removed")
        transition.commit(violations)
        outcome.done = True
    return outcome


@transition_command
def compromise(transition: Transition) -> StepOutcome:
    """Record that an attacker may have a key. It is never used again.

    The draft stops accepting it; clients do when they have the next version. If servers still use
    it, let them use the backup first (activate), then publish: publishing is refused until they
    do, because it would lock every client out.
    """
    transition.require("compromised")
    _refuse_without_backup(transition)
    serving = [
        server
        for _, situation in transition.situations()
        for server in situation.serving(transition.pin)
    ]
    outcome = transition.outcome(
        [],
        f"{transition.pin} is COMPROMISED. Clients accept it until they have the next version.",
        *(
            f"It is still served by {server}: activate the backup, and install it."
            for server in serving
        ),
        next_command=transition.next_command("certpin rotate activate BACKUP")
        if serving
        else transition.next_command("certpin rotate publish", whole_file=True),
    )
    transition.change(state="compromised")
    transition.commit([])
    outcome.done = True
    return outcome


def _unstage(transition: Transition) -> StepOutcome:
    for name in transition.names:
        transition.files.editor.remove_pin(name, transition.pin)
    transition.step = "unstage"
    transition.commit([])
    outcome = transition.outcome(
        [], f"{transition.pin} is out of the draft; it was never published."
    )
    outcome.done = True
    return outcome


def _refuse_without_backup(transition: Transition) -> None:
    """Refuse to leave an enforcing policy with fewer than two pins."""
    from certpin.errors import ConfigError

    pin = transition.pin
    for policy in transition.policies:
        if policy.mode == "enforce" and len(set(policy.live_pins) - {pin}) < 2:
            raise ConfigError(
                f"without {pin}, {policy.pattern} has only one pin",
                key="pin",
                fix="put another backup into the draft first: certpin rotate generate, "
                "then certpin rotate stage",
            )
