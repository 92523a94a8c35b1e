"""A situation after a step: what a plan is rehearsed on.

Each function returns another situation, and checks nothing but what a pin set itself refuses
(``ConfigError``): whether a step is safe is for the guards.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from certpin.pins import HostPin
from certpin.rotation.situation import Sighting, Situation
from certpin.x509 import Certificate, Chain

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from certpin.pins import Pin, Role, State


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
