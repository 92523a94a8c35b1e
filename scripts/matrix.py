"""Run quick tests on every other Python found, and with the lowest dependencies on the oldest.

The other Pythons test the built wheel, as a user gets it. If this machine lacks a Python, it
comes from Debian's unstable suite.

The oldest and the newest Python run all tests without other programs. Those between them run what
``make quick`` runs, because a difference that is in neither end of the range is rare.

The newest also measures branch coverage, which `sys.monitoring` makes cheap (Python 3.14, PEP 669).
On the oldest it takes more time than the tests (decision 62).
"""

from __future__ import annotations

import os
from pathlib import Path

from scripts import debian_pythons, pythons, record
from scripts.console import fail, say, succeeds
from scripts.setup_venv import ensure

# And the tunnel, which needs a Python newer than the oldest.
WITHOUT_PEERS = "(not peer and not slow) or wireguard"
COVERAGE = ["--cov", "--cov-report=", "--cov-fail-under=87"]  # 88.9 % in November 2026
QUICK = "(not peer and not slow and not medium) or wireguard"
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
    newest = version == pythons.supported()[-1]
    words = ["-m", WITHOUT_PEERS, *COVERAGE] if newest else ["-m", QUICK]
    return _run(f"Python {version}, quick suite", _VENVS / version, python, _LATEST, words)


def _lowest() -> bool:
    found = ((version, pythons.find(version)) for version in pythons.supported())
    version, python = next((version, python) for version, python in found if python)
    name = f"Python {version}, quick suite, lowest dependencies"
    return _run(name, _VENVS / "lowest", python, _LOWEST, ["-m", WITHOUT_PEERS])


def _run(name: str, directory: Path, python: str, lock: Path, chosen: list[str]) -> bool:
    inside = ensure(directory, python, lock, project="wheel")
    say(name)
    jobs = os.environ.get("JOBS", "2")
    words = ["-m", "pytest", "-q", "-n", jobs, *chosen, "-p", "no:cacheprovider"]
    words.append("--hypothesis-profile=quick")
    return succeeds([inside, *words], env={**os.environ, record.RUN: name})


if __name__ == "__main__":
    main()
