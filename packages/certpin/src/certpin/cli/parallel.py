"""Run many slow calls in parallel, with a progress bar on a terminal."""

from __future__ import annotations

import sys
from concurrent.futures import Future, as_completed
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

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
    queue: SimpleQueue[tuple[Future[Result], Callable[[], Result]]] = SimpleQueue()
    futures: list[Future[Result]] = [Future() for _ in jobs]
    for pair in zip(futures, jobs, strict=True):
        queue.put(pair)
    for _ in range(min(_MAX_THREADS, len(jobs))):
        Thread(target=_work, args=(queue,), daemon=True).start()
    with progress(len(jobs), word) as advance:
        for _ in as_completed(futures):
            advance()
    return [future.result() for future in futures]


def _work(queue: SimpleQueue[tuple[Future[Result], Callable[[], Result]]]) -> None:
    while True:
        try:
            future, job = queue.get_nowait()
        except Empty:
            return
        try:
            future.set_result(job())
        except BaseException as exc:  # noqa: BLE001  # raised again by future.result()
            future.set_exception(exc)


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
