"""Fetch the npm packages of requirements/npm.txt, and verify each archive's SHA-512.

npm runs no code of a package: `npm pack` downloads the archive, and this program unpacks it.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
import tempfile
from pathlib import Path

from scripts.unpack import unpack

_ROOT = Path(__file__).parent.parent
_LOCK = _ROOT / "requirements" / "npm.txt"
_TARGET = _ROOT / ".venvs" / "npm"


class UnlockedError(Exception):
    """The SHA-512 of a downloaded archive is not the one in the lock file."""


def require_locked(archive: Path, integrity: str) -> None:
    """Check the SHA-512 of an archive.

    Args:
        archive: the downloaded archive.
        integrity: the expected digest as npm writes it: ``sha512-BASE64``.

    Raises:
        UnlockedError: the archive has another digest.
    """
    digest = hashlib.sha512(archive.read_bytes()).digest()
    if f"sha512-{base64.b64encode(digest).decode()}" != integrity:
        raise UnlockedError(f"{archive.name} is not the archive that is locked")


def pack(package: str, release: str, folder: Path) -> Path:
    """Download a version of an npm package into a folder; return the archive's path, unverified.

    Raises:
        subprocess.CalledProcessError: npm failed.
    """
    words = ["npm", "pack", f"{package}@{release}", "--silent", "--ignore-scripts"]
    subprocess.run(
        [*words, "--pack-destination", str(folder)],
        check=True,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    [archive] = folder.glob("*.tgz")
    return archive


def ensure(package: str) -> Path:
    """Return the folder of an unpacked npm package, which is downloaded if it is missing.

    Raises:
        KeyError: requirements/npm.txt does not have the package.
        UnlockedError: the SHA-512 of the downloaded archive is not the locked one.
        subprocess.CalledProcessError: npm could not download it.
        OSError: there is no npm, or a file cannot be written.
    """
    release, integrity = read()[package]
    name = hashlib.sha256(integrity.encode()).hexdigest()[:12]
    target = _TARGET / f"{package}-{release}-{name}"
    if not target.exists():
        _TARGET.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_TARGET) as folder:
            archive = pack(package, release, Path(folder))
            require_locked(archive, integrity)
            unpack(archive, Path(folder))
            target.parent.mkdir(exist_ok=True)  # of a scope: @kubernetes-models/cert-manager
            Path(folder, "package").rename(target)
    return target


def read() -> dict[str, tuple[str, str]]:
    """Return the version and the integrity digest of each package in requirements/npm.txt."""
    lines = _LOCK.read_text(encoding="utf-8").splitlines()
    rows = (line.partition("#")[0].split() for line in lines)
    return {name: (release, integrity) for name, release, integrity in filter(None, rows)}
