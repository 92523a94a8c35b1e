"""The real peers of the tests: the list of all, and those that this machine has."""

from __future__ import annotations

import functools
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from scripts import dart

_LIST = Path(__file__).parent.parent / "requirements" / "debian.txt"
# Debian installs servers in folders that are not in an ordinary user's PATH.
_SERVERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")


@dataclass(frozen=True)
class Peer:
    """A line of requirements/debian.txt: a program (or the path of a file) and its package."""

    program: str
    package: str

    @property
    def fix(self) -> str:
        """The command that installs it."""
        return f"apt-get install {self.package}"

    def find(self) -> Path | None:
        """Return its path on this machine, or ``None``."""
        path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_SERVERS))
        found = shutil.which(self.program, path=path)
        if found is None and Path(self.program).is_absolute() and Path(self.program).exists():
            found = self.program
        return Path(found) if found else None


class _Dart(Peer):
    """The Dart VMs, which are not a Debian package: every version of requirements/dart.txt."""

    @property
    def fix(self) -> str:
        """The command that installs them."""
        return "make dart"

    def find(self) -> Path | None:
        """Return the newest VM; ``None`` if a version is missing or can't run on this machine."""
        programs = [vm.program for vm in dart.read() if vm.installed]
        complete = dart.LOADER.exists() and len(programs) == len(dart.read())
        return programs[-1] if complete else None


def read() -> list[Peer]:
    """Return every peer that is a Debian package."""
    lines = _LIST.read_text(encoding="utf-8").splitlines()
    rows = (line.partition("#")[0].split() for line in lines)
    return [Peer(*row) for row in rows if row]


@functools.cache
def by_name() -> dict[str, Peer]:
    """Return every peer by the names that tests may use: its package, and its program or file.

    ``dart`` is all VMs of requirements/dart.txt.
    """
    peers = read()
    named = {peer.package: peer for peer in peers}
    named.update({Path(peer.program).name: peer for peer in peers})
    return named | {dart.NAME: _Dart(dart.NAME, dart.NAME)}


def missing() -> list[Peer]:
    """Return the Debian peers that this machine lacks."""
    return [peer for peer in read() if peer.find() is None]
