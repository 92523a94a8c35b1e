"""Passwords and tokens: making, hashing and checking them. ``throttle`` limits guesses of them.

Both are hashed with Argon2id (RFC 9106), with different parameters. The module ``permissions``
defines the text of a token, and ``store.accounts`` has the SQL statements. The text of a token
contains an ID, by which the token is found in the database.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
import unicodedata
from collections import OrderedDict
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

from argon2 import Parameters, PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from certpin.errors import ConfigError, InputError
from certpin_watch.permissions import SCOPES, check_location, location_of, new_token, token_text
from certpin_watch.store.accounts import PasswordHash, Token, add_token

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from sqlalchemy import Connection

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
        """Return True if a hash has other Argon2id parameters than this object uses.

        At the next login, a new hash of the same password replaces it.
        """
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
        """Return True if the cache contains this token and secret as recently verified. Fast.

        If not, the caller has to ``verify`` the secret, which is slow.
        """
        with self._lock:
            return self._until.get(self._digest(token, secret), 0.0) > now.timestamp()

    def verify(self, token: Token, secret: str, now: datetime) -> bool:
        """Return True if this is the token's secret; a True result is cached. Slow (Argon2).

        Not checked: whether the token has expired or is revoked (``Token.is_valid``).
        """
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
