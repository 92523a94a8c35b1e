"""A disk of a few megabytes, which a test fills and frees while real servers write to it.

A file system in memory (tmpfs), in a separate mount namespace: no other process sees it, and it
is removed with the process that holds it. When it is full, writes fail with ``ENOSPC``.
"""

from __future__ import annotations

import contextlib
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers._run import ServerFailedError, end, ordinary

if TYPE_CHECKING:
    from collections.abc import Iterator

_BALLAST = "ballast"
_PIECE = 4096
_HOLD = 'mount -t tmpfs -o "size=$1" certpin "$2" && chmod 777 "$2" && echo ready && exec sleep 900'


@dataclass(frozen=True)
class Disk:
    """``path`` is the mount point for programs started with ``inside``; tests use ``outside``."""

    path: Path
    holder: int

    @property
    def outside(self) -> Path:
        """The path of the same files from outside of the namespace."""
        return Path(f"/proc/{self.holder}/root{self.path}")

    def inside(self, *, drop_root: bool = False) -> list[str]:
        """Return the words that start a command in the namespace of this disk."""
        words = ["nsenter", f"--mount=/proc/{self.holder}/ns/mnt"]
        user, group = ordinary(drop_root=drop_root)
        if user is None:
            return [*words, f"--wdns={Path.cwd()}"]  # it would begin in the root directory
        return [*words, f"--setuid={user}", f"--setgid={group}"]

    def fill(self) -> None:
        """Fill the free space."""
        ballast = (self.outside / _BALLAST).open("ab", buffering=0)
        with ballast, contextlib.suppress(OSError):
            while ballast.write(bytes(_PIECE)):
                pass

    def free(self) -> None:
        """Free it again."""
        (self.outside / _BALLAST).unlink()


def allowed() -> bool:
    """Return True if this machine allows such a disk."""
    argv = ["unshare", "--mount", "mount", "-t", "tmpfs", "certpin", "/tmp"]
    try:
        return not subprocess.run(argv, capture_output=True, check=False).returncode
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def small_disk(path: Path, size: int) -> Iterator[Disk]:
    """Mount a disk of this many bytes at ``path``, an existing folder; see ``allowed``."""
    argv = ["unshare", "--mount", "sh", "-c", _HOLD, "sh", str(size), str(path)]
    holder = subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True)
    assert holder.stdout is not None
    try:
        if holder.stdout.readline() != b"ready\n":
            raise ServerFailedError(f"no disk at {path}")
        yield Disk(path, holder.pid)
    finally:
        end(holder)
        holder.stdout.close()
