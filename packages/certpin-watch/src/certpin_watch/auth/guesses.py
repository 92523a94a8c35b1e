"""Those who guess passwords are slowed down. Nobody is locked out by somebody else.

One source that was wrong too often has to wait, longer each time. An account on which many guess is
not locked, or strangers could lock it: whoever was wrong there before, or never right, waits a
little with each try.

It is counted in the database, so that several services give nobody more guesses than one. A try
counts as wrong when it begins, and is forgotten when it was right: otherwise all tries of one
moment, here and at the other services, would count as one. Who was right from where is in memory,
bounded, and per process: at another service they wait that little.

There are digests of sources and names alone, for a quarter of an hour. How many rows there are is
bounded by how many passwords can be computed in that time.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import case, delete, select, update

from certpin_watch.auth.throttle import (
    FORGOTTEN_AFTER,
    Failures,
    Recorded,
    counted,
    wait_after,
)
from certpin_watch.store.engine import insert
from certpin_watch.store.tables.service import GUESSES

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from certpin_watch.store import Store

FREE_PER_ACCOUNT = 20  # failures, of all sources, before strangers to an account have to wait
ACCOUNT_WAIT = 2.0  # seconds for each try at an account that is under attack
MOST = 10_000  # sources that were right which are remembered
_SWEPT = 50  # old rows that go with each try


@dataclass(frozen=True)
class Judgement:
    """``refused_for``: seconds, if no try is allowed now. ``delay``: seconds before the answer."""

    refused_for: float = 0.0
    delay: float = 0.0


class Guesses:
    """Counts tries by source and by account. Threads, and services on one store, may share it.

    Each function raises ``StoreError`` where the store is away: then nobody signs in.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._recorded = Recorded()
        self._lock = threading.Lock()

    def begin(self, source: str, account: str, now: datetime) -> Judgement:
        """Before a password is looked at: if it may be, it counts as wrong until it was right."""
        at = now.timestamp()
        self._sweep(at)
        with self._store.write() as connection:
            found = _hold(connection, _key("source", source), at)
            if (wait := wait_after(found, at)) > 0:
                return Judgement(refused_for=wait)
            _put(connection, _key("source", source), counted(found, at) + 1, at)
            name = _key("account", account)
            before = counted(_hold(connection, name, at), at)
            _put(connection, name, before + 1, at)
        with self._lock:
            stranger = _key(source, account) not in self._known
        return Judgement(delay=ACCOUNT_WAIT if before >= FREE_PER_ACCOUNT and stranger else 0.0)

    def failed(self, source: str, account: str, now: datetime) -> bool:
        """After a wrong password. Whether it shall be written down."""
        with self._lock:
            self._known.pop(_key(source, account), None)
            return self._recorded.is_recorded(now)

    def succeeded(self, source: str, account: str) -> None:
        """After the right one: it was no guess, and who signs in from here is known to it."""
        name = GUESSES.c.who == _key("account", account)
        less = case((GUESSES.c.count > 0, GUESSES.c.count - 1), else_=0)
        with self._store.write() as connection:
            connection.execute(delete(GUESSES).where(GUESSES.c.who == _key("source", source)))
            connection.execute(update(GUESSES).where(name).values(count=less))
        with self._lock:
            self._known[_key(source, account)] = None
            while len(self._known) > MOST:
                self._known.popitem(last=False)

    def _sweep(self, at: float) -> None:
        """Delete some of what is forgotten; what somebody works on is left to them."""
        old = select(GUESSES.c.who).where(GUESSES.c.last_at < at - FORGOTTEN_AFTER).limit(_SWEPT)
        with self._store.write() as connection:
            rows = connection.execute(old.with_for_update(skip_locked=True)).scalars().all()
            if rows:
                connection.execute(delete(GUESSES).where(GUESSES.c.who.in_(rows)))


def _key(*parts: str) -> bytes:
    """Names that strangers type are kept in a form of fixed size."""
    return hashlib.blake2b("\0".join(parts).encode(errors="replace"), digest_size=16).digest()


def _hold(connection: Connection, who: bytes, at: float) -> Failures:
    """What is counted of somebody, and a lock on it until the transaction ends."""
    made = insert(connection, GUESSES).values(who=who, count=0, last_at=int(at))
    held = made.on_conflict_do_update(
        index_elements=["who"], set_={"count": GUESSES.c.count}
    ).returning(GUESSES.c.count, GUESSES.c.last_at)
    row = connection.execute(held).one()
    return Failures(row[0], row[1])


def _put(connection: Connection, who: bytes, count: int, at: float) -> None:
    values = {"count": count, "last_at": int(at)}
    connection.execute(update(GUESSES).where(GUESSES.c.who == who).values(**values))
