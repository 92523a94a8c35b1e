"""Run the quick suite on every other Python found, and with the lowest dependencies on the oldest.

The other Pythons test the built wheel, as a user gets it. If this machine lacks a Python, it
comes from Debian's unstable suite.
"""

from __future__ import annotations

import os
from pathlib import Path

from scripts import debian_pythons, pythons, record
from scripts.console import fail, say, succeeds
from scripts.setup_venv import ensure

# And the tunnel, which needs this Python.
QUICK = "(not peer and not slow) or wireguard"
_VENVS = Path(".venvs")
_LATEST = Path("requirements/test.txt")
_LOWEST = Path("requirements/lowest.txt")


def main() -> None:
    """Run all of them, then fail if one failed."""
    passed = [_latest(each) for each in pythons.supported() if each != pythons.running()]
    passed.append(_lowest())
    if not all(passed):
        _print_failures()
        fail("a run on another Python failed", "read the failures above")


def _print_failures() -> None:
    """Repeat the failures at the end of the output: a CI log may keep nothing else."""
    for run in record.read():
        for test, error in run.failures.items():
            say(f"failed: {run.name}: {test}")
            print(error, flush=True)


def _latest(version: str) -> bool:
    try:
        python = pythons.find(version) or str(debian_pythons.fetch(version))
    except debian_pythons.UnavailableError as exc:
        say(f"left out: Python {version}: {exc}")
        left_out = {f"{record.UNSTABLE}{exc}": 0}
        record.append(record.Run(f"Python {version}", left_out=left_out))
        return True
    return _quick(f"Python {version}, quick suite", _VENVS / version, python, _LATEST)


def _lowest() -> bool:
    found = ((version, pythons.find(version)) for version in pythons.supported())
    version, python = next((version, python) for version, python in found if python)
    name = f"Python {version}, quick suite, lowest dependencies"
    return _quick(name, _VENVS / "lowest", python, _LOWEST)


def _quick(name: str, directory: Path, python: str, lock: Path) -> bool:
    inside = ensure(directory, python, lock, project="wheel")
    say(name)
    jobs = os.environ.get("JOBS", "2")
    words = ["-m", "pytest", "-q", "-n", jobs, "-m", QUICK, "-p", "no:cacheprovider"]
    words.append("--hypothesis-profile=quick")
    return succeeds([inside, *words], env={**os.environ, record.RUN: name})


if __name__ == "__main__":
    main()
