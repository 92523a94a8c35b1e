"""Helpers for files: names, locks between processes, bytes as a file, the owner of a new file.

Locks are those of flock(2); the operating system releases them at exit. They are advisory: they
have no effect on programs that don't lock the file too. On a system without ``fcntl``, and on a
file system without locks, every lock is granted. Callers replace each file as a whole and verify
its content when they read it. So without locks, the worst case is that one of two concurrent
updates is lost.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_DESCRIPTORS = Path("/dev/fd")

_fcntl: Any = import_module("fcntl") if find_spec("fcntl") else None  # none on Windows


def is_plain(name: str) -> bool:
    """Return True if a file name is a relative path that never leaves its folder, on any system.

    So it has no part that is empty, ``.`` or ``..``, no backslash, colon or unprintable character.
    """
    parts = name.split("/")
    odd = "\\" in name or ":" in name or not name.isprintable()
    return not odd and not {"", ".", ".."} & set(parts)


def has_locks() -> bool:
    """Return True if this system has file locks. If not, callers need no lock file."""
    return _fcntl is not None


def try_lock(descriptor: int) -> bool:
    """Try to lock an open file or folder, without waiting.

    ``descriptor`` is its file descriptor.

    Returns:
        True if this call has locked the file, or if locks are not available. False if another
        process, or another open descriptor in this process, holds the lock.
    """
    if _fcntl is not None:
        try:
            _fcntl.flock(descriptor, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True  # this file system has no locks
    return True


def wait_for_lock(descriptor: int) -> None:
    """Lock an open file or folder; wait until no other process has locked it.

    ``descriptor`` is its file descriptor. If locks are not available, return at once without a
    lock.
    """
    if _fcntl is not None:
        with suppress(OSError):  # this file system has no locks
            _fcntl.flock(descriptor, _fcntl.LOCK_EX)


def unlock_and_close(descriptor: int) -> None:
    """Release the lock of an open file, and close the file.

    ``descriptor`` is its file descriptor. The file is unlocked and not only closed: if the process
    has forked, a child that inherited the file would keep the lock. A child must only close an
    inherited file, because unlocking it would release the lock of its parent.
    """
    if _fcntl is not None:
        with suppress(OSError):
            _fcntl.flock(descriptor, _fcntl.LOCK_UN)
    os.close(descriptor)


def open_lock_file(path: Path) -> int | None:
    """Open a lock file for the other functions. Create it and its folder if they are missing.

    Returns:
        The descriptor; None if the file can't be opened, or this system has no file locks.
    """
    if _fcntl is not None:
        with suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            return os.open(path, flags, 0o600)
    return None


@contextmanager
def as_file(content: bytes) -> Iterator[str]:
    """Context manager: make a file with this content, and yield its path.

    Open and read the file only once, because it may be a pipe.

    The content may be a private key, so the file is in memory (Linux) or is a pipe. But if the
    system has no paths for descriptors, such as Windows, or does not let this process use them, the
    file is on a disk until the block ends, in a temporary folder that only this user can read.
    """
    if _DESCRIPTORS.is_dir():
        descriptor = _open(content)
        try:
            path = str(_DESCRIPTORS / str(descriptor))
            if os.access(path, os.R_OK):  # not in a process that is not dumpable (proc(5))
                yield path
                return
        finally:
            os.close(descriptor)
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="certpin-") as folder:  # mode 0700
        file = Path(folder, "content")
        file.write_bytes(content)
        yield str(file)


def _open(content: bytes) -> int:
    """Return a descriptor from which the content can be read: of a file in memory, or a pipe."""
    if hasattr(os, "memfd_create"):
        # Forbidden by vm.memfd_noexec=2, by seccomp filters, and missing in old kernels.
        with suppress(OSError):
            descriptor = os.memfd_create("certpin")
            os.write(descriptor, content)
            return descriptor
    reader, writer = os.pipe()
    # In a thread: the content may be more than the buffer of the pipe holds.
    threading.Thread(target=_fill, args=(writer, content), daemon=True).start()
    return reader


def _fill(writer: int, content: bytes) -> None:
    with suppress(BrokenPipeError), os.fdopen(writer, "wb") as file:
        file.write(content)


class OwnerLostError(PermissionError):
    """The owner or the group of a replaced file could not read the new file."""


def keep_owner(descriptor: int, before: os.stat_result) -> None:
    """Give a new file the owner and the group of the file that it replaces.

    ``descriptor`` is that of the new file, and ``before`` the status of the old file. If this user
    is not allowed to set the owner or the group, no error is raised as long as the old owner and
    the old group can read the new file.

    Raises:
        OwnerLostError: the owner or the group of the old file could not read the new file.
    """
    for owner in ((-1, before.st_gid), (before.st_uid, -1)):  # a member may set only the group
        with suppress(OSError):
            os.fchown(descriptor, *owner)
    new = os.fstat(descriptor)
    has_group = new.st_gid == before.st_gid
    group_reads = bool(before.st_mode & stat.S_IRGRP)
    # root reads every file.
    owner_reads = before.st_uid in {0, new.st_uid} or (
        has_group and group_reads and _is_member(before.st_uid, before.st_gid)
    )
    if before.st_mode & stat.S_IROTH or (owner_reads and (has_group or not group_reads)):
        return
    raise OwnerLostError(errno.EPERM, "its owner or group could not read it any more")


def _is_member(user: int, group: int) -> bool:
    import pwd  # not on Windows

    try:
        entry = pwd.getpwuid(user)
    except KeyError:
        return False
    return group in os.getgrouplist(entry.pw_name, entry.pw_gid)
