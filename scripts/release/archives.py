"""Build the archives of the three packages, so that the same files always give the same bytes.

The sources are copied before each build, because archives must depend only on the content of the
committed files: not on the folder, the umask, modification times, the time zone, or the order of a
directory.
"""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from typing import TYPE_CHECKING

from scripts.console import fail
from scripts.release.preconditions import git
from scripts.unpack import unpack

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PYTHON_PACKAGES = ("certpin", "certpin-watch")
DART_PACKAGE = "certpin-dart"
# What pub refuses (https://dart.dev/tools/pub/publishing): larger archives.
MAX_DART_BYTES = 100 << 20


def tracked(root: Path) -> list[str]:
    """Return the sorted paths of the files in ``packages`` that git doesn't ignore.

    A symbolic link is one path, also if it leads to a folder.
    """
    listed = git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "packages")
    return sorted(name for name in listed.split("\0") if name and os.path.lexists(root / name))


def stage(root: Path, target: Path, names: Iterable[str], *, mask: int, mtime: int) -> None:
    """Copy files of the repository into a new folder, with given permissions and times.

    Args:
        root: the repository.
        target: the folder, which must not exist.
        names: the files to copy, in the order in which they are created.
        mask: the umask of the copies: permissions that they lack.
        mtime: their modification time, in seconds since 1970.
    """
    for name in names:
        source, copy = root / name, target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            copy.symlink_to(source.readlink())
            continue
        copy.write_bytes(source.read_bytes())
        copy.chmod((0o777 if os.access(source, os.X_OK) else 0o666) & ~mask)
        os.utime(copy, (mtime, mtime))


def build_python(staged: Path, out: Path, *, epoch: int, environment: dict[str, str]) -> None:
    """Build the sdist of each Python package, and then its wheel from the sdist.

    So a user who builds a wheel from the sdist gets the same files.

    Args:
        staged: the copied repository.
        out: the folder for the archives.
        epoch: the time of all files in the archives: SOURCE_DATE_EPOCH.
        environment: more environment variables for the build.
    """
    more = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch), **environment}
    for name in PYTHON_PACKAGES:
        _hatchling(staged / "packages" / name, "sdist", out, more)
        [sdist] = out.glob(f"{name.replace('-', '_')}-[0-9]*.tar.gz")
        unpacked = staged / "unpacked"
        unpack(sdist, unpacked)
        _hatchling(unpacked / sdist.name.removesuffix(".tar.gz"), "wheel", out, more)


def _hatchling(folder: Path, target: str, out: Path, environment: dict[str, str]) -> None:
    words = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(out.absolute())]
    done = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(done.stdout + done.stderr, file=sys.stderr)
        fail(f"the {target} of {folder.name} could not be built", "read hatchling's message above")


def build_dart(root: Path, out: Path, names: Iterable[str], *, version: str, epoch: int) -> Path:
    """Build the archive that ``dart pub publish`` would upload: its root is the package.

    pub takes all files that git doesn't ignore, and refuses links. This archive is for users who
    want to verify the files that the registry serves: pub makes its own archive, with other times.

    Args:
        root: the repository, or a copy of it.
        out: the folder for the archive.
        names: the files of the packages.
        version: the version of the Dart package.
        epoch: the time of all files in the archive, in seconds since 1970.

    Returns:
        The path of the archive.
    """
    folder = f"packages/{DART_PACKAGE}/"
    chosen = sorted(name.removeprefix(folder) for name in names if name.startswith(folder))
    if "pubspec.yaml" not in chosen:
        fail("the Dart package has no pubspec.yaml", "restore it")
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in chosen:
            source = root / folder / name
            if source.is_symlink():
                fail(f"{folder}{name} is a link, which pub refuses", "make it a file")
            content = source.read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = len(content), epoch, 0o644
            archive.addfile(entry, io.BytesIO(content))
    target = out / f"certpin-dart-{version}.tar.gz"
    with (
        target.open("wb") as stream,
        # Neither a name nor a time in gzip's header (RFC 1952). gzip.compress would let zlib write
        # it, with another operating system on Python 3.11 than on 3.13.
        gzip.GzipFile("", "wb", compresslevel=9, fileobj=stream, mtime=0) as packed,
    ):
        packed.write(raw.getvalue())
    if target.stat().st_size > MAX_DART_BYTES:
        fail(f"{target.name} is larger than pub accepts", "remove files from the package")
    return target


def differing(first: Path, second: Path) -> list[str]:
    """Return the names of the files that two folders don't both have with the same bytes."""
    names = {path.name for folder in (first, second) for path in folder.iterdir()}
    return sorted(name for name in names if _content(first / name) != _content(second / name))


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def members(archive: Path) -> dict[str, bytes | None]:
    """Return the content of each file in a wheel, an sdist or a Dart archive, by name.

    The content of a link is None.
    """
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as opened:
            return {name: opened.read(name) for name in opened.namelist()}
    with tarfile.open(archive) as opened:
        entries = [entry for entry in opened.getmembers() if not entry.isdir()]
        return {each.name: _read(opened, each) for each in entries}


def _read(opened: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes | None:
    stream = opened.extractfile(entry) if entry.isfile() else None
    return stream.read() if stream else None
