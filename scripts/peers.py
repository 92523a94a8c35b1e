"""The programs with which the tests run certpin (peers), and which of them this machine has."""

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
    """A program that tests need, and its Debian package: a line of requirements/debian.txt.

    ``program`` is the name of a command, or the absolute path of a file.
    """

    program: str
    package: str

    @property
    def fix(self) -> str:
        """The command that installs the Debian package."""
        return f"apt-get install {self.package}"

    def find(self) -> Path | None:
        """Return the path of the program on this machine, or None if it is not installed."""
        path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_SERVERS))
        found = shutil.which(self.program, path=path)
        if found is None and Path(self.program).is_absolute() and Path(self.program).exists():
            found = self.program
        return Path(found) if found else None


class _Dart(Peer):
    """The peer ``dart``: the Dart VMs of all versions in requirements/dart.txt.

    It is not a Debian package.
    """

    @property
    def fix(self) -> str:
        """The command that installs all Dart VMs."""
        return "make dart"

    def find(self) -> Path | None:
        """Return the path of the newest Dart VM.

        Return None if a VM of requirements/dart.txt is missing or can't run on this machine.
        """
        programs = [vm.program for vm in dart.read() if vm.installed]
        complete = dart.LOADER.exists() and len(programs) == len(dart.read())
        return programs[-1] if complete else None


def read() -> list[Peer]:
    """Return every peer in requirements/debian.txt."""
    lines = _LIST.read_text(encoding="utf-8").splitlines()
    rows = (line.partition("#")[0].split() for line in lines)
    return [Peer(*row) for row in rows if row]


@functools.cache
def by_name() -> dict[str, Peer]:
    """Return every peer by the names that tests may use: package, and program or file name.

    The name ``dart`` means all VMs of requirements/dart.txt.
    """
    peers = read()
    named = {peer.package: peer for peer in peers}
    named.update({Path(peer.program).name: peer for peer in peers})
    return named | {dart.NAME: _Dart(dart.NAME, dart.NAME)}


def missing() -> list[Peer]:
    """Return the peers of requirements/debian.txt that are not installed on this machine."""
    return [peer for peer in read() if peer.find() is None]
