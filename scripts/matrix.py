"""Run all tests, each on the Python versions where it can find a fault.

The Python of ``.venv`` runs the slow tests and those that use other programs. The newest Python
runs all other tests, and the oldest one the quick ones with the lowest dependencies, on the built
wheels, as users install them. The Pythons between run the quick tests of code that depends on
Python itself (decision 84).

If this machine lacks a Python, it is fetched from Debian's unstable suite. The tests on the newest
Python also measure branch coverage, which ``sys.monitoring`` makes cheap (Python 3.14, PEP 669;
decision 62).

The test files of each Python are divided among several pytest processes. The environment variable
JOBS is the number of processes that run at once. The environments of the other Pythons are made
while the first tests run.

With ``--quick``, only the quick tests run, on the Python of ``.venv``.

Except for the tests with other programs, which also make environments with downloaded packages,
OpenSSL's default trust store is one root of this run. Many tests make contexts that load it: the
roots of a machine, some 150, take longer than a handshake, and no test depends on which they are.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.lab import Authority
from scripts import debian_pythons, pythons, record
from scripts.console import fail, say, succeeds
from scripts.setup_venv import ensure

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

_PEERS = "(peer or slow) and not mutation and not gallery"
# And the tunnel, which needs a Python newer than the oldest.
_WITHOUT_PEERS = "(not peer and not slow) or wireguard"
_QUICK = "not peer and not slow and not medium"
_QUICK_AND_TUNNEL = f"({_QUICK}) or wireguard"
_LEAST_COVERED = "88"  # per cent; 89.2 % in November 2026
_MONITORING = "3.14"  # the first Python with cheap coverage
_COVERAGE = Path("build/coverage/all").absolute()  # the data; that of the pieces is beside it

_TESTS = (Path("packages/certpin/tests"), Path("packages/certpin-watch/tests"))
# The tests of what depends on Python itself: its ssl, asyncio, http and processes.
_DEPENDENT = ("clients", "lab/server", "probe", "support", "tls", "updates")
_PIECES_WITH_PEERS = 8  # processes for the tests with other programs
_PIECES = 2  # processes for all other tests of a Python

_PERCENT = re.compile(r"\[ *(\d+)%\]$")  # of its tests, as pytest prints it
_LINE_START = "\r\x1b[K"  # for a terminal: the line is written again (ECMA-48, EL)
_NO_FAILURE = {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}

_VENVS = Path(".venvs")
_LATEST = Path("requirements/test.txt")
_FOR_DEPENDENT = Path("requirements/pythons.txt")
_LOWEST = Path("requirements/lowest.txt")


@dataclass(frozen=True)
class Tests:
    """The tests to run in one virtual environment.

    ``folder`` is the environment, which ``python`` makes from the lock file ``lock``; ``project``
    says how certpin is installed in it (see ``setup_venv.ensure``). Each item of ``pieces`` is the
    test files of one pytest process, and ``marks`` is pytest's ``-m`` expression. ``covered`` is
    True if the tests measure branch coverage.
    """

    name: str
    folder: Path
    python: str
    lock: Path
    pieces: Sequence[Sequence[Path]]
    marks: str
    project: str = "wheel"
    covered: bool = False


def main() -> None:
    """Run the tests in their environments; exit with status 2 if one fails or coverage is low."""
    parser = argparse.ArgumentParser(description="Run all tests, on every Python.")
    parser.add_argument("--quick", action="store_true", help="only the quick ones, on one Python")
    jobs = int(os.environ.get("JOBS", "2"))
    planned = [_quick(jobs)] if parser.parse_args().quick else _planned()
    runs: list[list[Future[int]]] = []
    measuring = None
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        roots = Path(folder, "root.pem")
        roots.write_bytes(Authority("Root of the test run").pem)
        try:
            for tests in planned:
                inside = ensure(tests.folder, tests.python, tests.lock, project=tests.project)
                if tests.covered:
                    shutil.rmtree(_COVERAGE.parent, ignore_errors=True)
                    measuring = inside
                numbers = range(len(tests.pieces))
                runs.append([pool.submit(_run, tests, inside, number, roots) for number in numbers])
        except SystemExit:
            pool.shutdown(cancel_futures=True)
            _print_failures()
            fail("an environment could not be made", "read the error among the output of the tests")
        passed = [have_passed([piece.result() for piece in run]) for run in runs]
    if measuring:
        passed.append(_enough_covered(measuring))
    if not all(passed):
        _print_failures()
        fail("a run of the tests failed", "read the failures above")


def _quick(jobs: int) -> Tests:
    """Return the quick tests, divided among ``jobs`` processes, which all run at once."""
    divided = pieces(_files(_TESTS), jobs)
    return Tests("quick tests", Path(".venv"), sys.executable, _LATEST, divided, _QUICK, "editable")


def _planned() -> Iterator[Tests]:
    """Yield the tests of each environment.

    The first are the slow tests and those with other programs, on this Python. Then come the
    oldest Python with the lowest dependencies, and the other Pythons from the newest on.
    """
    everything = _files(_TESTS)
    dependent = _files(_TESTS[0] / name for name in _DEPENDENT)
    this = f"Python {pythons.running()}"
    with_peers = pieces(everything, _PIECES_WITH_PEERS)
    yield Tests(this, Path(".venv"), sys.executable, _LATEST, with_peers, _PEERS, "editable")
    oldest, found = next(
        (each, path) for each in pythons.supported() if (path := pythons.find(each))
    )
    lowest = f"Python {oldest}, lowest dependencies"
    divided = pieces(everything, _PIECES)
    yield Tests(lowest, _VENVS / "lowest", found, _LOWEST, divided, _QUICK)
    newest = True
    for version in reversed(pythons.supported()):
        python = _python(version) if version not in {pythons.running(), oldest} else None
        if python:
            name, folder = f"Python {version}", _VENVS / version
            wanted = (_LATEST, divided, _WITHOUT_PEERS)
            if not newest:
                wanted = (_FOR_DEPENDENT, [dependent], _QUICK_AND_TUNNEL)
            covered = newest and version >= _MONITORING
            yield Tests(name, folder, python, *wanted, covered=covered)
            newest = False
    if newest:  # there is no other Python here
        folder = _VENVS / pythons.running()
        yield Tests(f"{this}, wheels", folder, sys.executable, _LATEST, divided, _WITHOUT_PEERS)


def _python(version: str) -> str | None:
    """Return the path of a Python, fetched from Debian if this machine lacks it.

    If it is not available, record that its tests are skipped, and return None.
    """
    try:
        return pythons.find(version) or str(debian_pythons.fetch(version))
    except debian_pythons.UnavailableError as exc:
        say(f"left out: Python {version}: {exc}")
        left_out = {f"{record.UNSTABLE}{exc}": 0}
        record.append(record.Run(f"Python {version}", left_out=left_out))
        return None


def _files(folders: Iterable[Path]) -> list[Path]:
    return [file for folder in folders for file in sorted(folder.rglob("test_*.py"))]


def pieces(files: Sequence[Path], count: int) -> list[list[Path]]:
    """Divide test files, in order, into lists of about the same size in bytes.

    Files that share fixtures are near each other, so most of them stay together.

    Args:
        files: the test files.
        count: the number of lists; empty ones are omitted.
    """
    sizes = [file.stat().st_size for file in files]
    divided: list[list[Path]] = [[] for _ in range(count)]
    before, total = 0, sum(sizes)
    for file, size in zip(files, sizes, strict=True):
        divided[min(count * before // max(total, 1), count - 1)].append(file)
        before += size
    return [piece for piece in divided if piece]


def have_passed(codes: Collection[int]) -> bool:
    """Return True if the tests of one environment passed, by the exit codes of its processes.

    ``marks`` may select no test for one pytest process, but must select one for all of them.
    """
    return pytest.ExitCode.OK in codes and {*codes} <= _NO_FAILURE


def _run(tests: Tests, inside: str, number: int, roots: Path) -> int:
    """Run one pytest process of an environment's tests, and return its exit code.

    Print the last line of its output, or all lines if it fails.

    Args:
        tests: the tests of the environment.
        inside: the path of the Python in the environment.
        number: the index of the process in ``tests.pieces``.
        roots: the file of the only trusted root, except for the tests with other programs.
    """
    words = ["-m", "pytest", "-q", "-m", tests.marks, "-p", "no:cacheprovider"]
    words.append("--no-header")
    environment = {**os.environ, record.RUN: tests.name}
    if tests.marks != _PEERS:
        words.append("--hypothesis-profile=quick")
        environment |= {"SSL_CERT_FILE": str(roots), "SSL_CERT_DIR": os.devnull}
    if tests.covered:
        # Not the settings of pyproject.toml, which also measure each program that a test starts.
        words += ["--cov=certpin", "--cov=certpin_watch", "--cov-branch"]
        words += [f"--cov-config={os.devnull}", "--cov-report="]
        environment["COVERAGE_FILE"] = f"{_COVERAGE}.{number}"
    name = f"{tests.name}, {number + 1} of {len(tests.pieces)}"
    code, lines = _followed([inside, *words, *map(str, tests.pieces[number])], environment, name)
    say(f"{name}: {lines[-1] if lines else 'no output'}")
    if code not in _NO_FAILURE:
        print("\n".join(lines), flush=True)
    return code


def _followed(
    argv: Sequence[str], environment: Mapping[str, str], name: str
) -> tuple[int, list[str]]:
    """Run pytest, and return its exit code and the lines of its output.

    On a terminal, print ``name`` and the progress in per cent meanwhile.
    """
    shown, lines = sys.stdout.isatty(), []
    with subprocess.Popen(
        argv,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            lines.append(line.rstrip("\n"))
            if shown and (done := _PERCENT.search(line)):
                print(f"{_LINE_START}{name}: {done[1]} %", end="", flush=True)
    if shown:
        print(_LINE_START, end="", flush=True)
    return process.returncode, lines


def _enough_covered(inside: str) -> bool:
    """Combine and report the branch coverage; return True if it is high enough.

    Args:
        inside: the path of the Python in the environment that measured it.
    """
    data = f"--data-file={_COVERAGE}"
    combined = succeeds([inside, "-m", "coverage", "combine", "--quiet", data])
    say("branch coverage, per cent:")
    words = ["report", data, "--format=total", f"--fail-under={_LEAST_COVERED}"]
    return combined and succeeds([inside, "-m", "coverage", *words])


def _print_failures() -> None:
    """Print the failures of all recorded runs again, because CI logs may keep only the end."""
    for run in record.read():
        for test, error in run.failures.items():
            say(f"failed: {run.name}: {test}")
            print(error, flush=True)


if __name__ == "__main__":
    main()
