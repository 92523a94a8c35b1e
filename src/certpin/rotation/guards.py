"""What must never be done: each rule a function, and for each step the rules that guard it.

A guard looks at the situation before the step and returns what the step would break. Nothing is
broken: the tuple is empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.rotation.adoption import adoption
from certpin.rotation.breach import Breach
from certpin.rotation.field import policy_in
from certpin.rotation.invariants import (
    backup,
    draft,
    everyone,
    expiry,
    named,
    served_chain,
    version_rises,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.pins import Pin
    from certpin.rotation.adoption import Adoption
    from certpin.rotation.field import Version
    from certpin.rotation.situation import Situation


def to_stage(situation: Situation, pin: Pin) -> tuple[Breach, ...]:
    """Before a pin is put into the draft."""
    return _found(not_compromised(situation, pin))


def to_publish(situation: Situation) -> tuple[Breach, ...]:
    """Before the draft goes out: what holds for it as a version, and for what leaves with it."""
    new = draft(situation)
    live = tuple(situation.policy.live_pins)
    return _found(
        version_rises(situation),
        *(not_compromised(situation, pin) for pin in live),
        *(seen_by_more_than_one(situation, pin) for pin in live),
        backup(situation),
        served_chain(situation, [new]),
        expiry(situation, [new]),
        *(not_active(situation, pin) for pin in leaving(situation)),
        *(seen(situation, pin) for pin in leaving(situation)),
    )


def to_activate(situation: Situation, pin: Pin) -> tuple[Breach, ...]:
    """Before a server uses a key."""
    return _found(not_compromised(situation, pin), is_adopted(situation, pin))


def to_retire(situation: Situation, pin: Pin) -> tuple[Breach, ...]:
    """Before a key counts as one that no server needs."""
    return _found(seen(situation, pin), not_served(situation, pin))


def to_remove(situation: Situation, pin: Pin) -> tuple[Breach, ...]:
    """Before a pin leaves the draft."""
    return _found(
        not_active(situation, pin),
        seen(situation, pin),
        not_served(situation, pin),
        not_the_last_outside(situation, pin),
    )


def is_adopted(situation: Situation, pin: Pin) -> Breach | None:
    """A key is not served before every version alive accepts it."""
    found = adoption(situation, pin)
    if found.adopted:
        return None
    return Breach(
        "adopted",
        f"{pin} is not adopted: {_why_not(situation, found)}",
        found.clients,
        safe_from=found.moment,
        fix=_how_to_adopt(situation, found),
    )


def not_active(situation: Situation, pin: Pin) -> Breach | None:
    """A key that servers may use is not removed. One that was compromised has to be."""
    entry = situation.entry(pin)
    if entry is not None and entry.state == "compromised":
        return None
    state = entry.state if entry and entry.live else situation.past.states.get(pin)
    if state != "active":
        return None
    return Breach(
        "active-pin",
        f"{pin} is ACTIVE: servers may use its key",
        everyone(situation),
        fix="let it retire first: certpin rotate retire",
    )


def not_served(situation: Situation, pin: Pin) -> Breach | None:
    """A key that some vantage serves neither retires nor is removed."""
    vantages = situation.serving(pin)
    if not vantages:
        return None
    return Breach(
        "still-served",
        f"{pin} is served by {', '.join(vantages)}: a client without it would be locked out there",
        everyone(situation),
        fix="let every server use another key first: certpin rotate activate",
    )


def not_the_last_outside(situation: Situation, pin: Pin) -> Breach | None:
    """The last live pin that isn't served is not removed: it is the only way on."""
    policy = situation.policy
    outside = set(policy.live_pins) - situation.served
    if policy.mode != "enforce" or outside - {pin} or pin not in policy.live_pins:
        return None
    return Breach(
        "last-backup",
        f"{pin} is the last pin outside the chain that is served",
        everyone(situation),
        fix="make another first: certpin rotate generate, stage and publish",
    )


def seen(situation: Situation, pin: Pin) -> Breach | None:
    """Whether a key is still served has to be known before its pin goes."""
    if situation.sightings:
        return None
    return Breach(
        "unseen",
        f"nobody has looked whether {pin} is still served",
        everyone(situation),
        fix="ask without --offline, or give what is served: --served FILE",
    )


def not_compromised(situation: Situation, pin: Pin) -> Breach | None:
    """A key that somebody else has had never comes back."""
    if pin not in situation.past.compromised:
        return None
    return Breach(
        "compromised",
        f"{pin} is COMPROMISED: whoever has its key could read along",
        everyone(situation),
        fix="make a new key: certpin rotate generate",
    )


def seen_by_more_than_one(situation: Situation, pin: Pin) -> Breach | None:
    """A pin that one unauthenticated vantage alone has shown is not published.

    Authenticated is a path that verified, a key or file that its owner gave, or a version that
    is out. A pin that nobody serves was written down by its owner.
    """
    showing = [each.vantage for each in situation.sightings if pin in each.unverified]
    out = any(pin in _live(situation, each) for each in situation.field.versions)
    if len(showing) != 1 or out or pin in situation.served | situation.past.known:
        return None
    return Breach(
        "vantage",
        f"{pin} was seen at {showing[0]} alone, in a chain that did not verify: "
        "it may be an attacker's",
        everyone(situation),
        fix="compare it with the server's own file: certpin rotate stage FILE",
    )


def leaving(situation: Situation) -> tuple[Pin, ...]:
    """The pins that the latest version accepts and the draft does not."""
    latest = situation.field.latest
    before = policy_in(latest.pins, situation.pattern) if latest else None
    live = situation.policy.live_pins
    return tuple(pin for pin in (before.live_pins if before else ()) if pin not in live)


def _live(situation: Situation, version: Version) -> frozenset[Pin]:
    policy = policy_in(version.pins, situation.pattern)
    return frozenset(policy.live_pins) if policy else frozenset()


def _why_not(situation: Situation, found: Adoption) -> str:
    if found.refusing:
        names = named(found.refusing)
        said = f"{names} does not accept it" if "versions" not in names else f"{names} do not"
        return said + _told_late(situation, found)
    if not situation.field.versions:
        return "no version is recorded as being in the field"
    return "no version is alive"


def _told_late(situation: Situation, found: Adoption) -> str:
    """That clients were slower than promised, where some told so."""
    field, timing = situation.field, situation.timing
    late = [each for each in found.refusing if each.told and field.outlives(each, timing)]
    if not late:
        return ""
    last = max(each.told for each in late if each.told)
    return f", and clients told as late as {last:%Y-%m-%d} that they hold {named(late)}"


def _how_to_adopt(situation: Situation, found: Adoption) -> str:
    latest = situation.field.latest
    if latest is None or not latest.accepts(situation.pattern, found.pin):
        return "publish it, and wait: certpin rotate stage, then certpin rotate publish"
    if latest.waiting:
        return f"push version {latest.number}, and wait: certpin publish push"
    if found.moment is None:
        return (
            "a binary holds that version: say when no client runs it any more, "
            "with certpin rotate ended"
        )
    return "wait"


def _found(*breaches: Breach | None) -> tuple[Breach, ...]:
    unique: Iterator[Breach] = (breach for breach in breaches if breach is not None)
    return tuple(dict.fromkeys(unique))
