"""Passwords: checks of new ones, and hashing and verification (Argon2id, RFC 9106).

The secrets of tokens are hashed here too, with other parameters.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

from argon2 import Parameters, PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from certpin.errors import InputError
from certpin_watch.store.accounts import PasswordHash

if TYPE_CHECKING:
    from collections.abc import Iterator

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


class Hasher:
    """Hashes secrets by Argon2id with fixed parameters. Thread-safe; two run at a time."""

    def __init__(self, parameters: Parameters) -> None:
        self._argon2 = PasswordHasher.from_parameters(parameters)
        self._turns = threading.BoundedSemaphore(MAX_PARALLEL)

    def hash(self, secret: str) -> str:
        """Return the Argon2 hash of a secret as text, which contains the parameters. Slow."""
        with self._turns:
            return self._argon2.hash(secret)

    def matches(self, hashed: str, secret: str) -> bool:
        """Return True if ``hashed`` is the hash of the secret; False if it is invalid. Slow."""
        with self._turns:
            try:
                return self._argon2.verify(hashed, secret)
            except (VerificationError, InvalidHashError):
                return False

    def match_unknown(self, secret: str) -> None:
        """Spend the time of checking a password, if no account has the name that was sent.

        Otherwise a fast answer would show that there is no such account.
        """
        self.matches(self._unknown, secret)

    def is_outdated(self, hashed: str) -> bool:
        """Return True if a hash was computed with other parameters than the current ones."""
        return self._argon2.check_needs_rehash(hashed)

    @cached_property
    def _unknown(self) -> str:
        return self._argon2.hash("nobody")


# Only tests replace these, with cheap ones (tests/watch/auth/conftest.py); there is no setting.
PASSWORD_HASHER = Hasher(PASSWORD_PARAMETERS)
TOKEN_HASHER = Hasher(TOKEN_PARAMETERS)


def hash_new_password(password: str, account: str, service: str = "") -> PasswordHash:
    """Check that a new password is long and hard to guess, and return its Argon2 hash. Slow.

    NIST SP 800-63B-4, 3.1.1.2: it is compared with leaked and common passwords, and with the names
    of the account and of the service; no kinds of characters are required. The lists come with the
    package zxcvbn: no network is needed, and leaks newer than the package are unknown.

    Args:
        password: as the user typed it.
        account: the name of the account.
        service: the address at which users reach the service, if it is known.

    Raises:
        InputError: the password is too short, too long or too easy to guess. The message doesn't
            contain it.
    """
    text = _normal(password)
    for problem in _problems(text, [account, service]):
        raise InputError(problem, fix=f"use {MIN_LENGTH} characters or more: four words, say")
    return PasswordHash(PASSWORD_HASHER.hash(text))


def check_password(account: Account | None, password: str) -> bool:
    """Return True if the password is that of the account. Slow.

    Without an account it takes as long as with one, and the result is False.
    """
    # A longer password was never accepted; hashing it would only cost time.
    text = _normal(password[: MAX_LENGTH + 1])
    if account is None:
        PASSWORD_HASHER.match_unknown(text)
        return False
    return PASSWORD_HASHER.matches(account.password, text)


def rehash_password(account: Account, password: str) -> PasswordHash | None:
    """Hash a correct password again if its hash is outdated; return None if it isn't. Slow."""
    if not PASSWORD_HASHER.is_outdated(account.password):
        return None
    return PasswordHash(PASSWORD_HASHER.hash(_normal(password)))


def _normal(password: str) -> str:
    """Normalise a password to NFC, because keyboards encode one letter in several ways."""
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
