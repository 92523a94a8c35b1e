"""What is known when a step of a rotation is decided on. Everything comes in from outside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.pins import pins_of
from certpin.rotation.field import Field, policy_in

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.pins import HostPattern, HostPin, HostPolicy, Pin, PinSet, State
    from certpin.rotation.timing import Timing
    from certpin.x509 import Chain


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
