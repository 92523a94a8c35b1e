"""Whether the store takes what it is given: seen in what is written anyhow, and never by trying.

A disk that is full is still read, so that pages and ``/readyz`` would look calm while every report
is refused. Small writes may still go through there, as large ones fail.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from certpin.errors import StoreError

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

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note how the block ends."""
        try:
            yield
        except StoreError as exc:
            if exc.reason in UNSEEN:
                self._failed, self._over = (exc.reason, self._clock()), False
            raise
        self._over = True

    @property
    def reason(self) -> str:
        """The word for why nothing can be written (``REASONS``); empty where it can, or may."""
        if self._failed is None:
            return ""
        reason, at = self._failed
        return "" if self._over and self._clock() - at > _LATELY else reason
