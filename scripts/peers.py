"""The real peers that tests talk to: which there are, and which this machine has."""

from __future__ import annotations

import functools
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

_LIST = Path(__file__).parent.parent / "requirements" / "debian.txt"
# Debian keeps servers where an ordinary user's PATH does not look.
_SERVERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")


@dataclass(frozen=True)
class Peer:
    """A line of requirements/debian.txt: a program (or the path of a file) and its package."""

    program: str
    package: str

    def find(self) -> Path | None:
        """Where it is on this machine, or ``None``."""
        path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_SERVERS))
        found = shutil.which(self.program, path=path)
        if found is None and Path(self.program).is_absolute() and Path(self.program).exists():
            found = self.program
        return Path(found) if found else None


def read() -> list[Peer]:
    """Every peer of the list."""
    lines = _LIST.read_text(encoding="utf-8").splitlines()
    rows = (line.partition("#")[0].split() for line in lines)
    return [Peer(*row) for row in rows if row]


@functools.cache
def by_name() -> dict[str, Peer]:
    """Every peer by the names that a test may call it: its package, and its program or file."""
    peers = read()
    named = {peer.package: peer for peer in peers}
    named.update({Path(peer.program).name: peer for peer in peers})
    return named


def missing() -> list[Peer]:
    """The peers that this machine lacks."""
    return [peer for peer in read() if peer.find() is None]
