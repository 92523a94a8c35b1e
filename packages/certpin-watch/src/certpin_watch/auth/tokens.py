"""Tokens of programs: creation, and verification of their secrets.

``permissions`` defines the text of a token, ``store.tokens`` has the statements. A token is found
by its ID, and its secret is verified with Argon2.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from certpin.errors import ConfigError, InputError
from certpin_watch.auth import passwords
from certpin_watch.permissions import SCOPES, check_location, location_of, new_token, token_text
from certpin_watch.store.tokens import Token, add_token

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy import Connection

MAX_VERIFIED = 1024  # tokens that are remembered
VERIFIED_SECONDS = 900.0
_MAX_NAME = 80  # characters


def make_token(
    connection: Connection,
    name: str,
    scopes: Collection[str],
    *,
    by: str,
    now: datetime,
    until: datetime | None = None,
) -> tuple[str, str]:
    """Create a token with the given scopes, and store the hash of its secret.

    Args:
        connection: a write transaction.
        name: its purpose, for users.
        scopes: some of ``SCOPES``, or the only scope of a worker.
        by: the user who creates it.
        now: the current time.
        until: when the token expires; None for never.

    Returns:
        The token's ID, and the token itself, which can't be shown again.

    Raises:
        InputError: the name or the scopes are invalid.
    """
    _check(name, scopes)
    token_id, secret = new_token()
    token = Token(
        id=token_id,
        name=name,
        secret=passwords.TOKEN_HASHER.hash(secret),
        scopes=frozenset(scopes),
        made_by=by,
        made_at=int(now.timestamp()),
        until=None if until is None else int(until.timestamp()),
    )
    add_token(connection, token)
    return token_id, token_text(token_id, secret)


class VerifiedTokens:
    """A bounded cache of recently verified tokens, so that scrapes seldom compute Argon2.

    It contains keyed digests, no secrets; the key is random for each process. The token's row
    is read at each use nevertheless, so a revoked token is refused at once. Threads may share it.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._until: OrderedDict[bytes, float] = OrderedDict()
        self._lock = threading.Lock()

    def is_known(self, token: Token, secret: str, now: datetime) -> bool:
        """Return True if the cache contains this token with this secret. Fast."""
        with self._lock:
            return self._until.get(self._digest(token, secret), 0.0) > now.timestamp()

    def verify(self, token: Token, secret: str, now: datetime) -> bool:
        """Return True if the secret is that of the token, and cache that. Slow (Argon2)."""
        if not passwords.TOKEN_HASHER.matches(token.secret, secret):
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

        It depends on the stored hash, so a changed hash voids the entry. Clients can't choose
        digests, so the time of a look-up reveals nothing about them.
        """
        return hashlib.blake2b(f"{token.secret}\0{secret}".encode(), key=self._key).digest()


def _check(name: str, scopes: Collection[str]) -> None:
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
