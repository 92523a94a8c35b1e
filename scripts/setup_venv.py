"""Make a virtual environment from a lock file, with certpin installed in it.

The environment is made again if the lock changes. Each package is installed in the locked version
with the locked hashes; nothing is resolved, so a newer release in the registry changes nothing.
Builds are not isolated: their requirements come from requirements/build.txt, so that no unlocked
package is ever run.

uv installs the packages; if it fails, or if only pip knows the index, pip does (decision 86). uv
itself is locked, too: pip installs it into ``.venvs/lock``, the first environment.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.console import fail, say, succeeds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_BUILD = Path("requirements/build.txt")
_PACKAGES = [Path("packages/certpin"), Path("packages/certpin-watch")]
_VERSION = "src/*/_version.py"
_STAMP = "certpin-stamp"  # the lock that an environment was made from; written when it is complete
UV = Path(".venvs/lock")  # the environment of uv
UV_LOCK = Path("requirements/lock.txt")
# Not the user's cache: it has wheels that other projects built with unlocked packages,
# and its files are linked into their environments.
_UV_CACHE = Path(".venvs/uv-cache")
_PIP = ["-m", "pip", "--disable-pip-version-check", "--no-input"]
# A lock is complete, so it is not resolved again: pip 23 would look for the newest release of
# `coverage[toml]`, although coverage is locked, and then refuse it because it has no hash.
_LOCKED = ["--no-deps", "--require-hashes", "--no-build-isolation", "--no-compile"]
_PROJECT = ["--no-deps", "--no-index", "--no-build-isolation", "--force-reinstall"]
_TRY_AGAIN = "read what pip said above; packages come over the network, so try once more"


def ensure(
    directory: Path,
    python: str,
    lock: Path,
    *,
    project: str = "editable",
    packages: Sequence[Path] = _PACKAGES,
) -> str:
    """Make a virtual environment if it is missing or its lock changed; return its Python's path.

    Args:
        directory: the environment.
        python: the Python that makes it.
        lock: the lock file to install.
        project: how the packages are installed: ``"editable"``, as a newly built ``"wheel"``,
            or ``"none"``.
        packages: the packages of this repository to install.
    """
    inside = str(directory / "bin" / "python")
    if directory != UV:
        ensure(UV, sys.executable, UV_LOCK, project="none")
    with _exclusive(directory):
        _ensure_lock(directory, python, inside, lock)
        if project == "editable":
            _ensure_editable(directory, inside, packages)
        elif project == "wheel":
            folders = [str(Path.cwd() / each) for each in packages]
            _install_project(inside, folders)
    return inside


def download(folder: Path, python: str, *locks: Path) -> Path:
    """Download the wheels of lock files into a folder, and return the folder.

    It is for ``pip install --no-index --find-links``. The wheels are downloaded again only if a
    lock changes.

    Args:
        folder: the folder for the wheels.
        python: the path of the Python that will install them.
        locks: the lock files.
    """
    with _exclusive(folder):
        _ensure_downloaded(folder, python, locks)
    return folder


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """Hold a file lock for a folder during the block, because tests run in several processes.

    Wait first until no other process makes the same folder.
    """
    lock = Path(".venvs", f"{folder.name}.lock")
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _ensure_downloaded(folder: Path, python: str, locks: Sequence[Path]) -> None:
    stamp = folder / _STAMP
    wanted = _digest(_version(python).encode(), *(lock.read_bytes() for lock in locks))
    if _is_current(stamp, wanted):
        return
    say(f"downloading wheels into {folder}")
    shutil.rmtree(folder, ignore_errors=True)
    words = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--dest", str(folder)]
    # One command: a package of several locks is looked up once. This pip, because a Python that was
    # unpacked from Debian's packages has none.
    command = [sys.executable, *_PIP, "--python", python, "download", "--quiet", *words]
    command += [word for lock in locks for word in ("-r", str(lock))]
    if not succeeds(command):
        names = ", ".join(map(str, locks))
        fail(f"the wheels of {names} could not be downloaded", "try once more")
    stamp.write_text(wanted)


def _ensure_lock(directory: Path, python: str, inside: str, lock: Path) -> None:
    stamp = directory / _STAMP
    version = _version(python)
    locks = [lock] if directory == UV else [_BUILD, lock]
    parts = [each.read_bytes() for each in locks]
    if directory != UV:  # that one stays if the Python changes: a program may be running uv
        parts.append(version.encode())
    wanted = _digest(*parts)
    # The Python that made it may be gone.
    if _is_current(stamp, wanted) and Path(inside).exists():
        return
    say(f"setting up {directory} (Python {version}, {lock})")
    programs = ["pip"] if directory == UV or _only_pip_knows_index() else ["uv", "pip"]
    program = next((each for each in programs if _made(directory, python, locks, each)), None)
    if not program:
        fail(f"{lock} could not be installed", _TRY_AGAIN)
    if not _run(program, "check", inside):
        fail(f"{lock} does not list everything that its packages need", "make lock")
    stamp.write_text(wanted)


def _make(directory: Path, python: str) -> None:
    """Make a virtual environment. The one of uv gets the pip that ``python`` brings.

    The others get pip from requirements/build.txt: a Python unpacked from Debian's packages brings
    none.
    """
    shutil.rmtree(directory, ignore_errors=True)
    more = [] if directory == UV else ["--without-pip"]
    if not succeeds([python, "-m", "venv", *more, str(directory)], quiet=True):
        fail(f"{python} cannot make an environment", "on Debian: apt-get install python3-venv")


def _made(directory: Path, python: str, locks: Sequence[Path], program: str) -> bool:
    """Make a virtual environment with the packages of lock files; return True if that succeeds.

    Args:
        directory: the environment.
        python: the Python that makes it.
        locks: the lock files, in the order in which they are installed.
        program: ``uv`` or ``pip``, which installs them.
    """
    _make(directory, python)
    for each in locks:
        words = ("--quiet", *_LOCKED, "-r", str(each))
        if not _run(program, "install", str(directory / "bin" / "python"), *words):
            say(f"{program} could not install {each}")
            return False
    return True


def _only_pip_knows_index() -> bool:
    """Return True if the settings of pip, such as pip.conf, name an index that uv wouldn't use."""
    if {"UV_DEFAULT_INDEX", "UV_INDEX_URL"} & {*os.environ}:
        return False
    words = [str(UV / "bin" / "python"), *_PIP, "config", "list"]
    return "index-url=" in subprocess.run(words, capture_output=True, text=True, check=False).stdout


def _run(program: str, command: str, inside: str, *words: str) -> bool:
    """Run a command of uv or pip for a Python; return True if it succeeds.

    Args:
        program: ``uv`` or ``pip``, which are both in uv's environment.
        command: ``install`` or ``check``.
        inside: the path of the Python.
        words: the arguments of the command.
    """
    argv = [str(UV / "bin" / "python"), *_PIP, "--python", inside, command, *words]
    if program == "uv":
        argv = [str(UV / "bin" / "uv"), "pip", command, "--python", inside, *words]
    # One retry: pip does what uv can't.
    ours = {"UV_CACHE_DIR": str(_UV_CACHE.absolute()), "UV_HTTP_RETRIES": "1"}
    return succeeds(argv, env=ours | os.environ, quiet=True)


def _ensure_editable(directory: Path, inside: str, packages: Sequence[Path]) -> None:
    stamp = directory / f"{_STAMP}-project"
    files = [file for each in packages for file in (each / "pyproject.toml", *each.glob(_VERSION))]
    wanted = _digest(*(file.read_bytes() for file in files), str(Path.cwd()).encode())
    if _is_current(stamp, wanted):
        return
    folders = [word for each in packages for word in ("--editable", str(Path.cwd() / each))]
    _install_project(inside, folders)
    stamp.write_text(wanted)


def _is_current(stamp: Path, wanted: str) -> bool:
    """Return True if the stamp exists, so the work was completed, and has the digest ``wanted``."""
    return stamp.exists() and stamp.read_text() == wanted


def _install_project(inside: str, words: list[str]) -> None:
    if not _run("pip", "install", inside, "--quiet", *_PROJECT, *words):
        fail("certpin could not be built", _TRY_AGAIN)


def _version(python: str) -> str:
    words = [python, "-c", "import platform; print(platform.python_version())"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def main() -> None:
    """Make the environment that the command line names, with the Python that runs this program."""
    parser = argparse.ArgumentParser(description="Make an environment from a lock file.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("lock", type=Path)
    parser.add_argument("--project", choices=["editable", "wheel", "none"], default="editable")
    asked = parser.parse_args()
    ensure(asked.directory, sys.executable, asked.lock, project=asked.project)


if __name__ == "__main__":
    main()
