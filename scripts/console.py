"""Console output of the scripts: a line for each step, and error messages with a fix."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def say(text: str) -> None:
    """Print a line that describes the step that begins now."""
    print(f"== {text}", flush=True)


def fail(problem: str, fix: str) -> NoReturn:
    """Print a problem and its fix to standard error, and exit with status 2."""
    print(f"\nerror: {problem}\n  fix: {fix}", file=sys.stderr, flush=True)
    raise SystemExit(2)


def succeeds(
    argv: Sequence[str], *, env: Mapping[str, str] | None = None, quiet: bool = False
) -> bool:
    """Run a program without standard input. Return True if its exit status is 0.

    The program writes to this process's standard output and error. With ``quiet``, its output is
    printed only if it fails. A program that can't be started gives False.
    """
    try:
        done = subprocess.run(
            argv,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if quiet else None,
            stderr=subprocess.STDOUT if quiet else None,
            check=False,
        )
    except OSError as exc:
        print(f"{argv[0]}: {exc.strerror}", file=sys.stderr)
        return False
    if quiet and done.returncode:
        print(done.stdout.decode(errors="replace"), file=sys.stderr, flush=True)
    return done.returncode == 0
