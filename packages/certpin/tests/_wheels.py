"""Wheels for tests that install certpin as its users do: built here, or downloaded as locked."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

from scripts.pythons import running
from scripts.release.trial import wheels_of
from scripts.setup_venv import download

ROOT = Path(__file__).parents[3]
_LOCK = re.compile(r"(?m)^(?P<name>[a-z0-9-]+)==.*(?:\n[ #].*)*")
_VIA = re.compile(r"(?m)^    #(?: via)? +([a-z0-9-]+)")


def build(source: str, folder: Path) -> Path:
    """Build the wheel of the folder ``source`` of the repository, without a network.

    Returns: The path of the wheel in ``folder``.
    """
    words = ("--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", *words, ROOT / source]
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


def downloaded() -> Path:
    """Return the folder of downloaded wheels that certpin's packages need to be built and to run.

    They include the packages that the monitoring service needs to serve its pages.
    """
    with chdir(ROOT):
        return wheels_of(running(), sys.executable)


def for_action() -> Path:
    """Return the folder of downloaded wheels that the GitHub Action installs.

    scripts/install_locked.sh installs them.
    """
    with chdir(ROOT):
        locks = [Path(f"requirements/{name}.txt") for name in ("build", "action")]
        return _download("action", *locks)


def locked(*names: str) -> Path:
    """Return the folder of the wheels of these packages and of all their dependencies.

    The versions are those that are locked for the tests.
    """
    with chdir(ROOT):
        lock, text = Path("build", f"{'-'.join(names)}.txt"), _lock_of(names)
        lock.parent.mkdir(exist_ok=True)
        if not lock.exists() or lock.read_text(encoding="utf-8") != text:
            lock.write_text(text, encoding="utf-8")
        return _download(lock.stem, lock)


def _download(name: str, *locks: Path) -> Path:
    return download(Path(f".venvs/wheels-{name}-{running()}"), sys.executable, *locks).absolute()


def _lock_of(names: tuple[str, ...]) -> str:
    text = (ROOT / "requirements/test.txt").read_text(encoding="utf-8")
    entries = {found["name"]: found[0] for found in _LOCK.finditer(text)}
    wanted = set(names)
    while (
        more := {name for name, entry in entries.items() if wanted & {*_VIA.findall(entry)}}
        - wanted
    ):
        wanted |= more
    return "\n".join(entries[name] for name in sorted(wanted)) + "\n"
