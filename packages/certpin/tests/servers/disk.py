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
    """A small file system, mounted in its own mount namespace.

    ``path`` is its mount point for programs that are started with ``inside()``; the test itself
    uses ``outside``. ``holder`` is the ID of the process that keeps the namespace.
    """

    path: Path
    holder: int

    @property
    def outside(self) -> Path:
        """The path at which processes outside the namespace reach the disk's files."""
        return Path(f"/proc/{self.holder}/root{self.path}")

    def inside(self, *, drop_root: bool = False) -> list[str]:
        """Return the beginning of a command line that runs a command in this disk's namespace.

        Args:
            drop_root: run the command as an ordinary user if the tests run as root.
        """
        words = ["nsenter", f"--mount=/proc/{self.holder}/ns/mnt"]
        user, group = ordinary(drop_root=drop_root)
        if user is None:
            return [*words, f"--wdns={Path.cwd()}"]  # it would begin in the root directory
        return [*words, f"--setuid={user}", f"--setgid={group}"]

    def fill(self) -> None:
        """Fill all free space of the disk with one file, so that later writes fail."""
        ballast = (self.outside / _BALLAST).open("ab", buffering=0)
        with ballast, contextlib.suppress(OSError):
            while ballast.write(bytes(_PIECE)):
                pass

    def free(self) -> None:
        """Delete the file that ``fill`` wrote, so that there is free space again."""
        (self.outside / _BALLAST).unlink()


def allowed() -> bool:
    """Return True if this machine allows mounting a file system in a new mount namespace."""
    argv = ["unshare", "--mount", "mount", "-t", "tmpfs", "certpin", "/tmp"]
    try:
        return not subprocess.run(argv, capture_output=True, check=False).returncode
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def small_disk(path: Path, size: int) -> Iterator[Disk]:
    """Mount a disk of ``size`` bytes at the existing folder ``path`` while the block runs.

    It works only on machines for which ``allowed`` returns True.
    """
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
