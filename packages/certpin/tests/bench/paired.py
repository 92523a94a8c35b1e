"""Measurement of two functions in turns, so that changes of the machine's load affect both."""

from __future__ import annotations

import gc
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Job = Callable[[], object]

_PROMISED_IN = {"x", "", "B"}


_TURN = 50  # rounds of one job before the next one's turn


@dataclass(frozen=True)
class Figure:
    """A result of a benchmark, as one line of its report.

    ``limit`` is the promised value, or ``None``: an upper limit, or a lower one with ``at_least``.
    Only a ratio to a peer in the same run, a count, or a number of bytes can be promised, because
    seconds and resident sizes depend on the machine. Raises ``ValueError`` for a limit in any other
    unit; without a limit, every unit is valid.
    """

    name: str
    value: float
    unit: str = "x"
    limit: float | None = None
    at_least: bool = False

    def __post_init__(self) -> None:
        if self.limit is not None and self.unit.strip() not in _PROMISED_IN:
            raise ValueError(f"{self.name}: nothing is promised in{self.unit}")

    @property
    def verdict(self) -> str:
        """Return "kept" or "NOT KEPT" for a value with a limit, and an empty text without one."""
        if self.limit is None:
            return ""
        kept = self.value >= self.limit if self.at_least else self.value <= self.limit
        return "kept" if kept else "NOT KEPT"

    def __str__(self) -> str:
        promise = ""
        if self.limit is not None:
            promise = f"{'at least' if self.at_least else 'at most'} {self.limit:g}{self.unit}"
        return f"{self.name:<64} {self.value:>9.3f}{self.unit:<4} {promise:<16} {self.verdict}"


def ratio(job: Job, baseline: Job, *, rounds: int, warm_up: int = 20) -> float:
    """Return a job's time divided by the baseline's: the median over pairs of runs.

    Args:
        job: the function to measure.
        baseline: the function to compare it with.
        rounds: the number of pairs.
        warm_up: the number of pairs before them that do not count.
    """
    (value,) = ratios([job], baseline, rounds=rounds, warm_up=warm_up)
    return value


def ratios(jobs: list[Job], baseline: Job, *, rounds: int, warm_up: int = 20) -> list[float]:
    """Return the time of each job divided by the baseline's: the medians over pairs of runs.

    The jobs take turns, so that all run under the same load of the machine.
    """
    for _ in range(warm_up):
        for job in jobs:
            job()
            baseline()
    found: list[list[float]] = [[] for _ in jobs]
    gc.collect()
    gc.disable()
    try:
        for begin in range(0, rounds, _TURN):
            turn = range(begin, min(begin + _TURN, rounds))
            for job, values in zip(jobs, found, strict=True):
                values += [_pair(job, baseline, number % 2 == 0) for number in turn]
    finally:
        gc.enable()
    return [statistics.median(each) for each in found]


def seconds(job: Job, *, rounds: int, repeat: int = 5) -> float:
    """Return the seconds of one call of a job: the mean of the fastest of several loops.

    The value depends on the machine, so use it only in comparisons.

    Args:
        job: the function to measure.
        rounds: the calls in a loop.
        repeat: the number of loops.
    """
    return min(_loop(job, rounds) for _ in range(repeat)) / rounds


def _pair(job: Job, baseline: Job, job_first: bool) -> float:
    first, second = (job, baseline) if job_first else (baseline, job)
    one, two = _loop(first, 1), _loop(second, 1)
    return one / two if job_first else two / one


def _loop(job: Job, rounds: int) -> float:
    start = time.perf_counter()
    for _ in range(rounds):
        job()
    return time.perf_counter() - start
