"""Tokens that were right a moment ago, so that each scrape does not compute Argon2 again.

What is remembered is no secret: a keyed digest, whose key is made when the process starts. The row
of the token is read at each use all the same: one that is revoked ends at once.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from certpin_watch.auth import passwords

if TYPE_CHECKING:
    from datetime import datetime

MOST = 1024
SECONDS = 900.0


class Verified:
    """A bounded memory of tokens that matched. Threads may share it."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._until: OrderedDict[bytes, float] = OrderedDict()
        self._lock = threading.Lock()

    def remembers(self, kept: str, secret: str, now: datetime) -> bool:
        """Whether this secret matched Argon2's text not long ago. Quick."""
        with self._lock:
            return self._until.get(self._mark(kept, secret), 0.0) > now.timestamp()

    def matches(self, kept: str, secret: str, now: datetime) -> bool:
        """Whether it is the secret, and remember it if it is. Slow."""
        if not passwords.TOKENS.matches(kept, secret):
            return False
        mark = self._mark(kept, secret)
        with self._lock:
            self._until[mark] = now.timestamp() + SECONDS
            self._until.move_to_end(mark)
            while len(self._until) > MOST:
                self._until.popitem(last=False)
        return True

    def _mark(self, kept: str, secret: str) -> bytes:
        """Both, so that what is remembered ends when the text in the database changes.

        It is looked up among keys that nobody can choose, so that the time of it says nothing.
        """
        return hashlib.blake2b(f"{kept}\0{secret}".encode(), key=self._key).digest()
