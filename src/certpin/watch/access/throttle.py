"""Those who guess passwords are slowed down. Nobody is locked out by somebody else.

One source that was wrong too often has to wait, longer each time. An account on which many guess is
not locked, or strangers could lock it: whoever was wrong there before, or never right, waits a
little with each try. Everything is in memory, bounded, and per process.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

FREE_PER_SOURCE = 5  # failures before a source has to wait
FREE_PER_ACCOUNT = 20  # failures, of all sources, before strangers to an account have to wait
LONGEST_WAIT = 60.0  # seconds for a source
ACCOUNT_WAIT = 2.0  # seconds for each try at an account that is under attack
FORGOTTEN_AFTER = 900.0  # seconds without another failure
MOST = 10_000  # sources and accounts that are remembered, each
RECORDED_PER_MINUTE = 30  # failures that are written down, so that nobody can fill the disk


@dataclass(frozen=True)
class Judgement:
    """``refused_for``: seconds, if no try is allowed now. ``delay``: seconds before the answer."""

    refused_for: float = 0.0
    delay: float = 0.0


@dataclass
class _Failures:
    count: int
    last: float


class Recorded:
    """How many failures of a minute are written down: nobody can fill the disk with them."""

    def __init__(self) -> None:
        self._minute = _Failures(0, 0.0)

    def is_recorded(self, now: datetime) -> bool:
        """Whether this one is."""
        at = now.timestamp()
        if not 0 <= at - self._minute.last < 60:
            self._minute = _Failures(0, at)
        self._minute.count += 1
        return self._minute.count <= RECORDED_PER_MINUTE


class Throttle:
    """Counts failures by source and by account. Threads may share it."""

    def __init__(self) -> None:
        self._sources: OrderedDict[str, _Failures] = OrderedDict()
        self._accounts: OrderedDict[str, _Failures] = OrderedDict()
        self._known: OrderedDict[str, None] = OrderedDict()
        self._recorded = Recorded()
        self._lock = threading.Lock()

    def judge(self, source: str, account: str, now: datetime) -> Judgement:
        """Before a password is looked at."""
        at, name = now.timestamp(), _key(account)
        with self._lock:
            failed = _count(self._sources, source, at) - FREE_PER_SOURCE
            if failed >= 0:
                wait = min(2.0**failed, LONGEST_WAIT) - (at - self._sources[source].last)
                if wait > 0:
                    return Judgement(refused_for=wait)
            attacked = _count(self._accounts, name, at) >= FREE_PER_ACCOUNT
            stranger = _key(source, account) not in self._known
            return Judgement(delay=ACCOUNT_WAIT if attacked and stranger else 0.0)

    def at_once(self, source: str, now: datetime) -> int:
        """How many tries of a source may be looked at in one moment: as many as it has free.

        Otherwise all that it begins before the first one failed would count as one.
        """
        with self._lock:
            return max(1, FREE_PER_SOURCE - _count(self._sources, source, now.timestamp()))

    def failed(self, source: str, account: str, now: datetime) -> bool:
        """After a wrong password. Whether it shall be written down."""
        at = now.timestamp()
        with self._lock:
            _add(self._sources, source, at)
            _add(self._accounts, _key(account), at)
            self._known.pop(_key(source, account), None)
            return self._recorded.is_recorded(now)

    def succeeded(self, source: str, account: str) -> None:
        """After the right one: who signs in from here is known to this account."""
        with self._lock:
            self._sources.pop(source, None)
            self._known[_key(source, account)] = None
            _bound(self._known)


def _key(*parts: str) -> str:
    """Names that strangers type are kept in a form of fixed size."""
    return hashlib.blake2b("\0".join(parts).encode(errors="replace"), digest_size=16).hexdigest()


def _count(kept: OrderedDict[str, _Failures], key: str, at: float) -> int:
    found = kept.get(key)
    if found is None or at - found.last >= FORGOTTEN_AFTER:
        return 0
    return found.count


def _add(kept: OrderedDict[str, _Failures], key: str, at: float) -> None:
    kept[key] = _Failures(_count(kept, key, at) + 1, at)
    kept.move_to_end(key)
    _bound(kept)


def _bound(kept: OrderedDict[str, _Failures] | OrderedDict[str, None]) -> None:
    while len(kept) > MOST:
        kept.popitem(last=False)
