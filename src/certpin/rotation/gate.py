"""The gate: what a step of a rotation would break."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NoReturn

from certpin.pins import verify
from certpin.rotation.adoption import Version, adoption, count, policy_in
from certpin.rotation.timing import format_duration, in_utc

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from certpin.pins import HostPolicy, Pin
    from certpin.rotation.adoption import Adoption, Sighting, Situation


Invariant = Literal[
    "served-chain",
    "backup",
    "version",
    "expiry",
    "adopted",
    "active-pin",
    "last-backup",
    "still-served",
    "unseen",
    "compromised",
    "vantage",
]


@dataclass(frozen=True)
class Breach:
    """An invariant that would not hold.

    ``problem`` is a sentence without its full stop. ``clients`` is how many would be locked out, or
    left without protection; ``None`` where that is not known. ``safe_from`` is the first moment at
    which the step is safe, ``None`` where waiting alone does not help. ``fix`` says what does.
    """

    invariant: Invariant
    problem: str
    clients: int | None
    safe_from: datetime | None = None
    fix: str = ""

    @property
    def at_risk(self) -> str:
        """The number of clients in words."""
        if self.clients is None:
            return "an unknown number of clients"
        return "1 client" if self.clients == 1 else f"{self.clients} clients"

    def __bool__(self) -> NoReturn:
        raise TypeError("a breach is not true or false: compare it with None")


def everyone(situation: Situation) -> int | None:
    """How many clients there are; ``None`` where that is not known."""
    alive = situation.field.alive(situation.now, situation.timing)
    return count(alive) if alive else None


def draft(situation: Situation) -> Version:
    """The draft as the version that it would be if it went out now."""
    return Version(situation.pins, fetched=situation.now, clients=everyone(situation))


def served_chain(situation: Situation, versions: Sequence[Version]) -> Breach | None:
    """What each vantage serves is accepted by each of these versions.

    A chain that did not verify is refused by all. Pins past their date are another invariant's.
    """
    for sighting in situation.sightings:
        refusing = [each for each in versions if _refuses(situation, each, sighting)]
        if refusing:
            what = "serves a key that" if sighting.chain else "serves no chain that verifies, so"
            return Breach(
                "served-chain",
                f"{sighting.vantage} {what} {named(refusing)} {_verb(refusing)}"
                + ("" if sighting.chain else " it"),
                count(refusing),
                safe_from=_last_death(situation, refusing) if sighting.chain else None,
                fix="let that server use a key that every version alive accepts",
            )
    return None


def backup(situation: Situation) -> Breach | None:
    """The draft has at least two live pins, and at least one outside every served chain."""
    policy = situation.policy
    if policy.mode != "enforce":
        return None
    live = set(policy.live_pins)
    if len(live) >= 2 and live - situation.served:
        return None
    return Breach(
        "backup",
        "every pin is in the chain that is served: if its key is lost, there is no way on",
        everyone(situation),
        fix="make a backup: certpin rotate generate, then certpin rotate stage",
    )


def version_rises(situation: Situation) -> Breach | None:
    """The draft has a higher version than any that ever went out."""
    latest = situation.field.latest
    if latest is None or situation.pins.version > latest.number:
        return None
    return Breach(
        "version",
        f"version {situation.pins.version} does not rise above {latest.number}, which is out: "
        "no client goes back",
        everyone(situation),
        fix=f"give it version {latest.number + 1}",
    )


def expiry(situation: Situation, versions: Iterable[Version]) -> Breach | None:
    """No version's pins end, failing closed, before its clients can have the next.

    Pins that end with ``on_expiry`` fail-open or report lock nobody out.
    """
    for version in versions:
        policy = policy_in(version.pins, situation.pattern)
        end = _hard_end(policy)
        if end is not None and not _ends_late_enough(situation, version, end):
            return Breach(
                "expiry",
                f"the pins of version {version.number} end on {in_utc(end)}, "
                "before every client that holds it can have the next",
                version.clients,
                fix="publish a version whose `expires` is further away than T_adopt "
                f"({format_duration(situation.timing.adopt)})",
            )
    return None


def of_the_field(situation: Situation) -> tuple[Breach, ...]:
    """All that is broken now, before anything is done."""
    alive = situation.field.alive(situation.now, situation.timing)
    found = (served_chain(situation, alive), expiry(situation, alive))
    return tuple(breach for breach in found if breach is not None)


def named(versions: Sequence[Version]) -> str:
    """Versions by their numbers: ``version 3``, ``versions 3 and 4``."""
    numbers = [str(each) for each in sorted({version.number for version in versions})]
    if len(numbers) == 1:
        return f"version {numbers[0]}"
    return f"versions {', '.join(numbers[:-1])} and {numbers[-1]}"


def _verb(versions: Sequence[Version]) -> str:
    return "refuses" if len({each.number for each in versions}) == 1 else "refuse"


def _refuses(situation: Situation, version: Version, sighting: Sighting) -> bool:
    policy = policy_in(version.pins, situation.pattern)
    if policy is None:
        return False
    verdict = verify(sighting.chain, policy, situation.now)
    return verdict.decision == "refuse" and verdict.reason != "expired"


def _last_death(situation: Situation, versions: Iterable[Version]) -> datetime | None:
    """From when on none of them is held; ``None`` where nobody can say."""
    ends = [situation.field.dies(each, situation.timing) for each in versions]
    known = [end for end in ends if end is not None]
    return max(known) if len(known) == len(ends) else None


def _hard_end(policy: HostPolicy | None) -> datetime | None:
    if policy is None or policy.mode != "enforce" or policy.on_expiry != "fail-closed":
        return None
    return policy.expires


def _ends_late_enough(situation: Situation, version: Version, end: datetime) -> bool:
    death = situation.field.dies(version, situation.timing)
    if death is not None:
        return end >= death
    return end - situation.now > situation.timing.adopt


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
