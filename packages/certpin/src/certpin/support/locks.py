"""Lock open files between processes (flock(2)); the operating system releases the locks at exit.

The locks are advisory: they have no effect on programs that don't lock the file too. On a system
without ``fcntl``, and on a file system without locks, every lock is granted. Callers replace each
file as a whole and verify its content when they read it. So without locks, the worst case is that
one of two concurrent updates is lost.
"""

from __future__ import annotations

import os
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from typing import Any

_fcntl: Any = import_module("fcntl") if find_spec("fcntl") else None  # none on Windows


def available() -> bool:
    """Return True if this system has file locks. If not, callers need no lock file."""
    return _fcntl is not None


def try_lock(descriptor: int) -> bool:
    """Try to lock an open file or folder, without waiting.

    Returns:
        True if it is locked now, or locks are not available; False if another process, or another
        open descriptor in this process, has locked it.
    """
    if _fcntl is not None:
        try:
            _fcntl.flock(descriptor, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True  # this file system has no locks
    return True


def lock(descriptor: int) -> None:
    """Lock an open file or folder. Waits until no other process has locked it."""
    if _fcntl is not None:
        with suppress(OSError):  # this file system has no locks
            _fcntl.flock(descriptor, _fcntl.LOCK_EX)


def unlock_and_close(descriptor: int) -> None:
    """Release the lock of an open file, and close the file.

    To close the file is not enough if the process has forked: a child that inherited the file would
    keep the lock. A child that closes an inherited file without unlocking it does not release the
    lock of its parent.
    """
    if _fcntl is not None:
        with suppress(OSError):
            _fcntl.flock(descriptor, _fcntl.LOCK_UN)
    os.close(descriptor)
