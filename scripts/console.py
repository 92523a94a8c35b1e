"""Output of the scripts: one line for each step, and errors with a fix."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def say(text: str) -> None:
    """Print the name of a step before it begins."""
    print(f"== {text}", flush=True)


def fail(problem: str, fix: str) -> NoReturn:
    """End the script with status 2."""
    print(f"\nerror: {problem}\n  fix: {fix}", file=sys.stderr, flush=True)
    raise SystemExit(2)


def succeeds(
    argv: Sequence[str], *, env: Mapping[str, str] | None = None, quiet: bool = False
) -> bool:
    """Run a program without input. Return True if it ended with 0.

    Its output goes to this program's output; with ``quiet``, only if it failed.
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
