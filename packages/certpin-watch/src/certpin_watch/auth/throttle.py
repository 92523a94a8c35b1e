"""Limit guesses of passwords and tokens, and the entries that they cause in the audit log.

A *source* is the network of a client. Each time that a source fails again after too many failures,
it has to wait longer. ``LoginThrottle`` counts wrong passwords in the database, ``TokenThrottle``
wrong tokens in memory.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from certpin_watch.store.sessions import (
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
    """The decision whether an attempt to log in is refused, delayed or allowed.

    Attributes:
        refused_for: the seconds after which the client may try again; 0 if this attempt is allowed.
        delay: the seconds to wait before the password of an allowed attempt is checked.
        at: the time at which an allowed attempt was counted as a failure, in seconds since 1970.
        last: the time of the previous failure of the same source (network), in seconds since 1970.
            If this attempt succeeds, ``last`` is stored again as the time of the last failure.
    """

    refused_for: float = 0.0
    delay: float = 0.0
    at: float = field(default=0.0, compare=False)
    last: float = field(default=0.0, compare=False)


class LoginThrottle:
    """Limits guesses of passwords: counts failed logins by source and by account.

    A *source* is the network of a client. It is *known* at an account if its last attempt there
    succeeded.

    1. A source with too many failures has to wait before its next attempt. A successful login
       deletes the failures of the source at this account, but not those at other accounts.
    2. An account is never locked, because an attacker could then lock out its user. Instead, after
       many failures at an account, attempts of unknown sources are delayed.
    3. Attempts of a known source are not delayed, and only its failures at this account count.
    4. Each attempt counts as a failure from its beginning until it succeeds. Otherwise parallel
       attempts would count as one.

    NOT prevented: an attacker with the same source as the user (behind one NAT, or a proxy without
    X-Forwarded-For) can send a wrong password for the account. Then the source is not known there
    any more, and the user has to wait, too.

    The counters are in the database, so that several processes don't allow more guesses than one.
    Their rows contain digests of sources and account names, and are kept for a quarter of an hour.
    The time that it takes to hash passwords limits the number of these rows. Each process keeps a
    limited number of known sources in memory.

    Threads may share an instance. Each method that uses the database raises ``StoreError`` if the
    database is unavailable: then no user can log in.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._signed_in: OrderedDict[bytes, None] = OrderedDict()
        self._audit_limit = AuditLimit()
        self._lock = threading.Lock()

    def begin(self, source: str, account: str, now: datetime) -> LoginDecision:
        """Decide whether an attempt to log in is allowed to check its password now.

        An allowed attempt is counted as a failure, because other attempts can begin before its
        password is checked. If the password is correct, pass the result to ``succeeded``, which
        withdraws the failure. A refused attempt is not counted.

        Args:
            source: the network of the client.
            account: the name that was sent.
            now: the current time.
        """
        at = now.timestamp()
        with self._store.write() as connection:
            sweep_failures(connection, at, _SWEPT)
        source_key, pair_key, account_key = _keys(source, account)
        is_known = self.knows(source, account)
        with self._store.write() as connection:
            failures = lock_failures(connection, source_key, at)
            # The failures of others at the same source must not block a user who signed in there.
            of_both = lock_failures(connection, pair_key, at) if is_known else None
            if (wait := wait_after(of_both or failures, at)) > 0:
                return LoginDecision(refused_for=wait)
            set_failures(connection, source_key, FailureCount(counted(failures, at) + 1, at))
            of_both = of_both or lock_failures(connection, pair_key, at)
            set_failures(connection, pair_key, FailureCount(counted(of_both, at) + 1, at))
            before = counted(lock_failures(connection, account_key, at), at)
            set_failures(connection, account_key, FailureCount(before + 1, at))
        delayed = before >= FREE_PER_ACCOUNT and not is_known
        delay = ACCOUNT_DELAY if delayed else 0.0
        return LoginDecision(delay=delay, at=at, last=failures.last)

    def knows(self, source: str, account: str) -> bool:
        """Return True if the last attempt of a source (network) at an account succeeded.

        Attempts of such a source are not delayed, even if others guess the account's password.
        """
        with self._lock:
            return _key(source, account) in self._signed_in

    def failed(self, source: str, account: str, now: datetime) -> bool:
        """Record that a password was wrong: the source is no longer known at the account.

        The next attempts of the source can therefore be delayed. The failure itself is not counted
        here, because ``begin`` has already counted it.

        Args:
            source: the network of the client.
            account: the name that was sent.
            now: the current time.

        Returns:
            True if the failure is to be written to the audit log; False if this minute's limit of
            such entries is reached.
        """
        with self._lock:
            self._signed_in.pop(_key(source, account), None)
            return self._audit_limit.allows(now)

    def succeeded(self, source: str, account: str, decision: LoginDecision) -> None:
        """Record that a password was correct: withdraw the failures that were counted before.

        All failures of the source at this account are withdrawn. Of the account's failures, only
        one is withdrawn: ``begin`` counted it for this attempt. The failures of the source at other
        accounts still count, until they expire. From now on, attempts of the source at this account
        are not delayed.

        Args:
            source: the network of the client.
            account: the name that was sent.
            decision: the result of ``begin`` for this attempt.
        """
        with self._store.write() as connection:
            clear_failures(connection, *_keys(source, account), decision.at, decision.last)
        with self._lock:
            self._signed_in[_key(source, account)] = None
            while len(self._signed_in) > MAX_SIGNED_IN:
                self._signed_in.popitem(last=False)


class TokenThrottle:
    """Counts wrong tokens by source, in memory. Threads may share it.

    A *source* is the network of a client. A client can't guess a token, because its secret has 256
    random bits. The only purpose of the throttle is to save the work of hashing many wrong secrets.
    So each process can count separately.
    """

    def __init__(self) -> None:
        self._sources: OrderedDict[str, FailureCount] = OrderedDict()
        self._audit_limit = AuditLimit()
        self._lock = threading.Lock()

    def wait(self, source: str, now: datetime) -> float:
        """Return the seconds to wait before a token from this source is checked; 0 for none.

        The source is the network of the client. It has to wait only after many wrong tokens.
        """
        with self._lock:
            return max(0.0, wait_after(self._sources.get(source), now.timestamp()))

    def failed(self, source: str, now: datetime) -> bool:
        """Record that a token was wrong, and decide whether this is written to the audit log.

        ``source`` is the network of the client.

        Returns:
            True if it is to be written; False if this minute's limit of such entries is reached.
        """
        at = now.timestamp()
        with self._lock:
            self._sources[source] = FailureCount(counted(self._sources.get(source), at) + 1, at)
            self._sources.move_to_end(source)
            while len(self._sources) > MAX_SOURCES:
                self._sources.popitem(last=False)
            return self._audit_limit.allows(now)

    def succeeded(self, source: str) -> None:
        """Record that a token was correct, and forget earlier failures of its source (network)."""
        with self._lock:
            self._sources.pop(source, None)


class AuditLimit:
    """Limits how many failures are written to the audit log in a minute. Not thread-safe.

    A failure is a failed login or a wrong token.
    """

    def __init__(self) -> None:
        self._count = 0
        self._since = 0.0

    def allows(self, now: datetime) -> bool:
        """Count a failed login or a wrong token, and decide whether it is written to the audit log.

        Returns:
            True if it is to be written; False if this minute's limit of such entries is reached.
        """
        at = now.timestamp()
        if not 0 <= at - self._since < 60:
            self._count, self._since = 0, at
        self._count += 1
        return self._count <= AUDITED_PER_MINUTE


def counted(failures: FailureCount | None, at: float) -> int:
    """Return the number of failures that have not expired at ``at``, in Unix seconds.

    The result is 0 if ``failures`` is None. The failures expire together, ``FAILURES_KEPT`` seconds
    after the last one. If the last failure is that far in the future, the clock was wrong when it
    was counted, and the result is 0, too.
    """
    if failures is None or abs(at - failures.last) >= FAILURES_KEPT:
        return 0
    return failures.count


def wait_after(failures: FailureCount | None, at: float) -> float:
    """Return the seconds for which a client network must wait after wrong passwords or tokens.

    ``failures`` are those of the network, None if there are none; ``at`` is the current time, in
    Unix seconds. The result is 0 or less if the network need not wait.
    """
    over = counted(failures, at) - FREE_PER_SOURCE
    if failures is None or over < 0:
        return 0.0
    wait: float = min(2.0**over, MAX_WAIT)
    return wait - max(at - failures.last, 0.0)


def _keys(source: str, account: str) -> tuple[bytes, bytes, bytes]:
    """Return the database keys of three counters of failures.

    They count the failures of a source (the network of a client), of this source at this account,
    and of all sources at this account.
    """
    return _key("source", source), _key("pair", source, account), _key("account", account)


def _key(*parts: str) -> bytes:
    """Return a digest of fixed size as the key of a counter.

    ``parts`` are the texts that identify the counter, such as a network and an account's name.
    """
    return hashlib.blake2b("\0".join(parts).encode(errors="replace"), digest_size=16).digest()
