"""The dated steps from the key that is served to another one.

    push the version that waits for it, if one does
    make and stage the next backup, and the new key where it is not in the draft yet
    publish                         now
    activate the new key            not before every version alive accepts it
    serve it at every vantage
    retire each old key             once no vantage serves it
    remove it, and publish

The steps are then rehearsed, behind the same guards that the commands have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.rotation import guards
from certpin.rotation.breach import Breach
from certpin.rotation.invariants import everyone, of_the_field
from certpin.rotation.rehearsal import rehearse
from certpin.rotation.step import NEXT_BACKUP, Plan, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.pins import Pin, Role
    from certpin.rotation.situation import Situation

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
    yield from guards.to_stage(situation, to)
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
    late = out and bool(guards.leaving(situation))
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
