"""The plan of a rotation: dated steps that replace the served key by another one.

    push the latest version, if it is pending
    make and stage the next backup, and stage the new key if it is not in the draft yet
    publish                         now
    activate the new key            not before every version alive accepts it
    serve it at every server
    retire each old key             when no server presents it
    remove it, and publish

The draft is the pin file that would be published next. A version is alive while some client may
hold it.

The steps are then rehearsed on a copy of the situation (the facts about the host). The rehearsal
applies the same safety rules (``certpin.rotation.gate``) as the commands that take the steps.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from certpin.errors import CertificateParseError
from certpin.pins import HostPin, Pin
from certpin.rotation.gate import check_now, check_step
from certpin.rotation.prospect import assumed_prospects, chain_with
from certpin.rotation.rules import dropped_pins, not_removed
from certpin.rotation.situation import Sighting, adoption
from certpin.rotation.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from certpin.pins import Role, State
    from certpin.rotation.situation import Situation

Act = Literal["generate", "stage", "publish", "push", "activate", "serve", "retire", "remove"]

# Replaces the pin of the next backup as long as its key does not exist.
NEXT_BACKUP = Pin.of_key(hashlib.sha256(b"stands in for the next backup").digest())

_UNUSED = "no server uses it any more"
_STATES: dict[Act, State] = {"activate": "active", "retire": "retiring", "remove": "removed"}


@dataclass(frozen=True)
class Step:
    """One step of a rotation plan.

    Attributes:
        act: the kind of step, such as ``stage``, ``publish`` or ``serve``.
        pin: the pin of the step's key; ``NEXT_BACKUP`` for a key that does not exist yet; ``None``
            for a publish or push.
        not_before: before this time the step locks clients out. ``None`` if the step may be taken
            now, or as soon as the previous step is done.
        counts_from: a version that the plan publishes: ``not_before`` counts from its publishing.
            If you publish it an hour late, ``not_before`` moves by an hour. ``None`` if
            ``not_before`` does not depend on a publishing.
        waits: the condition that has to be met before the step, as text; empty if there is none.
        version: the version that a publish makes, or that a push makes available.
    """

    act: Act
    pin: Pin | None = None
    not_before: datetime | None = None
    counts_from: int | None = None
    waits: str = ""
    version: int | None = None


@dataclass(frozen=True)
class Plan:
    """The dated steps that rotate to another key, in their order.

    Attributes:
        to: the pin of the new key.
        steps: the steps, up to the first one that the safety rules refuse.
        violations: the safety rules that the next step would break; empty if the steps lead to the
            new key.
        renew_by: when the first of the served certificates expires, if that is before servers may
            use the new key. Then the certificate has to be renewed with its current key. ``None``
            if the new key comes in time.
    """

    to: Pin
    steps: tuple[Step, ...]
    violations: tuple[Violation, ...] = ()
    renew_by: datetime | None = None

    @property
    def possible(self) -> bool:
        """True if the plan leads to the new key without locking clients out."""
        return not self.violations


def plan(situation: Situation, to: Pin) -> Plan:
    """Plan the steps that replace the currently served key by another one.

    Args:
        situation: the facts about the host.
        to: the pin of the new key.

    Returns:
        The plan. Not planned: how to get the certificate, and versions that other people publish
        meanwhile. After such a change, plan again: completed steps are left out.

    Raises:
        ConfigError: a pin set of the plan would be invalid.
    """
    if violations := (*check_now(situation), *_cannot_begin(situation, to)):
        return Plan(to, (), violations)
    made = rehearse(situation, to, _steps(situation, to))
    return replace(made, renew_by=_renew_by(situation, made.steps))


def rehearse(situation: Situation, to: Pin, steps: list[Step]) -> Plan:
    """Take each step of a plan at its earliest safe date, on a copy of the facts about the host.

    Args:
        situation: the facts about the host before the first step. Their evidence about the clock is
            ignored, because the steps are taken at future dates.
        to: the pin of the new key.
        steps: the steps in their order, without dates.

    Returns:
        The dated steps, up to the first one that the safety rules refuse or that would lock clients
        out.
    """
    situation = replace(situation, evidence=None)  # its steps are judged at their dates
    dated: list[Step] = []
    for planned in steps:
        step, situation = _dated(planned, situation, dated)
        if violations := _check(step, situation):
            return Plan(to, tuple(dated), violations)
        situation = _taken(step, situation)
        dated.append(step)
        if violations := check_now(situation):
            return Plan(to, tuple(dated[:-1]), violations)
    return Plan(to, tuple(dated))


def replaced_pins(situation: Situation, to: Pin) -> tuple[Pin, ...]:
    """Return the pins of the draft (the next version) that the new key ``to`` replaces.

    These are the pins that servers may use in the same role as ``to``, and all pins of lost keys.
    """
    role = situation.role_of(to)
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
    """Return a copy of the situation (the facts about a host) at a later time.

    An earlier ``moment`` changes nothing.
    """
    return replace(situation, now=max(situation.now, moment))


def with_staged(situation: Situation, pin: Pin, role: Role = "backup") -> Situation:
    """Return a copy of the situation in which the draft also has this pin, as STAGED.

    The situation is the facts about a host; the draft is the pin file that would be published next.
    """
    return _with_entries(situation, [*situation.policy.pins, HostPin(pin, role, "staged")])


def with_state(situation: Situation, pin: Pin, state: State) -> Situation:
    """Return a copy of the situation (the facts about a host) in which a pin has another state.

    The state changes in the draft (the next version) and in the journal's history.
    """
    entries = [
        replace(entry, state=state) if entry.pin == pin else entry
        for entry in situation.policy.pins
    ]
    past = replace(situation.past, states={**situation.past.states, pin: state})
    return replace(_with_entries(situation, entries), past=past)


def with_published(situation: Situation) -> Situation:
    """Return a copy of the situation (the facts about a host) in which the draft was published now.

    The draft is the pin file that would be published next. In the copy, the pin file has the next
    version number, and clients can fetch it at once.
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
    """Return a copy of the situation (the facts about a host) after a push of all versions.

    The push is the upload of signed pin sets. In the copy, clients can fetch the versions that
    waited for it.
    """
    versions = tuple(
        replace(version, fetched=situation.now, pending=False) if version.pending else version
        for version in situation.deployed.versions
    )
    return replace(situation, deployed=replace(situation.deployed, versions=versions))


def with_served(situation: Situation, pin: Pin) -> Situation:
    """Return a copy of the situation (the facts about a host) in which servers use a key.

    If no server was probed, one is made up, because the following steps need served chains.
    """
    before = situation.sightings or (Sighting("every server", None),)
    sightings = tuple(
        Sighting(each.vantage, chain_with(situation, pin, each.chain), server=each.server)
        for each in before
    )
    return replace(situation, sightings=sightings)


def _cannot_begin(situation: Situation, to: Pin) -> Iterator[Violation]:
    yield from check_step(situation, "stage", to)
    if (removed := not_removed(situation, to)) is not None:
        yield removed
    if not situation.alive:
        yield Violation(
            "adopted",
            "no published version is recorded, so it is unknown which pins clients accept",
            None,
            fix=f"record the published version: certpin rotate shipped {situation.pins.version}",
        )


def _steps(situation: Situation, to: Pin) -> list[Step]:
    """Return the undated steps of a plan that replace the served key by that of the pin ``to``."""
    old = replaced_pins(situation, to)
    steps = [Step("push")] if is_push_pending(situation) else []
    if not _has_spare(situation, to, old):
        steps += [Step("generate", NEXT_BACKUP), Step("stage", NEXT_BACKUP)]
    if situation.entry(to) is None:
        steps.append(Step("stage", to))
    # A pin that the draft drops already, such as a compromised one, must not go before its key is
    # unused. Then the only publish comes last, unless the new key has to be published first.
    published = _is_published(situation, to)
    late = published and bool(dropped_pins(situation))
    if not published or (any(step.act == "stage" for step in steps) and not late):
        steps.append(Step("publish"))
    entry = situation.entry(to)
    if entry is None or entry.state != "active":
        steps.append(Step("activate", to))
    if not is_served_everywhere(situation, to):
        steps.append(Step("serve", to))
    clearing = _clear_away(situation, old)
    return [*steps, *clearing, *([Step("publish")] if clearing or late else [])]


def _is_published(situation: Situation, to: Pin) -> bool:
    latest = situation.deployed.latest
    return latest is not None and situation.is_accepted_by(latest, to)


def _clear_away(situation: Situation, old: tuple[Pin, ...]) -> list[Step]:
    states = {entry.pin: entry.state for entry in situation.policy.pins}
    retire = [Step("retire", pin, waits=_UNUSED) for pin in old if states[pin] == "active"]
    remove = [Step("remove", pin, waits=_UNUSED) for pin in old]
    return [*retire, *remove]


def _has_spare(situation: Situation, to: Pin, old: tuple[Pin, ...]) -> bool:
    """Return True if the draft has a backup left after ``to`` is served and ``old`` are removed.

    The draft is the pin file that would be published next. Unlike the safety rule, this requires a
    backup in the modes that don't enforce pins, too.
    """
    past = situation.past
    if situation.policy.is_own_backup_without({*old, *past.lost, *past.compromised}):
        return True
    gone = {to, *old} | (situation.served - {to})
    return bool(situation.usable - gone)


def _renew_by(situation: Situation, steps: Iterable[Step]) -> datetime | None:
    """Return when the first served certificate expires, if it is before the last date of the plan.

    Otherwise return ``None``: servers get the new key in time, or no expiry is known.
    """
    usable = [step.not_before for step in steps if step.not_before is not None]
    ends = [end for each in situation.sightings if (end := _expiry_of(each)) is not None]
    first = min(ends, default=None)
    return first if first is not None and usable and first <= max(usable) else None


def _expiry_of(sighting: Sighting) -> datetime | None:
    """Return when the certificate of a server expires; ``None`` if that is unknown."""
    try:
        return sighting.chain.leaf.not_after if sighting.chain else None
    except CertificateParseError:
        return None


def _dated(step: Step, situation: Situation, before: list[Step]) -> tuple[Step, Situation]:
    """Return a step with its earliest safe date, and the facts about the host at that date.

    Args:
        step: the step, without a date.
        situation: the facts about the host after the previous steps.
        before: the previous steps of the plan, with dates.
    """
    if step.act == "publish":
        return replace(step, version=with_published(situation).pins.version), situation
    if step.act == "push" and situation.deployed.latest:
        return replace(step, version=situation.deployed.latest.number), situation
    if step.act not in {"activate", "serve"} or step.pin is None:
        return step, situation
    found = adoption(situation, step.pin)
    if found.adopted or found.moment is None:
        return step, situation
    available = (each.version for each in reversed(before) if each.act in {"publish", "push"})
    version = next(available, None)
    dated = replace(step, not_before=found.moment, counts_from=version)
    return dated, at_time(situation, found.moment)


def _check(step: Step, situation: Situation) -> tuple[Violation, ...]:
    match step.act:
        case "generate" | "push":
            return ()
        case "publish":
            version = with_published(situation).pins.version
            numbered = replace(situation, pins=replace(situation.pins, version=version))
            return check_step(numbered, "publish")
        case "activate" | "serve" as act if step.pin:
            return check_step(situation, act, step.pin, assumed_prospects(situation, step.pin))
        case act:
            return check_step(situation, act, step.pin)


def _taken(step: Step, situation: Situation) -> Situation:
    if step.act == "publish":
        return with_published(situation)
    if step.act == "push":
        return with_pushed(situation)
    if step.pin is None or step.act == "generate":
        return situation
    if step.act == "stage":
        return with_staged(situation, step.pin)
    if step.act == "serve":
        return with_served(situation, step.pin)
    return with_state(situation, step.pin, _STATES[step.act])


def _with_entries(situation: Situation, entries: Iterable[HostPin]) -> Situation:
    policy = replace(situation.policy, pins=tuple(entries))
    policies = tuple(
        policy if each.pattern == policy.pattern else each for each in situation.pins.policies
    )
    return replace(situation, pins=replace(situation.pins, policies=policies))
