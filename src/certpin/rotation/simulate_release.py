"""What is out and what is served: versions as clients hold them, and servers as clients see them.

Here are those of the beginning of a simulation. Moments are whole seconds since then; parts of a
second are dropped. Of two versions of one number the first counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from certpin.rotation.field import policy_in
from certpin.rotation.simulate_fleet import SECOND

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.pins import Pin, PinSet
    from certpin.rotation.field import Version
    from certpin.rotation.situation import Situation

    Chains = tuple[frozenset[Pin], ...]


@dataclass(frozen=True)
class Release:
    """A version as clients hold it.

    ``at`` is when it could first be fetched. ``pins`` are those that accept, ``None`` if nothing
    is refused. A chain with a key of ``compromised`` is refused. From ``end`` on it refuses all.
    ``by`` is when all have it at the latest: the one before was measured to have ended.
    ``step`` is its number, if it is a step.
    """

    number: int
    at: int
    pins: frozenset[Pin] | None
    end: int | None = None
    by: int | None = None
    step: int | None = None
    compromised: frozenset[Pin] = frozenset()

    def refuses(self, chains: Chains, at: int) -> bool:
        """Whether one of the servers is refused by its clients at a moment."""
        if self.pins is None:
            return False
        ended = self.end is not None and at >= self.end
        return ended or any(
            not self.pins & chain or bool(self.compromised & chain) for chain in chains
        )


@dataclass(frozen=True)
class Serving:
    """The pins of what each server serves, from a moment on; none where nobody knows."""

    at: int
    chains: Chains
    step: int | None = None


def assumed(situation: Situation) -> Chains:
    """What is served now: as it was seen, else a server for each leaf that is ACTIVE in the draft.

    Where none is, one server has all that is ACTIVE.
    """
    if situation.sightings:
        return tuple(each.pins for each in situation.sightings)
    active = [each for each in situation.policy.pins if each.state == "active"]
    leaves = {each.pin for each in active if each.role == "leaf"}
    above = {each.pin for each in active if each.role not in {"leaf", "backup"}}
    if leaves:
        return tuple(frozenset({leaf, *above}) for leaf in sorted(leaves, key=str))
    chain = above or {each.pin for each in active}
    return (frozenset(chain),) if chain else ()


def of_the_field(situation: Situation) -> list[Release]:
    """The versions that are fetched, from the last one on that everybody has got."""
    out = sorted(
        (each for each in situation.field.versions if each.fetched and not each.waiting),
        key=lambda each: each.number,
    )
    # Nobody fetches: then those without a binary of their own hold the newest one.
    out = out or sorted(alive(situation), key=lambda each: each.number)[-1:]
    releases: list[Release] = []
    ended: int | None = None
    for version in out:
        found = replace(release_of(version, situation), by=ended)
        if not releases or found.number > releases[-1].number:
            # Clients never go back: who comes later with a higher number is what counts.
            releases = [each for each in releases if each.at <= found.at]
            releases.append(found)
            ended = _seconds(version.ended, situation)
    adopt = situation.timing.adopt // SECOND
    known = [at for at, each in enumerate(releases) if each.at + adopt <= 0]
    return releases[known[-1] :] if known else releases


def in_binaries(situation: Situation) -> tuple[Release, ...]:
    """The versions in binaries; of two that have one number the first."""
    found: dict[int, Release] = {}
    for each in alive(situation):
        if each.bundled:
            found.setdefault(each.number, release_of(each, situation))
    return tuple(found.values())


def alive(situation: Situation) -> tuple[Version, ...]:
    """The versions that some client may hold when the simulation begins."""
    return situation.field.alive(situation.now, situation.timing)


def release_of(version: Version, situation: Situation) -> Release:
    """A version as the clients of the situation's host hold it."""
    policy = policy_in(version.pins, situation.pattern)
    refusing = policy is not None and policy.mode == "enforce"
    pins = frozenset(policy.live_pins) if policy and refusing else None
    at = _seconds(version.fetched, situation) or 0
    end = end_of(version.pins, situation)
    compromised = policy.compromised if policy else frozenset()
    return Release(version.number, at, pins, end, compromised=compromised)


def end_of(pins: PinSet, situation: Situation) -> int | None:
    """When the pins for the host begin to refuse all."""
    policy = policy_in(pins, situation.pattern)
    if policy is None or policy.on_expiry != "fail-closed":
        return None
    return _seconds(policy.expires, situation)


def _seconds(moment: datetime | None, situation: Situation) -> int | None:
    return (moment - situation.now) // SECOND if moment else None
