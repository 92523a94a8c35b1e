"""Which versions clients hold, and whether every client accepts a pin."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.pins import pins_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from certpin.pins import HostPattern, HostPin, HostPolicy, Pin, PinSet, State
    from certpin.rotation.timing import Timing
    from certpin.x509 import Chain


@dataclass(frozen=True)
class Version:
    """A pin set that was given to clients. Every moment has a time zone.

    ``fetched`` is when it could first be fetched, ``bundled`` when it went into a binary; ``None``
    where it never did. ``ended`` is when somebody measured that no client holds it any more.
    ``clients`` is how many hold it, ``None`` where nobody knows. ``waiting`` is a signed set that
    nobody has pushed yet, as far as is known: some client may hold it, but none that asks gets it.
    ``told`` is the last day on which a client told that it holds it, and ``gone`` from when on so
    few do that they may be lost: both are measured (``certpin.rotation.measured``).
    """

    pins: PinSet
    fetched: datetime | None = None
    bundled: datetime | None = None
    ended: datetime | None = None
    clients: int | None = None
    waiting: bool = False
    told: datetime | None = None
    gone: datetime | None = None

    @property
    def number(self) -> int:
        """Its version."""
        return self.pins.version

    @property
    def since(self) -> datetime | None:
        """The first moment at which a client could hold it."""
        return min(filter(None, (self.fetched, self.bundled)), default=None)

    def accepts(self, pattern: HostPattern, pin: Pin) -> bool:
        """Whether its clients accept a key with this pin.

        A version that has no policy for the host, or only reports, refuses nothing. Not looked at:
        which place of the chain may match, and the date on which its pins end.
        """
        policy = policy_in(self.pins, pattern)
        return policy is None or policy.mode == "report" or pin in policy.live_pins


@dataclass(frozen=True)
class Field:
    """Every version that ever went out. Two of one number are two: both may be out there."""

    versions: tuple[Version, ...] = ()

    @property
    def latest(self) -> Version | None:
        """The one with the highest number."""
        return max(self.versions, key=lambda each: each.number, default=None)

    def dies(self, version: Version, timing: Timing) -> datetime | None:
        """The first moment at which no client holds it; ``None`` where nobody can say.

        Who told it after that moment was slower than anybody promised: it lives for T_adopt more.
        """
        end = self._promised(version, timing)
        if version.gone is not None:
            return version.gone if end is None else min(end, version.gone)
        if version.told is None or not self.outlives(version, timing):
            return end
        if version.bundled is not None or self.superseded(version) is None:
            return None
        return version.told + timing.adopt

    def outlives(self, version: Version, timing: Timing) -> bool:
        """Whether a client told a version when none should have held it any more."""
        end = self._promised(version, timing)
        return end is not None and version.told is not None and version.told >= end

    def superseded(self, version: Version) -> datetime | None:
        """When those that fetch a version could first have a higher one; ``None`` if not yet."""
        if version.fetched is None:
            return None
        following = [
            max(each.fetched, version.fetched)
            for each in self.versions
            if each.fetched is not None and not each.waiting and each.number > version.number
        ]
        return min(following, default=None)

    def _promised(self, version: Version, timing: Timing) -> datetime | None:
        """When it dies by what its owner said: that it has ended, or how slow clients are."""
        if version.ended is not None:
            return version.ended
        out = None if version.bundled is not None else self.superseded(version)
        return None if out is None else out + timing.adopt

    def alive(self, at: datetime, timing: Timing) -> tuple[Version, ...]:
        """The versions that some client may hold, lowest number first."""
        found = [each for each in self.versions if self._lives(each, at, timing)]
        return tuple(sorted(found, key=lambda each: each.number))

    def with_version(self, pins: PinSet, at: datetime, *, bundled: bool = False) -> Field:
        """The field after a pin set went out, to be fetched or in a binary."""
        version = Version(pins, bundled=at) if bundled else Version(pins, fetched=at)
        return replace(self, versions=(*self.versions, version))

    def _lives(self, version: Version, at: datetime, timing: Timing) -> bool:
        since, until = version.since, self.dies(version, timing)
        return since is not None and since <= at and (until is None or at < until)


def policy_in(pins: PinSet, pattern: HostPattern) -> HostPolicy | None:
    """The policy of a pattern in a pin set: its own, or for a host the one that covers it."""
    for policy in pins.policies:
        if policy.pattern == pattern:
            return policy
    return None if pattern.wildcard else pins.policy_for(pattern.name)


def count(versions: Iterable[Version]) -> int | None:
    """How many clients hold one of these versions; ``None`` where that is not known of one."""
    total = 0
    for version in versions:
        if version.clients is None:
            return None
        total += version.clients
    return total


@dataclass(frozen=True)
class Sighting:
    """What one vantage serves.

    ``chain`` is the path that was verified there, ``None`` where none was; ``served`` is what the
    server sent, which without a verified path may be anybody's.
    """

    vantage: str
    chain: Chain | None
    served: Chain | None = None

    @property
    def pins(self) -> frozenset[Pin]:
        """Both pins of every certificate of the verified path."""
        return _pins(self.chain)

    @property
    def unverified(self) -> frozenset[Pin]:
        """The pins of what was served without a path that verified."""
        return frozenset() if self.chain else _pins(self.served)


@dataclass(frozen=True)
class Past:
    """What the journal says of the pins of one host.

    ``states`` is where each stood last, ``known`` are those that their owner vouched for (a key
    that was made, a file that was given), ``compromised`` those whose key somebody else has had.
    """

    states: dict[Pin, State] = field(default_factory=dict)
    known: frozenset[Pin] = frozenset()
    compromised: frozenset[Pin] = frozenset()


@dataclass(frozen=True)
class Situation:
    """One policy of a draft, the versions in the field, what is served, the delays, and the clock.

    ``now`` has a time zone. Without sightings nobody knows what is served. Raises ``ConfigError``
    where the draft has no such policy.
    """

    pins: PinSet
    pattern: HostPattern
    field: Field
    sightings: tuple[Sighting, ...]
    timing: Timing
    now: datetime
    past: Past = Past()

    def __post_init__(self) -> None:
        if all(each.pattern != self.pattern for each in self.pins.policies):
            raise ConfigError(
                f"there is no policy of the name {self.pattern}",
                key="host",
                fix="write it as it stands in the pin file",
            )

    @property
    def policy(self) -> HostPolicy:
        """The policy as the draft has it."""
        found = policy_in(self.pins, self.pattern)
        assert found is not None  # noqa: S101  # __post_init__ saw it
        return found

    def entry(self, pin: Pin) -> HostPin | None:
        """The pin as the draft has it."""
        return next((each for each in self.policy.pins if each.pin == pin), None)

    @property
    def served(self) -> frozenset[Pin]:
        """Every pin of every verified path."""
        return frozenset(pin for each in self.sightings for pin in each.pins)

    def serving(self, pin: Pin) -> tuple[str, ...]:
        """The vantages that serve a key."""
        return tuple(each.vantage for each in self.sightings if pin in each.pins)


def _pins(chain: Chain | None) -> frozenset[Pin]:
    return frozenset(pin for each in (chain.certificates if chain else ()) for pin in pins_of(each))


@dataclass(frozen=True)
class Adoption:
    """How far a pin has got.

    ``moment`` is since when it is adopted, or from when on it will be if nothing else is published;
    ``None`` where nobody can say: it isn't out, or a binary without it is. ``refusing`` are the
    versions alive that do not accept it.
    """

    pin: Pin
    adopted: bool
    moment: datetime | None
    refusing: tuple[Version, ...] = ()

    @property
    def clients(self) -> int | None:
        """How many clients would refuse it; ``None`` where that is not known."""
        return count(self.refusing) if self.refusing else (0 if self.adopted else None)

    def __bool__(self) -> bool:
        raise TypeError("an adoption is not true or false: ask whether it is adopted")


def adoption(situation: Situation, pin: Pin) -> Adoption:
    """Look at each version alive."""
    field, timing = situation.field, situation.timing
    alive = field.alive(situation.now, timing)
    refusing = tuple(each for each in alive if not each.accepts(situation.pattern, pin))
    if refusing or not alive:
        ends = [field.dies(each, timing) for each in refusing]
        known = [end for end in ends if end is not None]
        moment = max(known) if known and len(known) == len(ends) else None
        return Adoption(pin, adopted=False, moment=moment, refusing=refusing)
    return Adoption(pin, adopted=True, moment=_since(situation, pin))


def standing(situation: Situation, pin: Pin) -> State:
    """Where a pin stands: what the draft says, else the journal.

    What follows from the field is derived, whatever was declared: STAGED until a version holds it,
    PUBLISHED until every client does, then ADOPTED. A pin that nobody has heard of is GENERATED:
    its key exists, since somebody names it.
    """
    entry = situation.entry(pin)
    declared = entry.state if entry else situation.past.states.get(pin, "generated")
    if entry and declared in {"generated", "staged", "published", "adopted"}:
        return _derived(situation, pin)
    return declared


def _derived(situation: Situation, pin: Pin) -> State:
    latest = situation.field.latest
    if latest is None or not latest.accepts(situation.pattern, pin):
        return "staged"
    return "adopted" if adoption(situation, pin).adopted else "published"


def _since(situation: Situation, pin: Pin) -> datetime | None:
    """When the last version that refused it died, or the first that accepts it came out."""
    field, timing, pattern = situation.field, situation.timing, situation.pattern
    accepting = [each.since for each in field.versions if each.accepts(pattern, pin)]
    refusing = [
        field.dies(each, timing) for each in field.versions if not each.accepts(pattern, pin)
    ]
    first = min(filter(None, accepting), default=None)
    return max(filter(None, (first, *refusing)), default=None)
