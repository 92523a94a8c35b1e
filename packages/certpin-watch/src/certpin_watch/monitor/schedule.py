"""When each target is asked: a moment of its own in every interval, and sooner after a change.

Pure: what is known of a target and the clock come in. Two services that know the same plan the
same moments (``slot``), so that a probe that both plan is one. Nothing is made up for: of the
moments that passed while nobody asked, the last one alone counts.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from certpin_watch.monitor.settings import Settings
    from certpin_watch.monitor.targets import Target

    Key = tuple[str, int, str, str]  # host, port, way, vantage

_WOBBLE = 10  # a moment moves by up to a tenth of the interval, or it would meet the same cron job
CONFIRMED = 2  # probes in a row that saw the same


@dataclass(frozen=True, slots=True)
class Known:
    """What came of a target at a vantage.

    ``slot`` is the moment for which it was last asked, ``at`` when that was, ``count`` how often in
    a row the answer was the same, ``changes`` how many answers before it nobody saw twice.
    """

    slot: int
    at: int
    count: int = CONFIRMED
    changes: int = 0
    unreachable: bool = False


@dataclass(frozen=True, slots=True)
class Due:
    """A target that has to be asked from a vantage, for the moment ``slot``."""

    target: Target
    vantage: str
    slot: int

    @property
    def key(self) -> Key:
        """What it is known by."""
        return *self.target.key, self.vantage


def due(
    targets: Iterable[Target], known: Mapping[Key, Known], settings: Settings, now: int
) -> Iterator[Due]:
    """Whom to ask now, and for which moment. A target that nobody has asked yet is due at once."""
    for target in targets:
        for vantage in target.vantages:
            key = (*target.key, vantage)
            slot = slot_of(key, known.get(key), settings, now)
            if slot is not None:
                yield Due(target, vantage, slot)


def slot_of(key: Key, last: Known | None, settings: Settings, now: int) -> int | None:
    """The moment that is due, or ``None``. Never later than ``now``.

    A moment that was asked for in the future is of a clock that was set back: it does not count.
    """
    interval = int(settings.interval.total_seconds())
    regular = _regular(key, interval, now)
    if last is None or max(last.slot, last.at) > now:
        return regular
    sooner = last.at + _pause(last, int(settings.confirm.total_seconds()), interval)
    slots = [slot for slot in (regular, sooner) if last.slot < slot <= now]
    return max(slots, default=None)


def _regular(key: Key, interval: int, now: int) -> int:
    """The last of its own moments that has come: one an interval, each moved a little."""
    offset = _hash(key, "offset") % interval
    number = (now - offset) // interval
    moment = _moment(key, number, offset, interval)
    return moment if moment <= now else _moment(key, number - 1, offset, interval)


def _moment(key: Key, number: int, offset: int, interval: int) -> int:
    wobble = _hash(key, number) % max(interval // _WOBBLE, 1)
    return number * interval + offset + wobble


def _pause(last: Known, confirm: int, interval: int) -> int:
    """How long after a probe the next follows at the latest.

    What has just changed is looked at again before anybody is told. Who goes on changing, or does
    not answer, is asked again after 1, 2, 4, 8 … times as long, and in the end with the others.
    """
    if last.count >= CONFIRMED and not last.unreachable:
        return 2 * interval
    times = last.changes + (last.count - 1 if last.unreachable else 0)
    return min(confirm << min(times, 20), interval)


def _hash(key: Key, what: object) -> int:
    """The same in every process, unlike ``hash()``."""
    text = "\n".join(map(str, (*key, what)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
