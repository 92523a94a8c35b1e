"""Passwords and the secrets of tokens, as Argon2id keeps them (RFC 9106)."""

from __future__ import annotations

import threading
import unicodedata
from functools import cached_property
from typing import TYPE_CHECKING

from argon2 import Parameters, PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from certpin.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

# NIST SP 800-63B-4, 3.1.1.2: fifteen characters where a password is all that is asked for.
SHORTEST = 15
LONGEST = 256  # characters; more is work for the hash function and nothing for safety
_FEWEST_DIFFERENT = 5

# RFC 9106, 4: the second recommended option, 64 MiB.
_PASSWORDS = RFC_9106_LOW_MEMORY
# The secret of a token has 256 random bits, which nobody guesses however cheap a guess is. Argon2
# is asked for little there, since every stranger who knows the id of a token can have it computed.
_TOKENS = Parameters(
    type=Type.ID,
    version=19,
    salt_len=16,
    hash_len=32,
    time_cost=1,
    memory_cost=8 * 1024,
    parallelism=1,
)
# Each of them takes 64 MiB: more at once would let strangers take the memory of the machine.
AT_ONCE = 2


class Hasher:
    """Argon2id with fixed parameters. Threads may share it; two at a time compute."""

    def __init__(self, parameters: Parameters) -> None:
        self._argon2 = PasswordHasher.from_parameters(parameters)
        self._turns = threading.BoundedSemaphore(AT_ONCE)

    def hash(self, secret: str) -> str:
        """Argon2's text, which says its own parameters."""
        with self._turns:
            return self._argon2.hash(secret)

    def matches(self, kept: str, secret: str) -> bool:
        """Whether this is the secret. What is no text of Argon2 matches nothing."""
        with self._turns:
            try:
                return self._argon2.verify(kept, secret)
            except (VerificationError, InvalidHashError):
                return False

    def matches_nobody(self, secret: str) -> None:
        """Work as hard as for somebody, so that the time does not tell who exists."""
        self.matches(self._nobody, secret)

    def is_old(self, kept: str) -> bool:
        """Whether it was made with other parameters."""
        return self._argon2.check_needs_rehash(kept)

    @cached_property
    def _nobody(self) -> str:
        return self._argon2.hash("nobody")


# Tests put cheap ones here (tests/watch/access/conftest.py); no setting does.
PASSWORDS = Hasher(_PASSWORDS)
TOKENS = Hasher(_TOKENS)


def normal(password: str) -> str:
    """A password in the form that is hashed: keyboards write one letter in several ways (NFC)."""
    return unicodedata.normalize("NFC", password)


def accept(password: str, name: str) -> str:
    """A new password in the form that is hashed. Raises ``InputError``, without it."""
    text = normal(password)
    for wrong in _wrong(text, name):
        raise InputError(wrong, fix=f"take {SHORTEST} characters or more: four words, say")
    return text


def _wrong(text: str, name: str) -> Iterator[str]:
    if len(text) < SHORTEST:
        yield f"the password has fewer than {SHORTEST} characters"
    if len(text) > LONGEST:
        yield f"the password has more than {LONGEST} characters"
    if len(set(text)) < _FEWEST_DIFFERENT:
        yield "the password repeats the same few characters"
    if name and name.casefold() in text.casefold() and len(text) - len(name) < SHORTEST // 2:
        yield "the password is little more than the name"
