"""The shortest safe path after a key was stolen or lost: the steps that replace the key.

The path is computed after the journal has recorded the theft or loss. It follows the same safety
rules as every step of a rotation (``certpin.rotation.gate``):

    a key that servers use      switch to another key, install its certificate, publish
    a backup                    publish without it
    no backup is left           also start a new one

A policy that enforces pins has at least two, so the other pin was published together with the
stolen one, and clients accept it already.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from certpin.errors import ConfigError
from certpin.rotation.deadlines import key_exposure
from certpin.rotation.gate import check_step
from certpin.rotation.plan import NEXT_BACKUP, at_time, with_published, with_staged
from certpin.rotation.prospect import assumed_prospects
from certpin.rotation.rules import has_backup_without

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.pins import Pin
    from certpin.rotation.deadlines import KeyExposure
    from certpin.rotation.situation import Situation
    from certpin.rotation.violation import Violation

Fact = Literal["stolen", "lost"]
EmergencyAct = Literal["start", "request", "switch", "install", "publish", "finish", "revoke"]


@dataclass(frozen=True)
class EmergencyStep:
    """One step of the path out of an emergency after a key was stolen or lost.

    Attributes:
        act: the command of the step, such as ``switch`` or ``publish``.
        pin: the pin of the step's key; ``NEXT_BACKUP`` for a new key that servers switch to, and
            ``None`` for a new backup or a ``publish``.
        not_before: the earliest time at which the step locks no client out; ``None`` if it may be
            taken at once.
        after_install: True if the step must wait until every server presents the new key.
        forced: True if the step locks clients out, and needs ``--force``.
    """

    act: EmergencyAct
    pin: Pin | None = None
    not_before: datetime | None = None
    after_install: bool = False
    forced: bool = False


@dataclass(frozen=True)
class EmergencyPath:
    """The consequences of a stolen or lost key at one host, and the steps to take.

    Attributes:
        host: the host pattern of the policy.
        pin: the pin of the stolen or lost key.
        fact: ``stolen`` or ``lost``.
        in_use: True if servers present the key, or may present it because not all of them answered.
        serving: the servers that presented the key.
        exposure: the clients that accept the stolen key, and until when if the steps are taken
            without delay; ``None`` for a lost key, which no attacker has.
        steps: the shortest path, in order.
        harm: the reason why even this path locks clients out, and their number; ``None`` if it
            locks no client out.
        spare_from: the time from which every client accepts the new backup, if the steps are taken
            without delay; ``None`` if no new backup is needed, or if the time is unknown.
    """

    host: str
    pin: Pin
    fact: Fact
    in_use: bool
    serving: tuple[str, ...]
    exposure: KeyExposure | None
    steps: tuple[EmergencyStep, ...]
    harm: Violation | None = None
    spare_from: datetime | None = None

    @property
    def is_safe(self) -> bool:
        """True if following this path locks no client out."""
        return self.harm is None

    @property
    def kind(self) -> tuple[object, ...]:
        """A value that is equal for two hosts with the same facts and steps.

        Commands show the path only once for such hosts.
        """
        stages = self.exposure.stages if self.exposure else ()
        problem = "" if self.harm is None else self.harm.problem
        return self.in_use, bool(self.serving), stages, self.steps, problem, self.spare_from

    @property
    def needs_backup(self) -> bool:
        """True if a step of the path makes a new backup key."""
        return any(step.act == "start" for step in self.steps)


def emergency_path(
    situation: Situation, pin: Pin, fact: Fact, *, all_answered: bool = True
) -> EmergencyPath:
    """Return the shortest path after a key was stolen or lost that locks no client out.

    If every path locks clients out, return the one that affects the fewest clients.

    Args:
        situation: the facts about a host, in which the journal has the key as stolen or lost.
        pin: the pin of that key.
        fact: ``stolen`` or ``lost``.
        all_answered: False if a server of the host was not contacted, or did not answer: then
            servers may present an active key although no probe saw it.
    """
    situation = replace(situation, evidence=None)  # a wrong clock must not hide the way out
    serving = situation.serving(pin)
    unseen = not situation.all_verified or not all_answered
    in_use = bool(serving) or (unseen and _may_be_served(situation, pin))
    choice = _next_key(situation, pin, fact) if in_use else None
    steps, out = _steps(situation, pin, fact, choice)
    exposure = key_exposure(situation, pin, published=out) if fact == "stolen" else None
    return EmergencyPath(
        str(situation.pattern),
        pin,
        fact,
        in_use,
        serving,
        exposure,
        tuple(steps),
        choice.harm if choice else _unrecorded(situation),
        _spare_from(situation, out) if any(step.act == "start" for step in steps) else None,
    )


def _may_be_served(situation: Situation, pin: Pin) -> bool:
    """Return True if a server that did not answer may present the key.

    The role of the key's pin decides: no server presents a backup, because a backup gets another
    role when servers may switch to it. A key without an entry in the pin file may be the leaf of a
    pinned authority, which has no pin, unless only leaves are compared.
    """
    entry = situation.entry(pin)
    if entry is None:
        return situation.policy.match != "leaf"
    return entry.role != "backup"


@dataclass(frozen=True)
class _Candidate:
    """A key that servers could switch to, to replace a stolen or lost key.

    ``not_before`` is the earliest safe time for the switch; ``None`` if it is safe at once or
    never. ``harm`` is the effect on clients if the switch is never safe. ``publish_first`` is True
    if a version with the key has to be published before the switch.
    """

    pin: Pin
    not_before: datetime | None = None
    harm: Violation | None = None
    publish_first: bool = False


def _next_key(situation: Situation, pin: Pin, fact: Fact) -> _Candidate:
    """Return the best key to switch to: the one safe earliest, else with the fewest lockouts.

    ``pin`` is the stolen or lost key, and ``fact`` is ``stolen`` or ``lost``.
    """
    choices = [
        choice
        for other in situation.policy.live_pins
        if other != pin and other in situation.usable
        for choice in [_choice(situation, other)]
    ]
    if fact == "lost":
        # Servers may run on with the lost key in their memory until a new key is adopted.
        choices += _after_publishing(situation)
    choices.append(_choice(situation, NEXT_BACKUP))
    # A key that exists comes before the new leaf of a pinned authority.
    choices.sort(key=lambda choice: situation.role_of(choice.pin) != "leaf")
    return min(choices, key=_order)


def _order(choice: _Candidate) -> tuple[object, ...]:
    """Return a sort key for keys to switch to: no lockout, then earliest date, then fewest clients.

    Of keys that are equal in all of these, one that needs no publication before the switch comes
    first.
    """
    harm = choice.harm
    clients = 0 if harm is None else harm.clients
    return (
        harm is not None,
        choice.not_before.timestamp() if choice.not_before else 0.0,
        clients is None,
        clients or 0,
        choice.publish_first,
    )


def _choice(situation: Situation, pin: Pin) -> _Candidate:
    """Return ``pin`` as a candidate with the earliest time at which servers may switch to it.

    The safety rules (the gate) determine the time. If no time is safe, the candidate has the first
    violation of these rules instead, as its ``harm``.
    """
    prospects = assumed_prospects(situation, pin)
    violations = check_step(situation, "activate", pin, prospects)
    if not violations:
        return _Candidate(pin)
    dates = [each.safe_from for each in violations if each.safe_from]
    if len(dates) < len(violations):
        return _Candidate(pin, harm=violations[0])
    # Pins may expire until then: ask again for that time.
    later = check_step(at_time(situation, max(dates)), "activate", pin, prospects)
    return _Candidate(pin, harm=violations[0]) if later else _Candidate(pin, max(dates))


def _after_publishing(situation: Situation) -> Iterator[_Candidate]:
    """Yield a new backup key as a candidate, if servers can switch to it once its pin is published.

    The candidate has the time from which the switch is safe. Nothing is yielded if no date is safe.
    """
    if NEXT_BACKUP in situation.policy.live_pins or not situation.alive:
        return
    try:
        published = with_published(with_staged(situation, NEXT_BACKUP))
    except ConfigError:
        return
    choice = _choice(published, NEXT_BACKUP)
    if choice.harm is None:
        yield replace(choice, publish_first=True)


def _steps(
    situation: Situation, pin: Pin, fact: Fact, choice: _Candidate | None
) -> tuple[list[EmergencyStep], datetime]:
    """Return the emergency steps, and the earliest time at which the next version can be published.

    ``choice`` is the key that servers switch to; ``None`` if no server uses the stolen or lost key.
    """
    to = choice.pin if choice else None
    gone = {pin} | ({to} if to else set()) | _in_service(situation)
    steps: list[EmergencyStep] = []
    if to == NEXT_BACKUP:
        steps.append(EmergencyStep("start", NEXT_BACKUP))
    out = situation.now
    if choice and to:
        if choice.publish_first:
            steps.append(EmergencyStep("publish"))
        if situation.role_of(to) == "leaf":
            steps.append(EmergencyStep("request", to))
        date, harm = choice.not_before, choice.harm
        steps.append(EmergencyStep("switch", to, date, forced=harm is not None))
        steps.append(EmergencyStep("install", to))
        out = max(out, date) if date else out
    if not has_backup_without(situation, gone):
        steps.append(EmergencyStep("start"))
    if fact == "lost" and situation.entry(pin) is not None:
        steps.append(EmergencyStep("finish", pin, after_install=choice is not None))
    steps.append(EmergencyStep("publish", after_install=choice is not None))
    if fact == "stolen":
        steps.append(EmergencyStep("revoke", pin))
    return steps, out


def _in_service(situation: Situation) -> frozenset[Pin]:
    """Return the pins of keys that servers present or may present.

    If a server's chain was not verified, these include the pins that the pin file marks as active
    or retiring.
    """
    if situation.all_verified:
        return situation.served
    entries = situation.policy.pins
    may_be = frozenset(entry.pin for entry in entries if entry.in_service)
    return situation.served | may_be


def _spare_from(situation: Situation, out: datetime) -> datetime | None:
    """Return the time from which every client accepts a backup that is published at ``out``.

    Return ``None`` if the time is unknown.
    """
    later = at_time(situation, out)
    try:
        published = with_published(with_staged(later, NEXT_BACKUP))
    except ConfigError:
        return None
    violations = check_step(
        published, "activate", NEXT_BACKUP, assumed_prospects(published, NEXT_BACKUP)
    )
    return max((each.safe_from for each in violations if each.safe_from), default=None)


def _unrecorded(situation: Situation) -> Violation | None:
    """Return a violation if the journal has no version that clients may hold, else ``None``.

    Without such a version, the safety rules (the gate) refuse every step, and every path is
    uncertain.
    """
    if situation.alive:
        return None
    (refusal, *_) = check_step(situation, "activate", NEXT_BACKUP)
    return refusal
