"""Helpers that make pins, chains and situations for the tests of rotations.

A situation is what the rotation's rules know about a host. Keys and certificates are only
placeholders: nothing is generated or signed.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
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
    """Return a pin that depends only on ``name``, which stands for a key."""
    return Pin.of_key(hashlib.sha256(name.encode()).digest())


def chain(*names: str) -> Chain:
    """Return a chain of placeholder certificates with the keys of these names, leaf first."""
    return Chain(tuple(Certificate(name.encode(), name.encode()) for name in names))


def sighting(*names: str, vantage: str = "192.0.2.7:443") -> Sighting:
    """Return the observation of a server with a chain of these keys that verifies."""
    return Sighting(vantage, chain(*names))


def unverified(*names: str, vantage: str = "192.0.2.9:443") -> Sighting:
    """Return the observation of a server with a chain of these keys that does not verify."""
    return Sighting(vantage, None, chain(*names))


def policy(pins: Iterable[HostPin], **fields: Any) -> HostPolicy:
    return HostPolicy(PATTERN, tuple(pins), **fields)


def entries(states: dict[str, State]) -> list[HostPin]:
    """Return a policy's pins from key names and states: the first as leaf, others as backups."""
    return [
        HostPin(pin(name), "backup" if index else "leaf", state)
        for index, (name, state) in enumerate(states.items())
    ]


def pin_set(states: dict[str, State], number: int = 1, **fields: Any) -> PinSet:
    return PinSet("bank", number, (policy(entries(states), **fields),))


def with_leaves(states: dict[str, State], *names: str) -> PinSet:
    """Return a pin set in which the pins of the named keys have the role ``leaf``."""
    leaves = {pin(name) for name in names}
    held = [replace(each, role="leaf") if each.pin in leaves else each for each in entries(states)]
    return PinSet("bank", 1, (policy(held),))


def root_set(*names: str, number: int = 1) -> PinSet:
    """Return a pin set with the pins of a single provider's roots, all active."""
    roots = [HostPin(pin(name), "root", provider=("one",)) for name in names]
    return PinSet("bank", number, (policy(roots, match="ca"),))


def version(number: int, states: dict[str, State], *, ago: timedelta, **fields: Any) -> Version:
    """Return a version of the pin set that was published for clients to fetch.

    Args:
        number: the number of the version.
        states: the state of each pin by the name of its key, as for ``entries``.
        ago: how long before NOW clients could first fetch it.
        fields: other fields of ``Version`` to set.
    """
    return Version(pin_set(states, number), fetched=NOW - ago, **fields)


def bundled(number: int, states: dict[str, State], *, ago: timedelta, **fields: Any) -> Version:
    """Return a version of the pin set that was built into an app, ``ago`` before NOW."""
    return Version(pin_set(states, number), bundled=NOW - ago, **fields)


def situation(
    draft: PinSet, *versions: Version, seen: tuple[Sighting, ...] = (), **fields: Any
) -> Situation:
    """Return the situation of the host ``HOST`` at NOW.

    Args:
        draft: the pin set in the pin file, which may not be published yet.
        versions: the published versions of the pin set.
        seen: the observed servers.
        fields: other fields of ``Situation`` to set.
    """
    known: dict[str, Any] = {"timing": TIMING, "now": NOW, "past": PinHistory()} | fields
    return Situation(draft, PATTERN, DeployedVersions(versions), seen, **known)
