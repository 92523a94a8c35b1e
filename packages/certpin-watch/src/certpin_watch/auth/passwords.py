"""Passwords and the secrets of tokens, as Argon2id keeps them (RFC 9106)."""

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

if TYPE_CHECKING:
    from collections.abc import Iterator

# NIST SP 800-63B-4, 3.1.1.2: fifteen characters where a password is all that is asked for.
SHORTEST = 15
LONGEST = 256  # characters; more is work for the hash function and nothing for safety
# Guesses that an attacker needs who knows lists of leaked passwords, words, names, dates, keyboards
# and repetitions, as zxcvbn counts them (Wheeler, USENIX Security 2016): its highest score.
_FEWEST_GUESSES = 10**10
# Characters that are counted: time grows with the square, and a longer password is no weaker.
_COUNTED = 100

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


# Tests put cheap ones here (tests/watch/auth/conftest.py); no setting does.
PASSWORDS = Hasher(_PASSWORDS)
TOKENS = Hasher(_TOKENS)


def normal(password: str) -> str:
    """A password in the form that is hashed: keyboards write one letter in several ways (NFC)."""
    return unicodedata.normalize("NFC", password)


def accept(password: str, name: str, service: str = "") -> str:
    """Return a new password in the form that is hashed.

    NIST SP 800-63B-4, 3.1.1.2: it is compared with leaked and common passwords, and with the names
    of the user and of the service; no kinds of characters are demanded. The lists come with the
    package zxcvbn: no network is needed, and a leak that is newer than it isn't known.

    Args:
        password: as it was typed.
        name: of the account.
        service: the address at which the service is reached, if it is known.

    Raises:
        InputError: the password is too short, too long or too easy to guess. It isn't in the text.
    """
    text = normal(password)
    for wrong in _wrong(text, [name, service]):
        raise InputError(wrong, fix=f"take {SHORTEST} characters or more: four words, say")
    return text


def _wrong(text: str, names: list[str]) -> Iterator[str]:
    if len(text) < SHORTEST:
        yield f"the password has fewer than {SHORTEST} characters"
    if len(text) > LONGEST:
        yield f"the password has more than {LONGEST} characters"
    if _guesses(text, names) < _FEWEST_GUESSES:
        yield (
            "the password is too easy to guess: it is a leaked or common one, repeats itself, or "
            "is made of the name of the account or of the service"
        )


def _guesses(text: str, names: list[str]) -> float:
    """Return how many guesses a password takes, by its first characters."""
    # Here, since its lists take memory and time, and new passwords are rare.
    from zxcvbn import zxcvbn  # type: ignore[import-untyped]  # it ships no types

    # Whole names, the hosts of addresses, and each word of them.
    apart = ((name, *re.split(r"[/:@]+", name), *re.split(r"\W+", name)) for name in names)
    known = ["certpin", "certificate", "pinning", "monitoring", *filter(None, chain(*apart))]
    return float(zxcvbn(text[:_COUNTED], user_inputs=known, max_length=_COUNTED)["guesses"])
