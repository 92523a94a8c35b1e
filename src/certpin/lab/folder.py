"""The folder of an interactive lab: its roots, kept so that a device installs them once.

Private keys are for their owner alone (600 in a 700 folder), and never leave it. A folder that
others could have read or changed is refused. Everything goes through the folder's own descriptor,
and no link is followed.
"""

from __future__ import annotations

import os
import secrets
import stat
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self

from certpin.errors import InputError
from certpin.lab.authority import Authority
from certpin.lab.errors import LabError
from certpin.lab.pki import Authorities
from certpin.lab.removal import REMOVAL
from certpin.support import locks

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

DAYS = 30  # that a root of the lab lives: it is forgotten in a trust store sooner or later
_MARGIN = timedelta(days=2)  # before its end, it is made anew
_LARGEST = 64 * 1024  # octets of a file
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NAMES = {
    "root": "Root R, do not trust (certpin lab)",
    "rogue": "Rogue R2, do not trust (certpin lab)",
}


def default_folder() -> Path:
    """Where it is by default: in the user's folder for data."""
    data = Path(os.environ.get("XDG_DATA_HOME", ""))
    if not data.is_absolute():  # the specification says to ignore it (XDG base directories)
        mac = sys.platform == "darwin"
        data = Path.home() / ("Library/Application Support" if mac else ".local/share")
    return data / "certpin" / "lab"


class LabFolder:
    """A context manager: the folder is locked while it is open. Raises ``LabError``.

    ``tell`` hears of what its owner must do, such as to install a new root.
    """

    def __init__(self, path: Path, tell: Callable[[str], None]) -> None:
        self.path = path
        self._tell = tell

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            new = not self.path.exists()
            if new:
                self.path.mkdir(0o700, exist_ok=True)
            self._folder = os.open(self.path, _READ | os.O_DIRECTORY)
        except OSError as exc:
            raise self._refused(
                f"is no folder of the lab's: {exc.strerror}", "name another"
            ) from exc
        try:
            self._check(self._folder, "the folder")
            if new:
                os.fchmod(self._folder, 0o700)  # a umask may have taken from its owner
            locks.lock(self._folder)  # two labs that begin make the roots once
            self._write("README.txt", REMOVAL.encode(), 0o644)
        except BaseException:
            os.close(self._folder)
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        os.close(self._folder)

    def authorities(self, now: datetime) -> Authorities:
        """R and R2 as they were, or new ones; the rest is made when it is asked for."""
        root, rogue = (self._root(name, now) for name in _NAMES)
        return Authorities(now, root=root, rogue=rogue)

    def secret(self, name: str, make: Callable[[], str]) -> str:
        """What was kept under a name, or is made now."""
        kept = self._read(f"{name}.key")
        if kept is None:
            kept = make().encode()
            self._write(f"{name}.key", kept, 0o600)
        return kept.decode(errors="replace").strip()

    def _root(self, name: str, now: datetime) -> Authority:
        pem = self._read(f"{name}.key")
        authority = self._load(pem, now) if pem is not None else None
        if authority and not _lasts(authority, now):
            self._tell(f"the lab's {name} is at its end: install the new one, remove the old")
            authority = None
        if authority is None:
            authority = Authority(_NAMES[name], now=now, days=DAYS)
            self._write(f"{name}.key", authority.key_pem + authority.pem, 0o600)
            self._tell(f"a new {name} is in {self.path / name}.crt: install it on the device")
        self._write(f"{name}.crt", authority.pem, 0o644)
        return authority

    def _load(self, pem: bytes, now: datetime) -> Authority:
        try:
            return Authority.load(pem, now)
        except InputError as exc:
            raise self._refused(f"holds a damaged file: {exc}", "remove it") from exc

    def _read(self, name: str) -> bytes | None:
        """A private file; ``None`` where there is none."""
        try:
            descriptor = os.open(name, _READ, dir_fd=self._folder)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise self._refused(
                f"has a {name} that cannot be read: {exc.strerror}", "remove it"
            ) from exc
        with os.fdopen(descriptor, "rb") as file:
            self._check(descriptor, name)
            return file.read(_LARGEST)

    def _write(self, name: str, data: bytes, mode: int) -> None:
        """Whole or not at all, and with this mode whatever the umask."""
        passing = f".{name}.{secrets.token_hex(8)}"
        try:
            descriptor = os.open(passing, _CREATE, 0o600, dir_fd=self._folder)
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, mode)
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            os.rename(passing, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except OSError as exc:
            with suppress(OSError):
                os.unlink(passing, dir_fd=self._folder)
            raise self._refused(f"takes no {name}: {exc.strerror}", "make room") from exc

    def _check(self, descriptor: int, what: str) -> None:
        """Its owner's alone, and no device or pipe."""
        found = os.fstat(descriptor)
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
            raise self._refused(f"has a {what} that is no plain file", "remove it")
        if found.st_uid != os.geteuid():
            raise self._refused(f"({what}) belongs to somebody else", "name another with --folder")
        if found.st_mode & _OTHERS:
            fix = "its keys may be known: remove the folder, and the old roots from every device"
            raise self._refused(f"({what}) is open to others (mode {found.st_mode & 0o777:o})", fix)

    def _refused(self, problem: str, fix: str) -> LabError:
        return LabError(f"{self.path} {problem}", fix=fix)


def _lasts(authority: Authority, now: datetime) -> bool:
    certificate = authority.x509
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begins <= now < ends - _MARGIN
