"""One refresh at a time in one folder, also if several processes share it.

``tuf.ngclient`` doesn't support several at once in one folder. Without locks (no ``fcntl``, or a
file system without them) the last writer wins: every file is written whole, and everything is
verified again when it is read.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from certpin.errors import UpdateError
from certpin.support import locks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_PAUSE = 0.05  # seconds between two attempts, while another process refreshes


class FolderLock:
    """A lock file that the refreshing process holds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: int | None = None

    @contextmanager
    def held(self, may_wait: Callable[[float], bool]) -> Iterator[None]:
        """Hold the lock for a block.

        If the folder is not writable, nothing is locked: nothing can be written there either.

        Args:
            may_wait: sleeps for the given seconds, and returns False when the time is up.

        Raises:
            UpdateError: another process held the lock until the time was up.
        """
        self._held = self._open()
        try:
            while self._held is not None and not locks.try_lock(self._held):
                if not may_wait(_PAUSE):
                    raise _busy()
            yield
        finally:
            held, self._held = self._held, None
            if held is not None:
                locks.unlock_and_close(held)

    def _open(self) -> int | None:
        if locks.available():
            with suppress(OSError):
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
                return os.open(self._folder / "lock", flags, 0o600)
        return None

    def forget(self) -> None:
        """Close the file in a forked child. The parent keeps the lock."""
        held, self._held = self._held, None
        if held is not None:
            os.close(held)


def _busy() -> UpdateError:
    return UpdateError(
        "another process is refreshing in the same folder, and has not finished",
        reason="busy",
        fix="wait for it, or give each app a separate folder",
    )
