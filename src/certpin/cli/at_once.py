"""Many slow calls at once, with a progress bar on a terminal."""

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

_AT_ONCE = 64


def at_once(jobs: Sequence[Callable[[], Result]], word: str) -> list[Result]:
    """The results of all jobs, in their order. Raises what the first of them to fail raised.

    ``word`` stands beside the progress bar. The threads are daemons, which those of an executor
    are not: a user who stops the program does not wait for the slowest server.
    """
    waiting: SimpleQueue[tuple[Future[Result], Callable[[], Result]]] = SimpleQueue()
    futures: list[Future[Result]] = [Future() for _ in jobs]
    for pair in zip(futures, jobs, strict=True):
        waiting.put(pair)
    for _ in range(min(_AT_ONCE, len(jobs))):
        Thread(target=_work, args=(waiting,), daemon=True).start()
    with progress(len(jobs), word) as advance:
        for _ in as_completed(futures):
            advance()
    return [future.result() for future in futures]


def _work(waiting: SimpleQueue[tuple[Future[Result], Callable[[], Result]]]) -> None:
    while True:
        try:
            future, job = waiting.get_nowait()
        except Empty:
            return
        try:
            future.set_result(job())
        except BaseException as exc:  # noqa: BLE001  # raised again where the result is asked for
            future.set_exception(exc)


@contextmanager
def progress(total: int, word: str, *, quiet: bool = False) -> Iterator[Callable[[], None]]:
    """A bar on a terminal, and nothing in a pipe; what it yields counts one further."""
    if quiet or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(word, total=total)
        yield lambda: progress.advance(task)
