"""Throttles against guessing: a client network with too many failures waits longer each time.

``LoginThrottle`` counts wrong passwords in the database, ``TokenThrottle`` wrong tokens in memory.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from certpin_watch.store.accounts import (
    FAILURES_KEPT,
    FailureCount,
    clear_failures,
    lock_failures,
    set_failures,
    sweep_failures,
)

if TYPE_CHECKING:
    from datetime import datetime

    from certpin_watch.store import Store

FREE_PER_SOURCE = 5  # failures before a source has to wait
MAX_WAIT = 60.0  # seconds for a source
FREE_PER_ACCOUNT = 20  # failures of all sources before new sources are delayed
ACCOUNT_DELAY = 2.0  # seconds for each attempt at an account that is under attack
MAX_SIGNED_IN = 10_000  # pairs of source and account that are remembered
MAX_SOURCES = 10_000  # sources of wrong tokens that are remembered
AUDITED_PER_MINUTE = 30  # failures that are audited, so that no client can fill the disk
_SWEPT = 50  # outdated rows that are deleted at each attempt


@dataclass(frozen=True)
class LoginDecision:
    """How long an attempt to log in is refused or delayed, in seconds.

    ``refused_for``: no attempt is allowed for so long; 0 if it is allowed. ``delay``: the time to
    wait before the password is checked.
    """

    refused_for: float = 0.0
    delay: float = 0.0


class LoginThrottle:
    """Counts attempts to log in, by source and by account.

    A source with too many failures has to wait. An account is never locked, because an attacker
    could then lock it: while it is under attack, attempts from sources without a successful login
    are delayed, and users at a known source are not.

    The counters are in the database, so that several processes don't allow more guesses than one.
    An attempt counts as a failure when it begins, until it succeeds: otherwise parallel attempts
    would count as one. Rows have digests of sources and names, for a quarter of an hour; how many
    there are is limited by how many passwords can be hashed in that time. The sources of successful
    logins are in memory, bounded, for each process.

    Threads may share it. Each method that uses the database raises ``StoreError`` if it is
    unavailable: then no user can log in.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._signed_in: OrderedDict[bytes, None] = OrderedDict()
        self._audit_limit = AuditLimit()
        self._lock = threading.Lock()

    def begin(self, source: str, account: str, now: datetime) -> LoginDecision:
        """Decide if an attempt to log in may check its password now, and count it as a failure."""
        at = now.timestamp()
        with self._store.write() as connection:
            sweep_failures(connection, at, _SWEPT)
        source_key, account_key = _key("source", source), _key("account", account)
        with self._store.write() as connection:
            failures = lock_failures(connection, source_key, at)
            if (wait := wait_after(failures, at)) > 0:
                return LoginDecision(refused_for=wait)
            set_failures(connection, source_key, FailureCount(counted(failures, at) + 1, at))
            before = counted(lock_failures(connection, account_key, at), at)
            set_failures(connection, account_key, FailureCount(before + 1, at))
        with self._lock:
            is_new = _key(source, account) not in self._signed_in
        return LoginDecision(delay=ACCOUNT_DELAY if before >= FREE_PER_ACCOUNT and is_new else 0.0)

    def failed(self, source: str, account: str, now: datetime) -> bool:
        """Record that the password was wrong. Return True if this belongs into the audit log."""
        with self._lock:
            self._signed_in.pop(_key(source, account), None)
            return self._audit_limit.allows(now)

    def succeeded(self, source: str, account: str) -> None:
        """Forget the failure that ``begin`` counted for this attempt: the password was correct."""
        with self._store.write() as connection:
            clear_failures(connection, _key("source", source), _key("account", account))
        with self._lock:
            self._signed_in[_key(source, account)] = None
            while len(self._signed_in) > MAX_SIGNED_IN:
                self._signed_in.popitem(last=False)


class TokenThrottle:
    """Counts wrong tokens by source, in memory. Threads may share it.

    The secret of a token has 256 random bits. So the throttle only saves the work of hashing, and
    needs no exact count over all processes.
    """

    def __init__(self) -> None:
        self._sources: OrderedDict[str, FailureCount] = OrderedDict()
        self._audit_limit = AuditLimit()
        self._lock = threading.Lock()

    def wait(self, source: str, now: datetime) -> float:
        """Return the seconds for which the source has to wait before its token is checked, or 0."""
        with self._lock:
            return max(0.0, wait_after(self._sources.get(source), now.timestamp()))

    def failed(self, source: str, now: datetime) -> bool:
        """Record that a token was wrong. Return True if this belongs into the audit log."""
        at = now.timestamp()
        with self._lock:
            self._sources[source] = FailureCount(counted(self._sources.get(source), at) + 1, at)
            self._sources.move_to_end(source)
            while len(self._sources) > MAX_SOURCES:
                self._sources.popitem(last=False)
            return self._audit_limit.allows(now)

    def succeeded(self, source: str) -> None:
        """Record that a token was correct, and forget the failures of the source."""
        with self._lock:
            self._sources.pop(source, None)


class AuditLimit:
    """Limits how many failures a minute are written to the audit log. Not thread-safe."""

    def __init__(self) -> None:
        self._count = 0
        self._since = 0.0

    def allows(self, now: datetime) -> bool:
        """Count a failure. Return True if it is still within the limit of this minute."""
        at = now.timestamp()
        if not 0 <= at - self._since < 60:
            self._count, self._since = 0, at
        self._count += 1
        return self._count <= AUDITED_PER_MINUTE


def counted(failures: FailureCount | None, at: float) -> int:
    """Return the number of failures of a source or account that have not expired at time ``at``.

    Failures with a far future time don't count, because the clock ran ahead when they were counted.
    """
    if failures is None or abs(at - failures.last) >= FAILURES_KEPT:
        return 0
    return failures.count


def wait_after(failures: FailureCount | None, at: float) -> float:
    """Return the seconds for which a source has to wait; 0 or less if it doesn't have to."""
    over = counted(failures, at) - FREE_PER_SOURCE
    if failures is None or over < 0:
        return 0.0
    wait: float = min(2.0**over, MAX_WAIT)
    return wait - max(at - failures.last, 0.0)


def _key(*parts: str) -> bytes:
    """Return a digest of fixed size for a source or an account name, as the key of a counter."""
    return hashlib.blake2b("\0".join(parts).encode(errors="replace"), digest_size=16).digest()
