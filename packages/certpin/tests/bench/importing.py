"""The CPU time of ``import certpin`` and of ``certpin --help``, compared with other packages."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.bench.paired import Figure
from tests.cli._registry import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROUNDS = 21
_ROUNDS_OF_HELP = 7  # there are many commands
_AGAIN = 3  # so many are measured again: the largest of many figures is mostly noise
# `import certpin` imports each name at its first use. This is an import that every user needs.
_CERTPIN = "from certpin import PinSet, PinnedSSLContext"
_CLICK = ("-c", "import click")
_ENVIRONMENT = {
    name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
}


def figures() -> Iterator[Figure]:
    """Measure imports above a bare interpreter, and certpin's commands against ``import click``."""
    certpin, requests = _above(_CERTPIN), _above("import requests")
    yield Figure("import certpin, beside import requests", certpin / requests, limit=0.6)
    yield Figure("  import certpin, above the bare interpreter", certpin, " ms")
    yield Figure("  import requests", requests, " ms")
    for name in ("ssl", "httpx", "aiohttp"):
        yield Figure(f"  import {name}", _above(f"import {name}"), " ms")
    for word in ("--version", "--help"):
        yield Figure(f"certpin {word}, beside import click", _times_click(word), limit=1.5)
    ratios = {path: _times_click(*path, "--help", rounds=_ROUNDS_OF_HELP) for path in COMMANDS}
    slowest = sorted(ratios, key=ratios.__getitem__)[-_AGAIN:]
    exact = {path: _times_click(*path, "--help") for path in slowest}
    worst = max(exact, key=exact.__getitem__)
    yield Figure(f"the slowest COMMAND --help: {' '.join(worst)}", exact[worst], limit=2)
    yield Figure("  the median of all commands", statistics.median(ratios.values()))


def _above(code: str) -> float:
    """Return the milliseconds of CPU time that Python needs for this code, less a bare start."""
    _cpu("-c", code)  # so that the bytecode exists, as it does after an installation
    pairs = [(_cpu("-c", code), _cpu("-c", "pass")) for _ in range(_ROUNDS)]
    return statistics.median(with_it - bare for with_it, bare in pairs) * 1000


def _times_click(*words: str, rounds: int = _ROUNDS) -> float:
    """Return the CPU time of a certpin command as a multiple of ``python -c "import click"``.

    Args:
        words: the arguments of certpin.
        rounds: the number of measured pairs; the result is their median.
    """
    command = ("-m", "certpin", *words)
    _cpu(*command)
    return statistics.median(_cpu(*command) / _cpu(*_CLICK) for _ in range(rounds))


def _cpu(*words: str) -> float:
    """Run Python with these arguments, and return the CPU seconds of that process.

    The time in user and kernel mode does not include other processes.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *words], check=True, env=_ENVIRONMENT, stdout=subprocess.DEVNULL
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
