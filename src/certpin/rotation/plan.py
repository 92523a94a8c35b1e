"""The dated steps to another key."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from certpin.pins import HostPin, Pin
from certpin.rotation import gate
from certpin.rotation.adoption import Sighting, Situation, adoption
from certpin.rotation.gate import Breach, everyone, of_the_field
from certpin.x509 import Certificate, Chain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from certpin.pins import Role, State
    from certpin.rotation.adoption import Situation


Act = Literal["generate", "stage", "publish", "push", "activate", "serve", "retire", "remove"]

# The key of the next backup does not exist yet: in a rehearsal this stands for it.
NEXT_BACKUP = Pin.of_key(hashlib.sha256(b"the next backup, which nobody has made yet").digest())


@dataclass(frozen=True)
class Step:
    """Something to do. ``pin`` is ``NEXT_BACKUP`` for a key that is still to be made.

    ``not_before`` is the date before which it locks somebody out, ``None``: do it now, or as soon
    as the step before is done. ``counts_from`` is the version of this plan whose publishing that
    date counts from: who publishes an hour later adds an hour. ``waits`` is what has to be seen
    first, or empty. ``version`` is what a publish makes, or a push hands out.
    """

    act: Act
    pin: Pin | None = None
    not_before: datetime | None = None
    counts_from: int | None = None
    waits: str = ""
    version: int | None = None


@dataclass(frozen=True)
class Plan:
    """Steps in their order; ``breaches`` say why it cannot go on after them, or at all."""

    to: Pin
    steps: tuple[Step, ...]
    breaches: tuple[Breach, ...] = ()

    @property
    def possible(self) -> bool:
        """Whether the last step leads to the new key."""
        return not self.breaches


def later(situation: Situation, moment: datetime) -> Situation:
    """The same at a later moment; an earlier one changes nothing."""
    return replace(situation, now=max(situation.now, moment))


def staged(situation: Situation, pin: Pin, role: Role = "backup") -> Situation:
    """A pin is in the draft."""
    return _with(situation, [*situation.policy.pins, HostPin(pin, role, "staged")])


def moved(situation: Situation, pin: Pin, state: State) -> Situation:
    """A pin of the draft has another state, as the journal will say too."""
    entries = [
        replace(each, state=state) if each.pin == pin else each for each in situation.policy.pins
    ]
    past = replace(situation.past, states={**situation.past.states, pin: state})
    return replace(_with(situation, entries), past=past)


def published(situation: Situation) -> Situation:
    """The draft is out, under the next version, to be fetched."""
    latest = situation.field.latest
    number = max(situation.pins.version, latest.number + 1 if latest else 1)
    entries = [
        replace(each, state="published") if each.state in {"generated", "staged"} else each
        for each in situation.policy.pins
    ]
    draft = replace(_with(situation, entries).pins, version=number)
    field = situation.field.with_version(draft, situation.now)
    states = {each.pin: each.state for each in entries}
    past = replace(situation.past, states={**situation.past.states, **states})
    return replace(situation, pins=draft, field=field, past=past)


def pushed(situation: Situation) -> Situation:
    """The versions that wait to be pushed can be fetched."""
    versions = tuple(
        replace(each, fetched=situation.now, waiting=False) if each.waiting else each
        for each in situation.field.versions
    )
    return replace(situation, field=replace(situation.field, versions=versions))


def serving(situation: Situation, pin: Pin) -> Situation:
    """Every vantage serves one key, and nobody knows under which authority.

    Where no vantage was looked at, one is made up: the steps behind this one look.
    """
    stand_in = Certificate(der=pin.digest, spki=pin.digest)
    # The digests are what is compared: this certificate has those of the pin, and nothing else.
    vars(stand_in).update(spki_sha256=pin.digest, sha256=pin.digest)
    chain = Chain((stand_in, stand_in))  # as a leaf, and above one: the key may be an authority's
    vantages = [each.vantage for each in situation.sightings] or ["every server"]
    seen = tuple(Sighting(vantage, chain) for vantage in vantages)
    return replace(situation, sightings=seen)


def _with(situation: Situation, entries: Iterable[HostPin]) -> Situation:
    policy = replace(situation.policy, pins=tuple(entries))
    policies = tuple(
        policy if each.pattern == policy.pattern else each for each in situation.pins.policies
    )
    return replace(situation, pins=replace(situation.pins, policies=policies))


_STATES: dict[Act, State] = {"activate": "active", "retire": "retiring", "remove": "removed"}


def rehearse(situation: Situation, to: Pin, steps: list[Step]) -> Plan:
    """Take each step in a copy of the situation, at its date; end where a guard refuses one."""
    dated: list[Step] = []
    for each in steps:
        step, situation = _dated(each, situation, dated)
        if broken := _guard(step, situation):
            return Plan(to, tuple(dated), broken)
        situation = _taken(step, situation)
        dated.append(step)
        if broken := of_the_field(situation):
            return Plan(to, tuple(dated[:-1]), broken)
    return Plan(to, tuple(dated))


def _dated(step: Step, situation: Situation, before: list[Step]) -> tuple[Step, Situation]:
    """The step with its date, and the situation at that date."""
    if step.act == "publish":
        return replace(step, version=published(situation).pins.version), situation
    if step.act == "push" and situation.field.latest:
        return replace(step, version=situation.field.latest.number), situation
    if step.act not in {"activate", "serve"} or step.pin is None:
        return step, situation
    found = adoption(situation, step.pin)
    if found.adopted or found.moment is None:
        return step, situation
    out = (each.version for each in reversed(before) if each.act in {"publish", "push"})
    version = next(out, None)
    dated = replace(step, not_before=found.moment, counts_from=version)
    return dated, later(situation, found.moment)


def _guard(step: Step, situation: Situation) -> tuple[Breach, ...]:
    match step.act, step.pin:
        case "stage", Pin() as pin:
            return gate.to_stage(situation, pin)
        case "publish", _:
            return gate.to_publish(_numbered(situation))
        case "activate" | "serve", Pin() as pin:
            return gate.to_activate(situation, pin)
        case "retire", Pin() as pin:
            return gate.to_retire(situation, pin)
        case "remove", Pin() as pin:
            return gate.to_remove(situation, pin)
    return ()


def _taken(step: Step, situation: Situation) -> Situation:
    if step.act == "publish":
        return published(situation)
    if step.act == "push":
        return pushed(situation)
    if step.pin is None or step.act == "generate":
        return situation
    if step.act == "stage":
        return staged(situation, step.pin)
    if step.act == "serve":
        return serving(situation, step.pin)
    return moved(situation, step.pin, _STATES[step.act])


def _numbered(situation: Situation) -> Situation:
    """The draft under the version that publishing gives it."""
    version = published(situation).pins.version
    return replace(situation, pins=replace(situation.pins, version=version))


_UNUSED = "no server uses it any more"


def plan(situation: Situation, to: Pin) -> Plan:
    """The steps that lead to a key, from what is now. Raises ``ConfigError`` as a pin set does.

    Not planned: what a certificate authority needs, and a change of the version by somebody else
    meanwhile: plan again then, the steps that are done drop out.
    """
    if broken := (*of_the_field(situation), *_cannot_begin(situation, to)):
        return Plan(to, (), broken)
    return rehearse(situation, to, _steps(situation, to))


def replaced(situation: Situation, to: Pin) -> tuple[Pin, ...]:
    """The keys that another one takes the place of: those of its role that servers may use."""
    role = role_of(situation, to)
    using = {"active", "retiring"}
    return tuple(
        each.pin
        for each in situation.policy.pins
        if each.pin != to and each.role == role and each.state in using
    )


def role_of(situation: Situation, pin: Pin) -> Role:
    """The place that a key will have. A backup stands in for the leaf, or for the authority."""
    entry = situation.entry(pin)
    if entry is not None and entry.role != "backup":
        return entry.role
    return "intermediate" if situation.policy.match == "ca" else "leaf"


def _cannot_begin(situation: Situation, to: Pin) -> Iterator[Breach]:
    yield from gate.to_stage(situation, to)
    entry = situation.entry(to)
    if entry is not None and entry.state == "removed":
        yield Breach(
            "compromised",
            f"{to} was removed, and what was removed does not come back",
            everyone(situation),
            fix="make a new key: certpin rotate generate",
        )
    if not situation.field.alive(situation.now, situation.timing):
        yield Breach(
            "adopted",
            "no version is recorded as being in the field, so nobody knows what clients accept",
            None,
            fix="record what is out: certpin rotate publish",
        )


def _steps(situation: Situation, to: Pin) -> list[Step]:
    """What is to be done, without dates."""
    old = replaced(situation, to)
    steps = [Step("push")] if waiting(situation) else []
    if not _spare(situation, to, old):
        steps += [Step("generate", NEXT_BACKUP), Step("stage", NEXT_BACKUP)]
    if situation.entry(to) is None:
        steps.append(Step("stage", to))
    # What leaves the draft already, a compromised key say, must not go out before it is unused:
    # then the one publishing comes last, unless the new key itself has to be published first.
    out = _is_out(situation, to)
    late = out and bool(gate.leaving(situation))
    if not out or (any(each.act == "stage" for each in steps) and not late):
        steps.append(Step("publish"))
    entry = situation.entry(to)
    if entry is None or entry.state != "active":
        steps.append(Step("activate", to))
    if not served_everywhere(situation, to):
        steps.append(Step("serve", to))
    clearing = _clear_away(situation, old)
    return [*steps, *clearing, *([Step("publish")] if clearing or late else [])]


def waiting(situation: Situation) -> bool:
    """Whether the latest version is signed, and nobody has pushed it yet."""
    latest = situation.field.latest
    return latest is not None and latest.waiting


def _is_out(situation: Situation, to: Pin) -> bool:
    latest = situation.field.latest
    return latest is not None and latest.accepts(situation.pattern, to)


def _clear_away(situation: Situation, old: tuple[Pin, ...]) -> list[Step]:
    states = {each.pin: each.state for each in situation.policy.pins}
    retire = [Step("retire", pin, waits=_UNUSED) for pin in old if states[pin] == "active"]
    remove = [Step("remove", pin, waits=_UNUSED) for pin in old]
    return [*retire, *remove]


def _spare(situation: Situation, to: Pin, old: tuple[Pin, ...]) -> bool:
    """Whether a backup is left when the new key is served and the old ones are gone."""
    gone = {to, *old} | (situation.served - {to})
    return bool(set(situation.policy.live_pins) - gone)


def served_everywhere(situation: Situation, pin: Pin) -> bool:
    """Whether every vantage serves a key; nobody knows where there is none."""
    return bool(situation.sightings) and all(pin in each.pins for each in situation.sightings)
