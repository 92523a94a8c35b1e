"""One refresh at a time in one folder, however many processes share it.

``tuf.ngclient`` says of itself that several at once in one folder are not supported. Where there
is no ``fcntl``, or the file system has no locks, whoever writes last wins: every file is written
whole, and everything is verified again when it is read.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from certpin.errors import UpdateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# None where this is no POSIX system.
fcntl: Any = import_module("fcntl") if find_spec("fcntl") else None

_LOOK = 0.05  # seconds between two looks, while another process refreshes


class FolderLock:
    """A file that the process which is refreshing holds. The kernel frees it, should that die."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: int | None = None

    @contextmanager
    def held(self, may_wait: Callable[[float], bool]) -> Iterator[None]:
        """Hold it for a block. ``may_wait(seconds)`` waits, and is false when the time is up.

        Raises ``UpdateError`` then. Where the folder cannot be written to, nothing is held: nothing
        can be written there either.
        """
        self._held = self._open()
        try:
            while not self._taken():
                if not may_wait(_LOOK):
                    raise _busy()
            yield
        finally:
            self._release()

    def _open(self) -> int | None:
        if fcntl is None:
            return None
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            return os.open(self._folder / "lock", flags, 0o600)
        return None

    def _taken(self) -> bool:
        if self._held is None:
            return True
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # this file system has no locks
            return True
        return True

    def _release(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            with suppress(OSError):
                fcntl.flock(held, fcntl.LOCK_UN)  # a child that was forked meanwhile has it too
            os.close(held)

    def forget(self) -> None:
        """In a child that was forked: what is held is the parent's, and stays so."""
        held, self._held = self._held, None
        if held is not None:
            os.close(held)


def _busy() -> UpdateError:
    return UpdateError(
        "another process is refreshing in the same folder, and does not end",
        reason="busy",
        fix="wait for it, or give each app a folder of its own",
    )
