"""Whether the store works, by the errors of the service's own reads and writes.

A full disk can still be read, and small writes may still succeed there while large ones fail.
Damage that was met once stays, by a read or by a write: nothing is written after that.
``durability.try_out`` looks for more.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from certpin.errors import StoreError
from certpin_watch.store.failures import store_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Reading does not tell of these. The others do: the database is away, busy or of another schema.
UNSEEN = frozenset({"full", "disk", "unwritable"})
_LATELY = 10.0  # seconds for which a failure counts although something was written since


class Trouble:
    """What became of the last writes of this process. Threads may share it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: tuple[str, float] | None = None
        self._over = True  # something was written since
        self._damaged = False

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note how the block ends, which writes.

        Raises:
            StoreError: damage was met before. A write may still succeed then, in pages that are
                intact, and be lost with the file.
        """
        if self._damaged:
            raise store_error("damaged")
        try:
            with self.damage_noted():
                yield
        except StoreError as exc:
            if exc.reason in UNSEEN:
                self._failed, self._over = (exc.reason, self._clock()), False
            raise
        self._over = True

    @contextmanager
    def damage_noted(self) -> Iterator[None]:
        """Note if the block, which may only read, meets damage."""
        try:
            yield
        except StoreError as exc:
            self._damaged |= exc.reason == "damaged"
            raise

    @property
    def reason(self) -> str:
        """The word for why the store doesn't work (``REASONS``); empty if it does, or may."""
        if self._damaged:
            return "damaged"  # until it was restored, and this process started again
        if self._failed is None:
            return ""
        reason, at = self._failed
        return "" if self._over and self._clock() - at > _LATELY else reason
