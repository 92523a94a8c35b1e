"""The function that runs slow calls in parallel: results keep their order, and no error is lost."""

from __future__ import annotations

from functools import partial
from threading import Barrier, get_ident
from typing import TYPE_CHECKING

import pytest

from certpin.cli.servers import run_parallel

if TYPE_CHECKING:
    from collections.abc import Callable


def test_results_come_in_the_order_of_the_jobs() -> None:
    assert run_parallel([partial(int, str(number)) for number in range(500)], "counting") == list(
        range(500)
    )


def test_jobs_run_at_the_same_time_in_a_bounded_number_of_threads() -> None:
    together = Barrier(64, timeout=30)  # passes only when 64 threads wait

    def job() -> int:
        together.wait()
        return get_ident()

    assert len(set(run_parallel([job] * 128, "waiting"))) == 64


def test_no_jobs_have_no_results() -> None:
    assert run_parallel([], "nothing") == []


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_the_error_of_a_job_is_raised_after_the_others_have_ended(
    kind: type[BaseException],
) -> None:
    done: list[int] = []

    def fail() -> object:
        raise kind

    jobs: list[Callable[[], object]] = [partial(done.append, number) for number in range(9)]
    with pytest.raises(kind):
        run_parallel([fail, *jobs], "failing")
    assert sorted(done) == list(range(9))
