"""The steps of a rotation plan, and copies of a situation after each step.

``certpin.rotation.planner`` makes the plan. A situation is the facts about a host. The draft is the
pin file that would be published next.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from certpin.pins import HostPin, Pin
from certpin.rotation.prospect import (
    chain_of_prospect,
    chain_with,
    sent_certificates,
    with_private_anchors,
)
from certpin.rotation.situation import Sighting
from certpin.x509 import Chain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from certpin.pins import Role, State
    from certpin.rotation.prospect import Prospect
    from certpin.rotation.situation import Situation
    from certpin.rotation.violation import Violation

Act = Literal["generate", "stage", "publish", "push", "activate", "serve", "retire", "remove"]

# Replaces the pin of the next backup as long as its key does not exist.
NEXT_BACKUP = Pin.of_key(hashlib.sha256(b"stands in for the next backup").digest())


@dataclass(frozen=True)
class Step:
    """One step of a rotation plan.

    Attributes:
        act: the kind of step, such as ``stage``, ``publish`` or ``serve``.
        pin: the pin of the step's key; ``NEXT_BACKUP`` for a key that does not exist yet; ``None``
            for a publish or push.
        not_before: the first time at which the step locks no client out. ``None`` if the step is
            safe now, or as soon as the previous step is done.
        counts_from: the number of a version of the plan. If that version is published an hour late,
            ``not_before`` is an hour later, too. ``None`` if ``not_before`` does not depend on when
            the plan's versions are published.
        waits: the condition that has to be met before the step, as text; empty if there is none.
        version: the version that a publish makes, or that a push makes available.
        needs_chain: True if the user has to give the file of the chain, because the safety rules
            can't decide by the key only: whether clients accept the chain depends on its
            authorities.
    """

    act: Act
    pin: Pin | None = None
    not_before: datetime | None = None
    counts_from: int | None = None
    waits: str = ""
    version: int | None = None
    needs_chain: bool = False


@dataclass(frozen=True)
class Plan:
    """The dated steps that rotate to another key, in their order.

    Attributes:
        to: the pin of the new key.
        steps: the steps, up to the first one that the safety rules refuse.
        violations: the safety rules that the next step would break; empty if the steps lead to the
            new key.
        broken: the safety rules that are broken before the first step. The plan continues
            nevertheless, because its steps may repair this.
        renew_by: the first expiry of a certificate that servers present now, if that is before the
            date from which servers may use the new key. The certificate then has to be renewed with
            its current key. ``None`` if no certificate expires so early.
        reissue_by: the first expiry of a certificate in the new chain, if the chain expires before
            servers may use it. Another certificate then has to be issued for the new key. ``None``
            if the chain is still valid on the date from which servers may use it, or if only the
            key is known.
        ending_authority: the name of the authority with the certificate that expires at
            ``reissue_by``; empty if it is the certificate of the new key.
    """

    to: Pin
    steps: tuple[Step, ...]
    violations: tuple[Violation, ...] = ()
    renew_by: datetime | None = None
    reissue_by: datetime | None = None
    ending_authority: str = ""
    broken: tuple[Violation, ...] = ()

    def until_publish(self, violations: Sequence[Violation]) -> Plan:
        """Return the plan with only the steps before its first publish, if that is not allowed.

        The plan is for one host, but a publish affects all hosts of the pin file, and can break
        safety rules at another host.

        Args:
            violations: the rules that the first publish would break at other hosts; they become the
                ``violations`` of the result. If there are none, or if the plan has no publish, the
                whole plan is returned.
        """
        acts = [step.act for step in self.steps]
        if not violations or "publish" not in acts:
            return self
        return replace(
            self, steps=self.steps[: acts.index("publish")], violations=tuple(violations)
        )

    @property
    def possible(self) -> bool:
        """True if the plan leads to the new key without locking clients out."""
        return not self.violations


def replaced_pins(situation: Situation, to: Pin, role: Role | None = None) -> tuple[Pin, ...]:
    """Return the pins of the draft (the pin file) that the new key ``to`` replaces.

    These are the pins that servers may use in the same role as ``to``, and all pins of lost keys.

    Args:
        situation: the facts about the host.
        to: the pin of the new key.
        role: the role of the new key; ``None`` for the one that it has by the draft.
    """
    role = role or situation.role_of(to)
    return tuple(
        entry.pin
        for entry in situation.policy.pins
        if entry.pin != to and (entry.state == "lost" or (entry.role == role and entry.in_service))
    )


def is_push_pending(situation: Situation) -> bool:
    """Return True if the latest version is a signed pin set that clients can't fetch yet.

    Its push, the upload that makes it available, is missing.
    """
    latest = situation.deployed.latest
    return latest is not None and latest.pending


def is_served_everywhere(situation: Situation, pin: Pin) -> bool:
    """Return True if every probed server presents the pin's key; False if none was probed."""
    return bool(situation.sightings) and all(pin in each.pins for each in situation.sightings)


# Copies of a situation after a step. They check only that the pin set is valid (``ConfigError``);
# whether the step is safe is decided by the gate.


def at_time(situation: Situation, moment: datetime) -> Situation:
    """Return a copy of ``situation`` (the facts about a host) at a later time, ``moment``.

    An earlier ``moment`` changes nothing.
    """
    return replace(situation, now=max(situation.now, moment))


def with_staged(situation: Situation, pin: Pin) -> Situation:
    """Return a copy of ``situation`` (the facts about a host) in which a pin was staged.

    In the copy, the pin file has the pin ``pin``, as a STAGED backup.
    """
    return _with_entries(situation, [*situation.policy.pins, HostPin(pin, "backup", "staged")])


def with_state(situation: Situation, pin: Pin, state: State) -> Situation:
    """Return a copy of ``situation`` (the facts about a host) in which a pin has a different state.

    The new state is ``state``. It changes in the draft (the pin file) and in the journal's history.
    """
    entries = [
        replace(entry, state=state) if entry.pin == pin else entry
        for entry in situation.policy.pins
    ]
    past = replace(situation.past, states={**situation.past.states, pin: state})
    return replace(_with_entries(situation, entries), past=past)


def with_published(situation: Situation) -> Situation:
    """Return a copy of ``situation`` (the facts about a host) in which the draft was published now.

    The draft is the pin file. In the copy, it has the next version number, and its STAGED pins are
    PUBLISHED. Clients can fetch this version at once.
    """
    number = situation.deployed.next_number(situation.pins)
    entries = [
        replace(entry, state="published") if entry.state in {"generated", "staged"} else entry
        for entry in situation.policy.pins
    ]
    draft = replace(_with_entries(situation, entries).pins, version=number)
    deployed = situation.deployed.with_version(draft, situation.now)
    states = {entry.pin: entry.state for entry in entries}
    past = replace(situation.past, states={**situation.past.states, **states})
    return replace(situation, pins=draft, deployed=deployed, past=past)


def with_pushed(situation: Situation) -> Situation:
    """Return a copy of ``situation`` (the facts about a host) after a push of all versions.

    The push is the upload of signed pin sets. In the copy, clients can fetch the versions that
    waited for it.
    """
    versions = tuple(
        replace(version, fetched=situation.now, pending=False) if version.pending else version
        for version in situation.deployed.versions
    )
    return replace(situation, deployed=replace(situation.deployed, versions=versions))


def with_served(
    situation: Situation,
    pin: Pin,
    prospects: Sequence[Prospect] = (),
    time: datetime | None = None,
) -> Situation:
    """Return a copy of the facts about a host in which servers use a key.

    If no server was probed, the copy has one made-up server, because later steps of a plan need a
    served chain.

    Args:
        situation: the facts about the host.
        pin: the pin of the key.
        prospects: the chains that the servers may present with the key. The first one is used; if
            there is none, the chain consists of placeholders.
        time: a time at which the chain is valid; ``None`` for that of the situation.
    """
    before = situation.sightings or (Sighting("every server", None),)
    chain, served = None, None
    if prospects:
        first, *_ = with_private_anchors(situation, prospects)
        chain = chain_of_prospect(first, situation.policy, situation.now)
        served = Chain(tuple(sent_certificates(first))) if first.leaf else None
    sightings = tuple(
        Sighting(
            each.vantage,
            chain or chain_with(situation, pin, each.chain),
            served,
            server=each.server,
            host=each.host,
            time=time,
        )
        for each in before
    )
    return replace(situation, sightings=sightings)


def _with_entries(situation: Situation, entries: Iterable[HostPin]) -> Situation:
    policy = replace(situation.policy, pins=tuple(entries))
    policies = tuple(
        policy if each.pattern == policy.pattern else each for each in situation.pins.policies
    )
    return replace(situation, pins=replace(situation.pins, policies=policies))
