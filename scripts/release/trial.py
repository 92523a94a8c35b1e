"""Install the built wheels in clean environments, without an index, and test them there.

Each Python of this machine gets an environment. There, certpin is tested with its own dependencies
only, and then the monitoring service is added. pip can install only the built wheels and the wheels
of the locked dependencies.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scripts import pythons
from scripts.console import fail, say
from scripts.setup_venv import download

_LOCKS = ("core", "watch")
_SECONDS = 300  # for one installation, on a slow machine
_PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet")
# Runs in the new environment, from an empty folder, and imports nothing of this repository.
_TRIAL = """\
import importlib.metadata, pathlib, sys
import certpin
assert pathlib.Path(certpin.__file__).is_relative_to(sys.prefix), certpin.__file__
assert certpin.__version__ == importlib.metadata.version("certpin") == sys.argv[1]
from certpin.cli.demo import run_scenes, set_up
scenes = list(run_scenes(set_up()))
assert len(scenes) >= 4 and all(scene.as_it_should for scene in scenes), scenes
assert {scene.client for scene in scenes} == {"pinned", "unpinned"}
"""
# The service creates its database in the empty folder, and writes to it.
_SERVICE = (["migrate"], ["token", "add", "trial", "--scope", "read"], ["token", "list"])


def try_on_each_python(wheels: Path, version: str) -> None:
    """Install and test the wheels on every supported Python that this machine has.

    Pythons that this machine lacks are printed, and are no failure. If a wheel does not work, the
    program ends with status 2.

    Args:
        wheels: the folder of the built wheels.
        version: the version that the installed packages must have.
    """
    found = {each: pythons.find(each) for each in pythons.supported()}
    absent = [each for each, python in found.items() if not python]
    if absent:
        say(f"left out, not on this machine: Python {', '.join(absent)}")
    tried = {each: python for each, python in found.items() if python}
    locks = {each: wheels_of(each, python) for each, python in tried.items()}
    with ThreadPoolExecutor(int(os.environ.get("JOBS", "2"))) as pool:
        runs = {
            each: pool.submit(_try, python, (wheels, locks[each]), version)
            for each, python in tried.items()
        }
        for each, run in runs.items():
            if problem := run.result():
                print(problem, file=sys.stderr)
                fail(f"certpin does not work on Python {each}", "read its output above")
            say(f"certpin and certpin[watch] work on Python {each}")


def wheels_of(version: str, python: str) -> Path:
    """Return the folder with the locked dependencies' wheels for a Python.

    The wheels are downloaded if the folder is missing or a lock file changed.

    Args:
        version: the version of Python, such as ``3.11``.
        python: the path of its interpreter.
    """
    locks = [Path(f"requirements/{name}.txt") for name in ("build", *_LOCKS)]
    return download(Path(f".venvs/wheels-{version}"), python, *locks).absolute()


def _try(python: str, folders: tuple[Path, ...], version: str) -> str:
    """Install certpin in a new environment, then the service, and run a short test of each.

    Args:
        python: the path of the interpreter.
        folders: the folders with all wheels.
        version: the version of certpin.

    Returns:
        The command that failed and its output; "" if everything works.
    """
    with tempfile.TemporaryDirectory(prefix="certpin-trial-") as name:
        home, environment = Path(name, "empty"), Path(name, "venv")
        home.mkdir()
        inside, command = environment / "bin/python", environment / "bin/certpin"
        find = [f"--find-links={folder.absolute()}" for folder in folders]
        # This pip installs into the other environment: an unpacked Python has none.
        # It compiles nothing: the trial imports a few of the modules, and compiles those.
        install = ["install", "--no-index", "--no-compile", "--only-binary", ":all:", *find]
        pip = [sys.executable, *_PIP, "--python", str(inside), *install]
        steps: list[list[str]] = [
            [python, "-m", "venv", "--without-pip", str(environment)],
            [*pip, f"certpin=={version}"],
            [str(inside), "-I", "-c", _TRIAL, version],
            [str(command), "--version"],
            [*pip, f"certpin[watch]=={version}"],
            *([str(command), "watch", *words] for words in _SERVICE),
        ]
        for step in steps:
            done = _run(step, home)
            if done.returncode:
                return f"$ {' '.join(step)}\n{done.stdout}{done.stderr}"
    return ""


def _run(argv: list[str], home: Path) -> subprocess.CompletedProcess[str]:
    """Run a program in the empty folder ``home``, with a minimal environment."""
    kept = ("PATH", "LANG", "TMPDIR")
    clean = {name: os.environ[name] for name in kept if name in os.environ}
    return subprocess.run(
        argv,
        cwd=home,
        env={**clean, "HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
