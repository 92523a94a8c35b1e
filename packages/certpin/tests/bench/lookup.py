"""The time to look up a host's policy in pin sets of one host, a thousand, and a million."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests import kit
from tests.bench.paired import Figure, ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from certpin.pinfile import PinSet


def figures() -> Iterator[Figure]:
    """Measure repeated look-ups, as a client makes them, relative to those in a set of one host."""
    for kind, prefix in (("exact", ""), ("wildcard", "**.")):
        alone = _pins(prefix, 1)
        for count in (1_000, 1_000_000):
            crowd = _pins(prefix, count)
            name = f"policy look-up, {kind}: {count:,} hosts / 1 host"
            value = ratio(_asking(crowd, prefix, count), _asking(alone, prefix, 1), rounds=501)
            yield Figure(name, value, limit=1.5)
    yield Figure("  beside it: each of 1,000,000 hosts once / a plain dict", _once_each())


def _asking(pins: PinSet, prefix: str, count: int) -> Callable[[], None]:
    label = "a." if prefix else ""
    names = [f"{label}h{number}.bank.test" for number in _sample(count, min(count, 200))]
    names *= 200 // len(names)

    def ask() -> None:
        for name in names:
            pins.policy_for(name)

    return ask


def _once_each() -> float:
    pins = _pins("", 1_000_000)
    names = [f"h{number}.bank.test" for number in _sample(1_000_000, 100_000)]
    plain = dict.fromkeys(f"h{number}.bank.test" for number in range(1_000_000))

    def ask() -> None:
        for name in names:
            pins.policy_for(name)

    def look_up() -> None:
        for name in names:
            plain.get(name)

    return ratio(ask, look_up, rounds=5, warm_up=1)


def _sample(count: int, size: int) -> list[int]:
    return random.Random(1).sample(range(count), size)


def _pins(prefix: str, count: int) -> PinSet:
    hosts = (f"{prefix}h{number}.bank.test" for number in range(count))
    return kit.pin_set(*(kit.policy(host) for host in hosts))
