"""Run all tests, each on the Pythons where it can find a fault.

The Python of ``.venv`` runs the tests with other programs, and the slow ones. The newest Python,
and the oldest with the lowest dependencies, run all others, on the built wheels, as a user gets
them. The Pythons between them run the quick tests of what depends on Python itself (decision 84).

If this machine lacks a Python, it comes from Debian's unstable suite. The newest also measures
branch coverage, which ``sys.monitoring`` makes cheap (Python 3.14, PEP 669; decision 62).

The test files of each Python are divided among some processes, of which as many run at once as the
variable JOBS says. The environments of the other Pythons are made while the first tests run.

With ``--quick``, only the quick tests run, on the Python of ``.venv``.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

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
_QUICK_ANYWHERE = f"({_QUICK}) or wireguard"
_LEAST_COVERED = "87"  # per cent; 88.9 % in November 2026
_MONITORING = "3.14"  # the first Python with cheap coverage
_COVERAGE = Path("build/coverage/all").absolute()  # the data; that of the pieces is beside it

_TESTS = (Path("packages/certpin/tests"), Path("packages/certpin-watch/tests"))
# The tests of what depends on Python itself: its ssl, asyncio, http and processes.
_DEPENDENT = ("clients", "lab/server", "probe", "support", "tls", "updates")
_PIECES_WITH_PEERS = 24  # processes for the tests with other programs
_PIECES = 5  # processes for all other tests of a Python

_PERCENT = re.compile(r"\[ *(\d+)%\]$")  # of its tests, as pytest prints it
_LINE_START = "\r\x1b[K"  # for a terminal: the line is written again (ECMA-48, EL)
_NO_FAILURE = {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}

_VENVS = Path(".venvs")
_LATEST = Path("requirements/test.txt")
_FOR_DEPENDENT = Path("requirements/pythons.txt")
_LOWEST = Path("requirements/lowest.txt")


@dataclass(frozen=True)
class Tests:
    """The tests of one environment.

    ``folder`` is the environment, which ``python`` makes from ``lock``, with certpin installed as
    ``project`` says. ``pieces`` are the test files, each for one process, and ``marks`` chooses
    among their tests. ``covered`` says that these tests measure branch coverage.
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
    """Run them, then fail if one failed."""
    parser = argparse.ArgumentParser(description="Run all tests, on every Python.")
    parser.add_argument("--quick", action="store_true", help="only the quick ones, on one Python")
    jobs = int(os.environ.get("JOBS", "2"))
    planned = [_quick(jobs)] if parser.parse_args().quick else _planned()
    shutil.rmtree(_COVERAGE.parent, ignore_errors=True)
    runs: list[list[Future[int]]] = []
    measuring = None
    with ThreadPoolExecutor(jobs) as pool:
        try:
            for tests in planned:
                inside = ensure(tests.folder, tests.python, tests.lock, project=tests.project)
                numbers = range(len(tests.pieces))
                runs.append([pool.submit(_run, tests, inside, number) for number in numbers])
                measuring = inside if tests.covered else measuring
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
    """Return the quick tests, in as many processes as run at once: each collects its own files."""
    divided = pieces(_files(_TESTS), jobs)
    return Tests("quick tests", Path(".venv"), sys.executable, _LATEST, divided, _QUICK, "editable")


def _planned() -> Iterator[Tests]:
    """Yield the tests of this Python with other programs, then those of the other Pythons."""
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
    yield Tests(lowest, _VENVS / "lowest", found, _LOWEST, divided, _WITHOUT_PEERS)
    newest = True
    for version in reversed(pythons.supported()):
        python = _python(version) if version != pythons.running() else None
        if python:
            name, folder = f"Python {version}", _VENVS / version
            wanted = (_LATEST, divided, _WITHOUT_PEERS)
            if not newest:
                wanted = (_FOR_DEPENDENT, [dependent], _QUICK_ANYWHERE)
            covered = newest and version >= _MONITORING
            yield Tests(name, folder, python, *wanted, covered=covered)
            newest = False
    if newest:  # there is no other Python here
        folder = _VENVS / pythons.running()
        yield Tests(f"{this}, wheels", folder, sys.executable, _LATEST, divided, _WITHOUT_PEERS)


def _python(version: str) -> str | None:
    """Return the path of a Python, which may have to be fetched. Record it if that failed."""
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
    """Divide test files, in order, into pieces of about the same size in bytes.

    Files that share fixtures are near each other, so most of them stay together.

    Args:
        files: the files.
        count: the number of pieces, at most that of the files.
    """
    sizes = [file.stat().st_size for file in files]
    divided: list[list[Path]] = [[] for _ in range(count)]
    before, total = 0, sum(sizes)
    for file, size in zip(files, sizes, strict=True):
        divided[min(count * before // max(total, 1), count - 1)].append(file)
        before += size
    return [piece for piece in divided if piece]


def have_passed(codes: Collection[int]) -> bool:
    """Return True if the pieces of a Python's tests passed, by the exit codes of pytest.

    The marks may choose no test of a piece, but must choose one of all pieces.
    """
    return pytest.ExitCode.OK in codes and {*codes} <= _NO_FAILURE


def _run(tests: Tests, inside: str, number: int) -> int:
    """Run one piece of the tests in an environment. Return the exit code of pytest.

    Print the last line of its output, or all if it failed.
    """
    words = ["-m", "pytest", "-q", "-m", tests.marks, "-p", "no:cacheprovider"]
    words.append("--no-header")
    if tests.marks != _PEERS:
        words.append("--hypothesis-profile=quick")
    environment = {**os.environ, record.RUN: tests.name}
    if tests.covered:
        words += ["--cov", "--cov-report=", "--cov-fail-under=0"]  # of all pieces, see below
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
    """Run pytest. Return its exit code and its output. On a terminal, show how far it is."""
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
    """Return True if the tests of a Python covered enough branches."""
    data = f"--data-file={_COVERAGE}"
    # The warnings are about files of processes that a test killed: these are left.
    words = ["-W", "ignore", "-m", "coverage", "combine", "--quiet", data]
    combined = succeeds([inside, *words])
    for unusable in _COVERAGE.parent.glob(f"{_COVERAGE.name}.*"):
        unusable.unlink()
    say("branch coverage, per cent:")
    words = ["report", data, "--format=total", f"--fail-under={_LEAST_COVERED}"]
    return combined and succeeds([inside, "-m", "coverage", *words])


def _print_failures() -> None:
    """Repeat the failures at the end of the output: a CI log may keep nothing else."""
    for run in record.read():
        for test, error in run.failures.items():
            say(f"failed: {run.name}: {test}")
            print(error, flush=True)


if __name__ == "__main__":
    main()
