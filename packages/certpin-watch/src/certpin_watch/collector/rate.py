"""How much one source may send, and how much at once: a bucket and a count for each."""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Rates:
    """``rate`` reports a second, ``burst`` at once. The source that was longest quiet is forgotten.

    ``clock`` never goes back. Whoever has very many networks gets round it: what then holds is the
    bound of the queue.
    """

    def __init__(self, rate: float, burst: float, most: int, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._most = most
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, source: str) -> int:
        """Take one token. 0 if there was one, or else the seconds until there will be."""
        now = self._clock()
        bucket = self._buckets.get(source)
        if bucket is None:
            bucket = self._new(source, now)
        else:
            self._buckets.move_to_end(source)
            filled = bucket.left + (now - bucket.at) * self._rate
            bucket.left = min(filled, self._burst)
            bucket.at = now
        if bucket.left < 1:
            return ceil((1 - bucket.left) / self._rate)
        bucket.left -= 1
        return 0

    def charge(self, source: str, tokens: int) -> None:
        """Take more, for a body with several reports: into debt, if need be."""
        if bucket := self._buckets.get(source):
            bucket.left -= tokens

    def _new(self, source: str, now: float) -> _Bucket:
        if len(self._buckets) >= self._most:
            self._buckets.popitem(last=False)
        bucket = self._buckets[source] = _Bucket(self._burst, now)
        return bucket


class AtOnce:
    """The bodies of each source that are on their way now, ``most`` of one.

    The server works on so many connections at once, for all: one source that sends its bodies
    slowly must not have them all. What is idle, or sends its headers slowly, is not seen here.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._now: Counter[str] = Counter()

    def enter(self, source: str) -> bool:
        """Count one more; whether it may come in. Whoever entered has to leave."""
        self._now[source] += 1
        return self._now[source] <= self._most

    def leave(self, source: str) -> None:
        """Count one less."""
        self._now[source] -= 1
        if not self._now[source]:
            del self._now[source]
