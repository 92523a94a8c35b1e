"""Passwords and tokens: making, hashing and checking them, and limits on guessing them.

Both are hashed with Argon2id (RFC 9106), with different parameters. The module ``permissions``
defines the text of a token, and ``store.accounts`` has the SQL statements. The text of a token
contains an ID, by which the token is found in the database.

A *source* is the network of a client. Each time that a source fails again after too many failures,
it has to wait longer. ``LoginThrottle`` counts wrong passwords in the database, ``TokenThrottle``
wrong tokens in memory.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
import unicodedata
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

from argon2 import Parameters, PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from certpin.errors import ConfigError, InputError
from certpin_watch.permissions import SCOPES, check_location, location_of, new_token, token_text
from certpin_watch.store.accounts import PasswordHash, Token, add_token
from certpin_watch.store.sessions import (
    FAILURES_KEPT,
    FailureCount,
    clear_failures,
    lock_failures,
    set_failures,
    sweep_failures,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from sqlalchemy import Connection

    from certpin_watch.store import Store
    from certpin_watch.store.accounts import Account

# NIST SP 800-63B-4, 3.1.1.2: fifteen characters if the password is the only factor.
MIN_LENGTH = 15
MAX_LENGTH = 256  # characters; more of them cost time and add no security
# Guesses that an attacker needs who knows lists of leaked passwords, words, names, dates, keyboards
# and repetitions, as zxcvbn counts them (Wheeler, USENIX Security 2016): its highest score.
_MIN_GUESSES = 10**10
# Characters that zxcvbn reads: its time grows with their square, and more can't make a password
# weaker.
_MAX_RATED = 100

# RFC 9106, 4: the second recommended option, 64 MiB.
PASSWORD_PARAMETERS = RFC_9106_LOW_MEMORY
# The secret of a token has 256 random bits, which can't be guessed even if a guess is cheap. Any
# client that knows the ID of a token can make the service compute this hash, so it is cheap.
TOKEN_PARAMETERS = Parameters(
    type=Type.ID,
    version=19,
    salt_len=16,
    hash_len=32,
    time_cost=1,
    memory_cost=8 * 1024,
    parallelism=1,
)
# Each computation takes 64 MiB: more in parallel would let clients use up the machine's memory.
MAX_PARALLEL = 2

MAX_VERIFIED = 1024  # tokens that are remembered
VERIFIED_SECONDS = 900.0
_MAX_NAME = 80  # characters of a token's name

FREE_PER_SOURCE = 5  # failures before a source has to wait
MAX_WAIT = 60.0  # seconds for a source
FREE_PER_ACCOUNT = 20  # failures of all sources before new sources are delayed
ACCOUNT_DELAY = 2.0  # seconds for each attempt at an account that is under attack
MAX_SIGNED_IN = 10_000  # pairs of source and account that are remembered
MAX_SOURCES = 10_000  # sources of wrong tokens that are remembered
AUDITED_PER_MINUTE = 30  # failures that are audited, so that no client can fill the disk
_SWEPT = 50  # outdated rows that are deleted at each attempt


class Hasher:
    """Hashes passwords and secrets of tokens with Argon2id. Thread-safe.

    At most two threads hash at the same time, because each hash needs much memory.

    Args:
        parameters: the parameters of Argon2id, such as the memory it uses.
    """

    def __init__(self, parameters: Parameters) -> None:
        self._argon2 = PasswordHasher.from_parameters(parameters)
        self._turns = threading.BoundedSemaphore(MAX_PARALLEL)

    def hash(self, secret: str) -> str:
        """Return the Argon2 hash of a secret, as text that also contains the parameters. Slow."""
        with self._turns:
            return self._argon2.hash(secret)

    def matches(self, hashed: str, secret: str) -> bool:
        """Return True if ``hashed`` is the hash of the secret. Slow.

        If ``hashed`` is not a valid hash, return False.
        """
        with self._turns:
            try:
                return self._argon2.verify(hashed, secret)
            except (VerificationError, InvalidHashError):
                return False

    def match_unknown(self, secret: str) -> None:
        """Take as long as a check of a password, for a login with a name that no account has.

        ``secret`` is compared with a fixed hash, and the result is ignored. A faster response would
        show that there is no such account.
        """
        self.matches(self._unknown, secret)

    def is_outdated(self, hashed: str) -> bool:
        """Return True if a hash has other Argon2id parameters than this object uses."""
        return self._argon2.check_needs_rehash(hashed)

    @cached_property
    def _unknown(self) -> str:
        return self._argon2.hash("nobody")


# Only tests replace these, with cheap ones (tests/watch/auth/conftest.py); there is no setting.
PASSWORD_HASHER = Hasher(PASSWORD_PARAMETERS)
TOKEN_HASHER = Hasher(TOKEN_PARAMETERS)


def hash_new_password(password: str, account: str, service: str = "") -> PasswordHash:
    """Check that a new password is long and hard to guess, and return its Argon2 hash. Slow.

    NIST SP 800-63B-4, 3.1.1.2: the password is compared with leaked and common passwords, and with
    the names of the account and of the service; no kinds of characters are required. The lists come
    with the package zxcvbn: no network is needed, and leaks newer than the package are unknown.

    Args:
        password: as the user typed it.
        account: the name of the account.
        service: the address at which users reach the service, if it is known.

    Raises:
        InputError: the password is too short, too long or too easy to guess. The message doesn't
            contain the password.
    """
    text = _normal(password)
    for problem in _problems(text, [account, service]):
        raise InputError(problem, fix=f"use {MIN_LENGTH} characters or more: four words, say")
    return PasswordHash(PASSWORD_HASHER.hash(text))


def check_password(account: Account | None, password: str) -> bool:
    """Return True if ``password`` is the password of the account. Slow.

    If ``account`` is None (there is no account with the name), return False, but as slowly as for a
    wrong password.
    """
    # A longer password was never accepted; hashing it would only cost time.
    text = _normal(password[: MAX_LENGTH + 1])
    if account is None:
        PASSWORD_HASHER.match_unknown(text)
        return False
    return PASSWORD_HASHER.matches(account.password, text)


def rehash_password(account: Account, password: str) -> PasswordHash | None:
    """Return a new hash of an account's correct password, to replace an outdated stored hash. Slow.

    If the stored hash has the current Argon2id parameters, return None.
    """
    if not PASSWORD_HASHER.is_outdated(account.password):
        return None
    return PasswordHash(PASSWORD_HASHER.hash(_normal(password)))


def _normal(password: str) -> str:
    """Return a password normalised to NFC, because keyboards encode one letter in several ways."""
    return unicodedata.normalize("NFC", password)


def _problems(text: str, names: list[str]) -> Iterator[str]:
    if len(text) < MIN_LENGTH:
        yield f"the password has fewer than {MIN_LENGTH} characters"
    if len(text) > MAX_LENGTH:
        yield f"the password has more than {MAX_LENGTH} characters"
    if _guesses(text, names) < _MIN_GUESSES:
        yield (
            "the password is too easy to guess: it is leaked or common, repeats itself, or is "
            "made of the name of the account or of the service"
        )


def _guesses(text: str, names: list[str]) -> float:
    # Imported here because its lists take memory and time, and new passwords are rare.
    from zxcvbn import zxcvbn  # type: ignore[import-untyped]  # it ships no types

    # Whole names, the hosts of addresses, and each word of them.
    apart = ((name, *re.split(r"[/:@]+", name), *re.split(r"\W+", name)) for name in names)
    known = ["certpin", "certificate", "pinning", "monitoring", *filter(None, chain(*apart))]
    return float(zxcvbn(text[:_MAX_RATED], user_inputs=known, max_length=_MAX_RATED)["guesses"])


def make_token(
    connection: Connection,
    name: str,
    scopes: Collection[str],
    *,
    by: str,
    now: datetime,
    until: datetime | None = None,
) -> tuple[str, str]:
    """Create a token for a program or worker, and store the hash of its secret.

    Args:
        connection: a write transaction.
        name: the purpose of the token, for users.
        scopes: scopes in ``SCOPES`` for a program, or the only scope of a worker.
        by: the user who creates it.
        now: the current time.
        until: when the token expires; None for never.

    Returns:
        The token's ID, and the token itself, which can't be shown again.

    Raises:
        InputError: the name or the scopes are invalid.
    """
    _check_token(name, scopes)
    token_id, secret = new_token()
    token = Token(
        id=token_id,
        name=name,
        secret=TOKEN_HASHER.hash(secret),
        scopes=frozenset(scopes),
        made_by=by,
        made_at=int(now.timestamp()),
        until=None if until is None else int(until.timestamp()),
    )
    add_token(connection, token)
    return token_id, token_text(token_id, secret)


class VerifiedTokens:
    """A bounded cache of recently verified tokens, so that Argon2 does not slow down each request.

    The cache contains no secrets. It contains digests of them, made with a key that is random for
    each process. Callers still read the token's row from the store for each request, so that a
    revoked token is refused at once. Threads may share the cache.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._until: OrderedDict[bytes, float] = OrderedDict()
        self._lock = threading.Lock()

    def is_known(self, token: Token, secret: str, now: datetime) -> bool:
        """Return True if the cache contains this token and secret as recently verified. Fast."""
        with self._lock:
            return self._until.get(self._digest(token, secret), 0.0) > now.timestamp()

    def verify(self, token: Token, secret: str, now: datetime) -> bool:
        """Return True if this is the token's secret; a True result is cached. Slow (Argon2)."""
        if not TOKEN_HASHER.matches(token.secret, secret):
            return False
        digest = self._digest(token, secret)
        with self._lock:
            self._until[digest] = now.timestamp() + VERIFIED_SECONDS
            self._until.move_to_end(digest)
            while len(self._until) > MAX_VERIFIED:
                self._until.popitem(last=False)
        return True

    def _digest(self, token: Token, secret: str) -> bytes:
        """Return the cache key of a token and a secret.

        The key depends on the stored hash of the token, so that a cache entry is void if the hash
        changes. Clients can't compute the key, so the time of a look-up reveals nothing about the
        secret.
        """
        return hashlib.blake2b(f"{token.secret}\0{secret}".encode(), key=self._key).digest()


def _check_token(name: str, scopes: Collection[str]) -> None:
    if not name or len(name) > _MAX_NAME or not name.isprintable():
        raise InputError(
            "a token needs a printable name", fix=f"use {_MAX_NAME} characters at most"
        )
    if location := location_of(frozenset(scopes)):
        try:
            check_location(location, "")
        except ConfigError as exc:
            raise InputError(exc.problem, fix=exc.fix) from exc
    elif not scopes or set(scopes) - set(SCOPES):
        raise InputError("a token needs valid scopes", fix=f"use some of {', '.join(SCOPES)}")


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
        """Return True if the last attempt of a source (network) at an account succeeded."""
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
        """Return the seconds to wait before a token from this source is checked; 0 for none."""
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
