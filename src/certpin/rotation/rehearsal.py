"""A plan is tried before anybody is told of it: whatever it breaks, it breaks here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from certpin.pins import Pin
from certpin.rotation import drafts, guards
from certpin.rotation.adoption import adoption
from certpin.rotation.invariants import of_the_field
from certpin.rotation.step import Act, Plan, Step

if TYPE_CHECKING:
    from certpin.pins import State
    from certpin.rotation.breach import Breach
    from certpin.rotation.situation import Situation

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
        return replace(step, version=drafts.published(situation).pins.version), situation
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
    return dated, drafts.later(situation, found.moment)


def _guard(step: Step, situation: Situation) -> tuple[Breach, ...]:
    match step.act, step.pin:
        case "stage", Pin() as pin:
            return guards.to_stage(situation, pin)
        case "publish", _:
            return guards.to_publish(_numbered(situation))
        case "activate" | "serve", Pin() as pin:
            return guards.to_activate(situation, pin)
        case "retire", Pin() as pin:
            return guards.to_retire(situation, pin)
        case "remove", Pin() as pin:
            return guards.to_remove(situation, pin)
    return ()


def _taken(step: Step, situation: Situation) -> Situation:
    if step.act == "publish":
        return drafts.published(situation)
    if step.act == "push":
        return drafts.pushed(situation)
    if step.pin is None or step.act == "generate":
        return situation
    if step.act == "stage":
        return drafts.staged(situation, step.pin)
    if step.act == "serve":
        return drafts.serving(situation, step.pin)
    return drafts.moved(situation, step.pin, _STATES[step.act])


def _numbered(situation: Situation) -> Situation:
    """The draft under the version that publishing gives it."""
    version = drafts.published(situation).pins.version
    return replace(situation, pins=replace(situation.pins, version=version))
