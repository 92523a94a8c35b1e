"""Keep the owner and the group of a file that a new file replaces."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress


class OwnerLostError(PermissionError):
    """A file would no longer belong to its owner or group, who could then not read it."""


def keep_owner(descriptor: int, before: os.stat_result) -> None:
    """Give a new file the owner and the group of the file that it replaces.

    Raises:
        OwnerLostError: this user may not do that, and the owner or the group could not read the
            new file.
    """
    for owner in ((-1, before.st_gid), (before.st_uid, -1)):  # a member may set only the group
        with suppress(OSError):
            os.fchown(descriptor, *owner)
    new = os.fstat(descriptor)
    has_group = new.st_gid == before.st_gid
    group_reads = bool(before.st_mode & stat.S_IRGRP)
    owner_reads = new.st_uid == before.st_uid or (
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
