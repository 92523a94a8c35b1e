"""The key to which servers switch after a theft or loss.

Each key that clients accept, or could accept after another publish, is a candidate. The safety
rules of each step (``certpin.rotation.gate``) say when servers may switch to it. If no key is safe
because clients trust only a stolen root, they get another root first
(``certpin.rotation.new_root``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.pins import pins_of
from certpin.rotation.fleet import clients_at_risk
from certpin.rotation.gate import check_step, clock_violations, unconfirmed
from certpin.rotation.new_root import open_draft, published_draft, root_change
from certpin.rotation.plan import NEXT_BACKUP, at_time, is_served_everywhere, with_staged
from certpin.rotation.prospect import assumed_prospects, stolen_authorities
from certpin.rotation.remedies import CHAIN_FILE
from certpin.rotation.rules import version_list
from certpin.rotation.trust import (
    common_anchors,
    has_common_trust,
    versions_below,
    with_common_trust,
)
from certpin.rotation.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from certpin.pins import Pin, PinSet
    from certpin.rotation.new_root import RootChange
    from certpin.rotation.prospect import Prospect
    from certpin.rotation.situation import Situation


@dataclass(frozen=True)
class KeyCandidate:
    """A key that servers could switch to, to replace a stolen or lost key.

    Attributes:
        pin: the pin of the key.
        not_before: the earliest safe time for the switch; ``None`` if it is safe at once, or never.
        harm: the violation with the effect on clients if the switch is never safe; else ``None``.
        publish_first: True if a version with the key has to be published before the switch.
        root: the steps by which clients first get another root; ``None`` if they need none.
        unconfirmed: the violation if no server confirms the time, and the switch is safe only
            because a version has ended; else ``None``.
    """

    pin: Pin
    not_before: datetime | None = None
    harm: Violation | None = None
    publish_first: bool = False
    root: RootChange | None = None
    unconfirmed: Violation | None = None


def next_key(situation: Situation, pin: Pin, stolen: AbstractSet[Pin]) -> KeyCandidate:
    """Return the best key to switch to after a key was stolen or lost (see ``rank``).

    Args:
        situation: the facts about the host.
        pin: the pin of the stolen or lost key.
        stolen: the pins of stolen keys that servers use. Without any, servers may keep their
            current key (a lost key can still be in their memory) until clients accept a new key.

    Raises:
        ConfigError: clients have to get another root first, and the draft (the pin file that would
            be published next) would let an attacker in meanwhile. Its problem names the fix.
    """
    keys = _keys_besides(situation, pin)
    choices = [candidate_of(situation, other) for other in keys]
    if not stolen:
        for other in (*keys, NEXT_BACKUP):
            choices += _after_publishing(situation, other)
    choices.append(candidate_of(situation, NEXT_BACKUP))
    best = _best(situation, choices)
    harm = _without_common_trust(situation)
    if harm is None and best.harm is not None:
        return best
    if harm is None:
        harm = _without_anchor(situation)
    instead = _below_another_root(situation, keys, stolen)
    return instead or (best if harm is None else replace(best, harm=harm))


def _keys_besides(situation: Situation, pin: Pin) -> list[Pin]:
    """Return the pins of the pin file with keys that servers can use instead of that of ``pin``."""
    below = below_gone(situation)
    return [
        other
        for other in situation.policy.live_pins
        if other != pin and other in situation.usable and other not in below
    ]


def lock_outs_at_once(situation: Situation, pin: Pin) -> tuple[tuple[Pin, Violation | None], ...]:
    """Return, for each key of the pin file but one, the lock-out if servers switch to it at once.

    Args:
        situation: the facts about the host.
        pin: the pin of the stolen key, which is left out.

    Returns:
        The pin of each key, with the first violation of the safety rules; ``None`` if a switch at
        once locks no client out.
    """
    keys = _keys_besides(situation, pin)
    return tuple((other, next(iter(_switch_violations(situation, other)), None)) for other in keys)


def _best(situation: Situation, choices: Sequence[KeyCandidate]) -> KeyCandidate:
    """Return the best of several keys that servers could switch to (see ``rank``).

    Of keys with an equal rank, the one that needs least work is returned: a key that exists comes
    before the new leaf of a pinned authority. The pins of certificates come after those of keys,
    because a certificate may have the stolen key. ``choices`` are the keys.
    """
    by_work = sorted(
        choices,
        key=lambda choice: (
            situation.role_of(choice.pin) != "leaf",
            not is_served_everywhere(situation, choice.pin),
            choice.pin == NEXT_BACKUP or choice.pin.kind == "cert-sha256",
        ),
    )
    return min(by_work, key=rank)


def _below_another_root(
    situation: Situation, keys: Sequence[Pin], stolen: AbstractSet[Pin]
) -> KeyCandidate | None:
    """Return the best key to switch to when clients have a different root than a stolen one.

    ``None`` if no client trusts only a stolen root, if there is no time for that (``root_change``),
    or if none of the keys locks no client out then.

    Args:
        situation: the facts about the host.
        keys: the pins of the keys that servers can use.
        stolen: the pins of stolen keys that servers use.

    Raises:
        ConfigError: the draft would let an attacker in (``open_draft``).
    """
    change = root_change(situation, stolen)
    if change is None:
        return None
    if (problem := open_draft(situation, change)) is not None:
        raise ConfigError(problem.problem, key="mode", fix=problem.fix)
    if not keys or _without_common_trust(change.then) is not None:
        return None
    best = _best(change.then, [candidate_of(change.then, key) for key in keys])
    if best.harm is not None:
        return None
    date = best.not_before or change.date
    return replace(best, not_before=date, publish_first=change.publish, root=change)


def below_gone(situation: Situation) -> frozenset[Pin]:
    """Return the pins of authorities that servers present only below a stolen or lost key.

    Clients refuse each path through these authorities if the key above them is marked compromised.
    If it is lost, the certificates of these authorities can't be renewed. Pins of leaves are not in
    the result: another authority can issue a certificate for a leaf's key.
    """
    gone = situation.compromised | situation.lost
    paths = [
        [pins_of(each) for each in sighting.chain.authorities]
        for sighting in situation.sightings
        if sighting.chain
    ]
    below: set[Pin] = set()
    clean: set[Pin] = set()
    for path in paths:
        last = max((at for at, pins in enumerate(path) if not gone.isdisjoint(pins)), default=0)
        below.update(*path[:last])
        clean.update(*path[last:])
    return frozenset(below - clean - gone)


def rank(choice: KeyCandidate) -> tuple[object, ...]:
    """Return a sort key for the keys that servers can switch to; the best key has the lowest one.

    The order is: keys that lock no client out, then by earliest safe date, then by the number of
    clients that are locked out. If these are equal, a key that needs no publication before the
    switch comes first. ``choice`` is one of the keys.
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


def candidate_of(situation: Situation, pin: Pin) -> KeyCandidate:
    """Return ``pin`` as a candidate with the earliest time at which servers may switch to it.

    The safety rules (the gate) determine the time: ``not_before``, which is ``None`` if the switch
    is safe now. If no time is safe, the candidate has the first violation of these rules instead,
    as its ``harm``.
    """
    situation, prospects = _with_new_chain(situation, pin)
    violations = check_step(situation, "activate", pin, prospects)
    if not violations:
        return KeyCandidate(pin)
    dates = [each.safe_from for each in violations if each.safe_from]
    if len(dates) < len(violations):
        return KeyCandidate(pin, harm=violations[0])
    # Pins may expire until then: ask again for that time.
    later = check_step(at_time(situation, max(dates)), "activate", pin, prospects)
    return KeyCandidate(pin, harm=violations[0]) if later else KeyCandidate(pin, max(dates))


def unconfirmed_switch(situation: Situation, choice: KeyCandidate) -> Violation | None:
    """Return the violation if the gate will refuse a switch until a server confirms the time.

    Return ``None`` too if a switch to the key is unsafe at any time, or if a clock is known to be
    wrong, which stops every step.

    Args:
        situation: the facts about the host, with the evidence about the time.
        choice: the key that servers switch to.
    """
    if choice.harm is not None or clock_violations(situation):
        return None  # the step is forced; or a clock is wrong, which stops each step
    if choice.not_before is not None:
        return unconfirmed(situation)  # a version ends by that date
    found = _switch_violations(situation, choice.pin)
    return next((each for each in found if each.invariant == "clock"), None)


def _switch_violations(situation: Situation, pin: Pin) -> tuple[Violation, ...]:
    """Return the safety rules that a switch to a key would violate now."""
    switched, prospects = _with_new_chain(situation, pin)
    return check_step(switched, "activate", pin, prospects)


def _with_new_chain(situation: Situation, pin: Pin) -> tuple[Situation, tuple[Prospect, ...]]:
    """Return a copy of ``situation`` for a switch to a key, and the chains of servers after it.

    ``pin`` is the pin of the key, and its certificate does not exist yet. Its chain is assumed to
    have no stolen key, and to be one that all clients trust, if that is possible
    (``with_common_trust``).
    """
    situation = with_common_trust(_with_clean_chain(situation), pin)
    return situation, assumed_prospects(situation, pin)


def _after_publishing(situation: Situation, pin: Pin) -> Iterator[KeyCandidate]:
    """Yield a key as a candidate if it becomes safe to use after the next version is published.

    The next version is the draft (the pin file) with the pin of the key added. The candidate has
    the time from which servers may switch to the key. Yield nothing if no time is safe, or if the
    latest version has the pin already.
    """
    latest = situation.deployed.latest
    is_new = pin not in situation.policy.live_pins
    if not situation.alive or latest is None or situation.is_accepted_by(latest, pin):
        return
    try:
        staged = with_staged(situation, pin) if is_new else situation
    except ConfigError:
        return
    published = published_draft(staged)
    if published is None:
        return
    choice = candidate_of(published, pin)
    if choice.harm is None:
        yield replace(choice, publish_first=True)


def needs_new_chain(situation: Situation) -> bool:
    """Return True if clients may refuse a new certificate because of the authorities above its key.

    The result is True if the policy has the pin of a stolen key that can be an authority's (any
    role but ``leaf``): clients refuse every path with such a key.
    """
    return bool(stolen_authorities(situation.policy, situation.compromised))


def _with_clean_chain(situation: Situation) -> Situation:
    """Return a copy of ``situation`` (the facts about a host) for a chain without a stolen key.

    In the copy, the versions mark no key as compromised, so that no check fails because of a stolen
    key. This is safe, because the path out of the emergency requires a chain without a stolen key,
    and the safety rules (the gate) verify the chain when it exists.
    """
    versions = tuple(
        replace(version, pins=_without_compromised(version.pins))
        for version in situation.deployed.versions
    )
    deployed = replace(situation.deployed, versions=versions)
    return replace(situation, deployed=deployed)


def _without_compromised(pins: PinSet) -> PinSet:
    if not pins.compromised:
        return pins  # as usual: this is called for each host, and a copy has all of them
    policies = tuple(
        replace(
            policy,
            pins=tuple(
                replace(entry, state="removed")
                if entry.state == "compromised" and entry.role != "leaf"
                else entry
                for entry in policy.pins
            ),
        )
        for policy in pins.policies
    )
    return replace(pins, policies=policies)


def _without_anchor(situation: Situation) -> Violation | None:
    """Return a violation if the clients with some version trust only roots with stolen keys.

    No path helps these clients: they refuse a certificate of any other authority, and the next
    version refuses the certificates of the stolen roots.
    """
    stranded = versions_below(situation, situation.compromised)
    if not stranded:
        return None
    return Violation(
        "adopted",
        f"the clients with {version_list(stranded)} trust only a stolen root",
        clients_at_risk(situation, stranded),
        fix="put another root into the trust file of the pin file",
    )


def _without_common_trust(situation: Situation) -> Violation | None:
    """Return a violation if clients with different versions can't verify the same chain.

    The versions are the draft (the pin file) and those that some client may hold. The violation is
    returned if these versions have no trust anchor in common, and servers present no chain that all
    of these clients verify. Some clients then refuse every new certificate: now with the version
    that they hold, or later with the next version.
    """
    alive = situation.alive
    if has_common_trust(situation):
        return None
    held = situation.held_policies
    apart = [
        version
        for version in alive
        if not common_anchors(situation, [situation.policy, *situation.policies_of(version)])
    ]
    names = " or ".join(common_anchors(situation, held))
    if not any(policy and policy.trust for policy in held):
        names = "a root of the platform"
    put_back = f"put {names}, which clients trust, into the file of `trust`, and run this again"
    cross = (
        "use a chain that all of them verify, such as one with a cross-signed root: certpin "
        f"rotate switch {CHAIN_FILE} checks it"
    )
    return Violation(
        "adopted",
        f"the pin file and {version_list(alive)} trust no valid anchor in common",
        clients_at_risk(situation, apart or alive),
        fix=put_back if names else cross,
    )
