"""Keys, chains and situations for the tests of rotations: no key is made, no certificate signed."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from certpin.pins import HostPattern, HostPin, HostPolicy, Pin, PinSet, State
from certpin.rotation import (
    AdoptionDelays,
    DeployedVersions,
    PinHistory,
    Sighting,
    Situation,
    Version,
)
from certpin.x509 import Certificate, Chain

if TYPE_CHECKING:
    from collections.abc import Iterable

HOST = "api.bank.example"
PATTERN = HostPattern.parse(HOST)
NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
# T_adopt is ten days.
TIMING = AdoptionDelays(cdn=HOUR, cache=12 * HOUR, poll=DAY, opened=8 * DAY, skew=11 * HOUR)


def pin(name: str) -> Pin:
    """The pin of a key, made from its name."""
    return Pin.of_key(hashlib.sha256(name.encode()).digest())


def chain(*names: str) -> Chain:
    """A path of certificates with these keys, leaf first."""
    return Chain(tuple(Certificate(name.encode(), name.encode()) for name in names))


def sighting(*names: str, vantage: str = "192.0.2.7:443") -> Sighting:
    """A server with a verified path."""
    return Sighting(vantage, chain(*names))


def unverified(*names: str, vantage: str = "192.0.2.9:443") -> Sighting:
    """A server without a verified path."""
    return Sighting(vantage, None, chain(*names))


def policy(pins: Iterable[HostPin], **fields: Any) -> HostPolicy:
    return HostPolicy(PATTERN, tuple(pins), **fields)


def entries(states: dict[str, State]) -> list[HostPin]:
    """Pins by the names of their keys: the first is the leaf's, the others are backups."""
    return [
        HostPin(pin(name), "backup" if index else "leaf", state)
        for index, (name, state) in enumerate(states.items())
    ]


def pin_set(states: dict[str, State], number: int = 1, **fields: Any) -> PinSet:
    return PinSet("bank", number, (policy(entries(states), **fields),))


def root_set(*names: str, number: int = 1) -> PinSet:
    """A pin set of one provider's roots, all active."""
    roots = [HostPin(pin(name), "root", provider=("one",)) for name in names]
    return PinSet("bank", number, (policy(roots, match="ca"),))


def version(number: int, states: dict[str, State], *, ago: timedelta, **fields: Any) -> Version:
    """A version that was published some time ago, to be fetched."""
    return Version(pin_set(states, number), fetched=NOW - ago, **fields)


def bundled(number: int, states: dict[str, State], *, ago: timedelta, **fields: Any) -> Version:
    """A version that went into a binary some time ago."""
    return Version(pin_set(states, number), bundled=NOW - ago, **fields)


def situation(
    draft: PinSet, *versions: Version, seen: tuple[Sighting, ...] = (), **fields: Any
) -> Situation:
    """The situation of the one host now."""
    known: dict[str, Any] = {"timing": TIMING, "now": NOW, "past": PinHistory()} | fields
    return Situation(draft, PATTERN, DeployedVersions(versions), seen, **known)
