"""Run many slow calls in parallel, with a progress bar on a terminal."""

from __future__ import annotations

import sys
from concurrent.futures import as_completed
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from certpin.support.pool import DaemonPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Result = TypeVar("Result")

_MAX_THREADS = 64


def run_parallel(jobs: Sequence[Callable[[], Result]], word: str) -> list[Result]:
    """Return the results of all jobs, in their order.

    The threads are daemons, unlike those of an executor: a user who stops the program does not
    wait for the slowest server.

    Args:
        jobs: the calls.
        word: the label of the progress bar.

    Raises:
        BaseException: the error of the first job in the list that failed, after all have ended.
    """
    with DaemonPool(_MAX_THREADS, "certpin-cli") as pool, progress(len(jobs), word) as advance:
        futures = [pool.submit(job) for job in jobs]
        for _ in as_completed(futures):
            advance()
    return [future.result() for future in futures]


@contextmanager
def progress(total: int, word: str, *, quiet: bool = False) -> Iterator[Callable[[], None]]:
    """Show a bar on a terminal, nothing in a pipe. Call the yielded function after each unit."""
    if quiet or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(word, total=total)
        yield lambda: progress.advance(task)
