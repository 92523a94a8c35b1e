"""The pool of daemon threads: results, errors, its limit of threads, and its shutdown."""

from __future__ import annotations

from threading import Event, get_ident

import pytest

from certpin.support.network import DaemonPool

DEADLINE = 30  # seconds


def test_results_and_errors_are_in_the_futures() -> None:
    with DaemonPool(2, "test") as pool:
        good, bad = pool.submit(lambda: 7), pool.submit(lambda: int("x"))
        assert good.result(DEADLINE) == 7
        with pytest.raises(ValueError, match="invalid literal"):
            bad.result(DEADLINE)


def test_no_more_threads_run_than_the_limit() -> None:
    with DaemonPool(3, "test") as pool:
        futures = [pool.submit(get_ident) for _ in range(50)]
        assert len({future.result(DEADLINE) for future in futures}) <= 3


def test_the_end_waits_for_no_call_and_drops_those_that_have_not_begun() -> None:
    begun, finish = Event(), Event()

    def block() -> None:
        begun.set()
        finish.wait(DEADLINE)

    with DaemonPool(1, "test") as pool:
        running = pool.submit(block)
        waiting = pool.submit(lambda: None)
        begun.wait(DEADLINE)
    assert not running.done()
    finish.set()
    running.result(DEADLINE)
    assert not waiting.done()
