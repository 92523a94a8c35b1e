"""``certpin rotate switch``: the gate before servers use a key or a chain."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from certpin.cli.rotate.context import StepOutcome, usage_options
from certpin.cli.rotate.outcome import HostConclusion
from certpin.cli.rotate.transitions import Transition, transition_command

if TYPE_CHECKING:
    from certpin.pins import Role, State


@partial(transition_command, also=usage_options)
def switch(transition: Transition) -> StepOutcome:
    """Check a chain before servers use it. Run it before you install a certificate.

    Refused until every version that a client may hold accepts the chain. In a deployment, and in
    the hook of an ACME client, run it before the step that installs the certificate, and name the
    file of the chain, such as fullchain.pem: then the whole chain is verified, for every host of
    the pin file that the certificate is for. Given a certificate, a CSR, a key or a pin, it prints
    the conclusions that these allow; a step that depends on an open one is refused. If servers may
    use the key already, nothing is written, so every renewal can run it.

    \b
    certpin rotate switch /etc/ssl/new/fullchain.pem           in a deployment
    certpin rotate switch next.key                             before you ask for the certificate

    Exit code 0: done, or nothing to do. 1: refused, nothing was changed. 2: wrong usage, or an
    invalid file. 3: a server did not answer.
    """  # noqa: D301  # click reads the \b itself
    from certpin.rotation.journal import pin_state, require_transition

    _require_certifiable(transition)
    violations = transition.violations("activate", needs_probe=False)
    allowed: set[State] = {"staged", "published", "adopted", "active", "retiring"}
    if not (violations and transition.force.force):
        # The refusal names the clients. A chain that they accept may have a key without an entry.
        allowed.add("generated")
    for _, situation in transition.situations():
        if (state := pin_state(situation, transition.pin)) not in allowed:
            require_transition(transition.pin, state, "active")
    changes = _changes(transition)
    outcome = transition.outcome(violations, *_messages(transition, changes))
    outcome.conclusions = _conclusions(transition)
    if changes:
        outcome.next_command = transition.next_command("certpin rotate finish")
    if not transition.force.refuses(violations):
        for name, role in changes:
            transition.files.editor.change_pin(name, transition.pin, state="active", role=role)
        if changes or violations:
            outcome.events = transition.commit(violations)
        outcome.done = True
    return outcome


def _require_certifiable(transition: Transition) -> None:
    """Refuse a key without a certificate that no public authority certifies for its hosts.

    Raises:
        ConfigError: none would.
    """
    from certpin.cli.keys import require_certifiable

    named = transition.named
    for policy in () if named.certificates else transition.policies:
        pin = named.pin if named.pin in {each.pin for each in policy.pins} else None
        require_certifiable(named.key_type, policy.pattern, policy.trust, policy.match, pin)


def _conclusions(transition: Transition) -> list[HostConclusion]:
    """Return the conclusion for each version from the given chain, certificate or key."""
    from certpin.rotation.prospect import conclusions, prospects_of_key

    return [
        HostConclusion(str(policy.pattern), version.number, conclusion)
        for policy, situation in transition.situations()
        for version, conclusion in conclusions(
            situation, transition.prospects or prospects_of_key(situation, transition.pin)
        )
    ]


def _messages(transition: Transition, changes: list[tuple[str, Role]]) -> list[str]:
    """Return the result, and what stays open because only a key is known."""
    lines = [_result(transition, changes)]
    if not transition.prospects:
        lines.append(
            "Only the key is known. Open: which authorities certify it, and whether their "
            "signatures are valid. The file of the chain answers that."
        )
    return lines


def _result(transition: Transition, changes: list[tuple[str, Role]]) -> str:
    pin = transition.pin
    if changes:
        return f"{pin} is ACTIVE: every client accepts it. Install its certificate on every server."
    states = [{entry.pin: entry.state for entry in policy.pins} for policy in transition.policies]
    if all(of_policy.get(pin) == "active" for of_policy in states):
        return f"{pin} is ACTIVE already: every client accepts it. Nothing to do."
    return f"Every client accepts the authorities above {pin}, so it needs no pin."


def _changes(transition: Transition) -> list[tuple[str, Role]]:
    """Return the host pattern and the pin's role for each policy that ``switch`` changes.

    If only authorities are compared, the pin of a leaf has no effect, and is not changed.
    """
    found = []
    is_leaf = any(prospect.leaf for prospect in transition.prospects)
    for policy, situation in transition.situations():
        if is_leaf and policy.match == "ca":
            continue
        entry, role = situation.entry(transition.pin), situation.role_of(transition.pin)
        if transition.prospects and not is_leaf:
            role = "root" if transition.named.certificates[0].self_issued else "intermediate"
        if entry and (entry.state, entry.role) != ("active", role):
            found.append((str(policy.pattern), role))
    return found
