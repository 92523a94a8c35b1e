"""Make a virtual environment from a lock file, with certpin installed in it.

The environment is made again if the lock changes. Each package is installed in the locked version
with the locked hashes; nothing is resolved, so a newer release in the registry changes nothing.
Builds are not isolated: their requirements come from requirements/build.txt, so that no unlocked
package is ever run.

uv installs the packages (decision 86). uv itself is locked, too: pip installs it into
``.venvs/lock``, the first environment.
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
_UV = Path(".venvs/lock")  # the environment of uv
_UV_LOCK = Path("requirements/lock.txt")
_PIP = ["-m", "pip", "--disable-pip-version-check", "--no-input"]
# A lock is complete, so it is not resolved again: pip 23 would look for the newest release of
# `coverage[toml]`, although coverage is locked, and then refuse it because it has no hash.
_LOCKED = ["--no-deps", "--require-hashes", "--no-build-isolation", "--no-compile"]
_PROJECT = ["--no-deps", "--no-index", "--no-build-isolation", "--force-reinstall"]


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
    if directory != _UV:
        ensure(_UV, sys.executable, _UV_LOCK, project="none")
    with _exclusive(directory):
        _ensure_lock(directory, python, inside, lock)
        if project == "editable":
            _ensure_editable(directory, inside, packages)
        elif project == "wheel":
            folders = [str(Path.cwd() / each) for each in packages]
            _pip(inside, [*_PROJECT, *folders], "certpin could not be built")
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
    for lock in locks:
        # This pip, because a Python that was unpacked from Debian's packages has none.
        command = [sys.executable, *_PIP, "--python", python, "download", "--quiet", *words]
        command += ["-r", str(lock)]
        if not succeeds(command):
            fail(f"the wheels of {lock} could not be downloaded", "try once more")
    stamp.write_text(wanted)


def _ensure_lock(directory: Path, python: str, inside: str, lock: Path) -> None:
    stamp = directory / _STAMP
    locks = [lock] if directory == _UV else [_BUILD, lock]
    wanted = _digest(_version(python).encode(), *(each.read_bytes() for each in locks))
    # The Python that made it may be gone.
    if _is_current(stamp, wanted) and Path(inside).exists():
        return
    say(f"setting up {directory} (Python {_version(python)}, {lock})")
    shutil.rmtree(directory, ignore_errors=True)
    _make(directory, python)
    for each in locks:
        _install(directory, inside, each)
    _check(inside, lock)
    stamp.write_text(wanted)


def _make(directory: Path, python: str) -> None:
    """Make a virtual environment. The one of uv gets the pip that ``python`` brings.

    The others get pip from requirements/build.txt: a Python unpacked from Debian's packages brings
    none.
    """
    more = [] if directory == _UV else ["--without-pip"]
    if not succeeds([python, "-m", "venv", *more, str(directory)], quiet=True):
        fail(f"{python} cannot make an environment", "on Debian: apt-get install python3-venv")


def _install(directory: Path, inside: str, lock: Path) -> None:
    """Install the packages of a lock file into a virtual environment.

    uv does it. If it fails, the pip of uv's environment does: it may reach an index that uv doesn't
    know, because only pip reads pip.conf.

    Args:
        directory: the environment.
        inside: the path of its Python.
        lock: the lock file.
    """
    problem = f"{lock} could not be installed"
    words = [*_LOCKED, "-r", str(lock)]
    if directory == _UV:
        _pip(inside, words, problem)
        return
    uv = [str(_UV / "bin/uv"), "pip", "install", "--quiet", "--python", inside]
    # pip tries again, and more often.
    if succeeds([*uv, *words], env={"UV_HTTP_RETRIES": "1", **os.environ}, quiet=True):
        return
    say(f"uv could not install {lock}; pip tries it, with its own settings")
    _pip(str(_UV / "bin/python"), words, problem, into=inside)


def _ensure_editable(directory: Path, inside: str, packages: Sequence[Path]) -> None:
    stamp = directory / f"{_STAMP}-project"
    files = [file for each in packages for file in (each / "pyproject.toml", *each.glob(_VERSION))]
    wanted = _digest(*(file.read_bytes() for file in files), str(Path.cwd()).encode())
    if _is_current(stamp, wanted):
        return
    folders = [word for each in packages for word in ("--editable", str(Path.cwd() / each))]
    _pip(inside, [*_PROJECT, *folders], "certpin could not be built")
    stamp.write_text(wanted)


def _is_current(stamp: Path, wanted: str) -> bool:
    """Return True if the stamp exists, so the work was completed, and has the digest ``wanted``."""
    return stamp.exists() and stamp.read_text() == wanted


def _check(inside: str, lock: Path) -> None:
    if not succeeds([str(_UV / "bin/uv"), "pip", "check", "--python", inside], quiet=True):
        fail(f"{lock} does not list everything that its packages need", "make lock")


def _pip(python: str, words: list[str], problem: str, into: str | None = None) -> None:
    """Run ``pip install``; exit with an error if it fails.

    Args:
        python: the path of the Python that has pip.
        words: the arguments.
        problem: the message of the error.
        into: the path of the Python to install for; by default, ``python``.
    """
    target = ["--python", into] if into else []
    if not succeeds([python, *_PIP, *target, "install", "--quiet", *words]):
        fail(problem, "read what pip said above; packages come over the network, so try once more")


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
