"""What ``import certpin`` costs above the bare interpreter, and what the command line loads."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.bench.paired import Figure

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROUNDS = 21
_ENVIRONMENT = {
    name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
}


def figures() -> Iterator[Figure]:
    """Pairs of a bare interpreter and one that imports."""
    yield Figure(
        "import certpin, above the bare interpreter", _above("import certpin"), " ms", limit=40
    )
    for name in ("ssl", "requests", "httpx", "aiohttp"):
        yield Figure(f"  beside it: import {name}", _above(f"import {name}"), " ms")


def _above(code: str) -> float:
    _cpu(code)  # so that the bytecode is there, as it is after an installation
    pairs = [(_cpu(code), _cpu("pass")) for _ in range(_ROUNDS)]
    return statistics.median(with_it - bare for with_it, bare in pairs) * 1000


def _cpu(code: str) -> float:
    """CPU seconds, in user and kernel mode: what other processes do does not count."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, env=_ENVIRONMENT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
