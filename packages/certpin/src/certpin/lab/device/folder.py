"""The folder in which an interactive lab stores its roots and keys between its runs.

Because they stay the same, the user sets up a device only once. Only the owner can read the private
keys (mode 600 in a folder of mode 700). A folder that other users could have read or changed is
refused. Every file is opened relative to the descriptor of the folder, and no symbolic link is
followed.
"""

from __future__ import annotations

import os
import secrets
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from certpin.errors import InputError
from certpin.lab.authority import Authority, new_rsa_key
from certpin.lab.case import LabError
from certpin.lab.device.tunnel import TunnelKeys
from certpin.lab.pki import Authorities
from certpin.support.files import wait_for_lock

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

REMOVAL = """\
This folder belongs to an interactive lab of certpin.

DO NOT LEAVE A DEVICE TRUSTING THESE ROOTS. An attacker with the private keys (*.key) in this folder
can read and change all data that such a device sends. Never copy the keys elsewhere. A device under
test installs the *.crt files; remove them from the device when the test is done. They expire after
30 days.

Their names are "Root R, do not trust (certpin lab)" and "Rogue R2, do not trust (certpin lab)".

Android   Settings > Security and privacy > More security settings > User credentials (or
          "Trusted credentials", tab "User"): choose each, then Remove. The place differs by maker:
          search the settings for "credentials".
iOS       Settings > General > VPN & Device Management: choose the profile, then Remove.
          Settings > General > About > Certificate Trust Settings must then not list it any more.
Java      keytool -list -keystore KEYSTORE, then
          keytool -delete -alias ALIAS -keystore KEYSTORE
Windows   certmgr.msc (and certlm.msc): Trusted Root Certification Authorities > Certificates,
          choose each, then Delete.
macOS     Keychain Access > login and System > Certificates: choose each, then Delete; or
          security delete-certificate -c "do not trust (certpin lab)"
Linux     Debian, Ubuntu: remove the file from /usr/local/share/ca-certificates, then
          update-ca-certificates --fresh
          Fedora: remove it from /etc/pki/ca-trust/source/anchors, then update-ca-trust
          Firefox and Chromium: their own settings, certificates, authorities.

Remove the WireGuard tunnel from the device as well. Then delete this folder.
"""


DAYS = 30  # the lifetime of a root: users forget to remove it from a trust store
_MARGIN = timedelta(days=2)  # a root is replaced this long before it expires
_LARGEST = 64 * 1024  # bytes of a file
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NAMES = {
    "root": "Root R, do not trust (certpin lab)",
    "rogue": "Rogue R2, do not trust (certpin lab)",
}


def default_folder() -> Path:
    """Return the path of the default folder, which is in the user's data directory.

    Raises:
        LabError: the user has no home directory, as in a container with an unknown user ID.
    """
    data = Path(os.environ.get("XDG_DATA_HOME", ""))
    if not data.is_absolute():  # the specification says to ignore it (XDG base directories)
        mac = sys.platform == "darwin"
        try:
            data = Path.home() / ("Library/Application Support" if mac else ".local/share")
        except RuntimeError:
            raise LabError(
                "this user has no home directory for the lab's roots",
                fix="name a folder that only this user can read: --folder",
            ) from None
    return data / "certpin" / "lab"


class LabFolder:
    """A context manager that opens the lab's folder, and locks it while it is open.

    The folder is created if it is missing.

    Args:
        path: the folder.
        notify: called with each instruction for the user, such as to install a new root.

    Raises:
        LabError: the folder can't be used, or other users could have read or changed it.
    """

    def __init__(self, path: Path, notify: Callable[[str], None]) -> None:
        self.path = path
        self._notify = notify

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            new = not self.path.exists()
            if new:
                self.path.mkdir(0o700, exist_ok=True)
            self._folder = os.open(self.path, _READ | os.O_DIRECTORY)
        except OSError as exc:
            raise self._refused(
                f"is no folder of the lab's: {exc.strerror}",
                "name a folder that can be written: --folder",
            ) from exc
        try:
            self._check(self._folder, "the folder")
            if new:
                os.fchmod(self._folder, 0o700)  # a umask may have removed the owner's rights
            wait_for_lock(self._folder)  # if two labs start together, only one creates the roots
            self._write("README.txt", REMOVAL.encode(), 0o644)
        except BaseException:
            os.close(self._folder)
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        os.close(self._folder)

    def authorities(self, now: datetime) -> Authorities:
        """Return the lab's authorities with two stored roots: R (honest) and R2 (the attacker's).

        A root is created and stored if it is missing or expires soon; the user is then asked to
        install it on the device. ``now`` is the current time.
        """
        root, rogue = (self._root(name, now) for name in _NAMES)
        return Authorities(now, root=root, rogue=rogue)

    def secret(self, name: str, make: Callable[[], str]) -> str:
        """Return the secret that is stored under a name, as text.

        If none is stored, ``make`` is called to make a secret, which is then stored.
        """
        kept = self._read(f"{name}.key")
        if kept is None:
            kept = make().encode()
            self._write(f"{name}.key", kept, 0o600)
        return kept.decode(errors="replace").strip()

    def _root(self, name: str, now: datetime) -> Authority:
        pem = self._read(f"{name}.key")
        authority = self._load(pem, now) if pem is not None else None
        if authority and not _lasts(authority, now):
            self._notify(f"the lab's {name} is at its end: install the new one, remove the old")
            authority = None
        if authority is None:
            authority = Authority(_NAMES[name], now=now, days=DAYS)
            self._write(f"{name}.key", authority.key_pem + authority.pem, 0o600)
            self._notify(f"a new {name} is in {self.path / name}.crt: install it on the device")
        self._write(f"{name}.crt", authority.pem, 0o644)
        return authority

    def _load(self, pem: bytes, now: datetime) -> Authority:
        try:
            return Authority.load(pem, now)
        except InputError as exc:
            raise self._refused(f"holds a damaged file: {exc}", "remove it") from exc

    def _read(self, name: str) -> bytes | None:
        """Return the content of a private file; ``None`` if it does not exist.

        Raises ``LabError`` if the file can't be read, or other users could have read or changed it.
        """
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
        """Write the file ``name`` atomically, with the content ``data``.

        The file gets exactly the mode ``mode``, regardless of the umask. Raises ``LabError`` if it
        can't be written.
        """
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
        """Raise ``LabError`` for a file or folder of other users, and for a special file.

        Files and folders that other users can access are refused, too.

        Args:
            descriptor: the descriptor of the open file or folder.
            what: its name for the error.
        """
        found = os.fstat(descriptor)
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
            raise self._refused(f"has a {what} that is no plain file", "remove it")
        if found.st_uid != os.geteuid():
            raise self._refused(f"({what}) belongs to another user", "name another with --folder")
        if found.st_mode & _OTHERS:
            fix = "its keys may be known: remove the folder, and the old roots from every device"
            raise self._refused(f"({what}) is open to others (mode {found.st_mode & 0o777:o})", fix)

    def _refused(self, problem: str, fix: str) -> LabError:
        return LabError(f"{self.path} {problem}", fix=fix)


def _lasts(authority: Authority, now: datetime) -> bool:
    certificate = authority.x509
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begins <= now < ends - _MARGIN


@dataclass(frozen=True)
class LabState:
    """The stored state of a lab: its authorities, and its tunnel keys if it has a tunnel.

    ``notes`` are instructions for the user, such as to install a new root.
    """

    authorities: Authorities
    tunnel: TunnelKeys | None
    notes: tuple[str, ...]


def load_state(path: Path, now: datetime, *, wireguard: bool) -> LabState:
    """Load the state of a lab from its folder, or create it.

    Args:
        path: the folder.
        now: the current time, for the dates of the roots.
        wireguard: True if the lab has a tunnel, which needs keys.

    Returns:
        The state.

    Raises:
        LabError: the folder can't be used, or contains damaged files.
    """
    notes: list[str] = []
    with LabFolder(path, notes.append) as folder:
        authorities = folder.authorities(now)
        authorities.backup_key = _key(folder.secret("backup", _new_key), path)
        tunnel = TunnelKeys.make(folder.secret) if wireguard else None
    return LabState(authorities, tunnel, tuple(notes))


def _new_key() -> str:
    pem = new_rsa_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem.decode("ascii")


def _key(pem: str, path: Path) -> rsa.RSAPrivateKey:
    try:
        key = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError) as exc:
        raise LabError(f"{path} holds a damaged backup.key", fix="remove it") from exc
    if not isinstance(key, rsa.RSAPrivateKey):
        raise LabError(f"{path} holds a backup.key that is not an RSA key", fix="remove it")
    return key
