"""The loop of the service: what threads hand over is run once, in order, whatever fails of it."""

from __future__ import annotations

import asyncio
import os
import threading
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any

import pytest

from certpin_watch.http_server import ServiceLoop, prefer_throughput

if TYPE_CHECKING:
    from collections.abc import Iterator

_THREADS, _EACH = 8, 2000


@pytest.fixture
def loop() -> Iterator[ServiceLoop]:
    loop = ServiceLoop()
    yield loop
    loop.close()


def test_what_threads_hand_over_is_run_once_and_in_their_order(loop: ServiceLoop) -> None:
    got: list[tuple[int, int]] = []

    def hand_over(thread: int) -> None:
        for number in range(_EACH):
            loop.call_soon_threadsafe(take, thread, number)

    def take(thread: int, number: int) -> None:
        got.append((thread, number))
        if len(got) == _THREADS * _EACH:
            loop.stop()

    threads = [threading.Thread(target=hand_over, args=(n,)) for n in range(_THREADS)]
    for each in threads:
        each.start()
    loop.call_later(60, loop.stop)
    loop.run_forever()
    for each in threads:
        each.join()
    for thread in range(_THREADS):
        assert [number for n, number in got if n == thread] == list(range(_EACH))


def test_one_that_fails_is_told_and_the_others_run(loop: ServiceLoop) -> None:
    failed: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: failed.append(context))

    def fail() -> None:
        raise ValueError("a mistake")

    loop.call_soon_threadsafe(fail)
    loop.call_soon_threadsafe(loop.stop)
    loop.run_forever()
    (told,) = failed
    assert str(told["exception"]) == "a mistake"


@pytest.mark.parametrize("ends", [SystemExit, KeyboardInterrupt])
def test_the_end_of_the_process_ends_the_loop_and_the_rest_runs_later(
    loop: ServiceLoop, ends: type[BaseException]
) -> None:
    def end() -> None:
        raise ends

    got: list[str] = []
    loop.call_soon_threadsafe(end)
    loop.call_soon_threadsafe(got.append, "rest")
    loop.call_later(60, loop.stop)
    with pytest.raises(ends):
        loop.run_forever()
    loop.call_later(0, loop.stop)  # as `asyncio.Runner` does to clean up
    loop.run_forever()
    assert got == ["rest"]


def test_one_that_was_cancelled_is_not_run(loop: ServiceLoop) -> None:
    got: list[str] = []
    loop.call_soon_threadsafe(got.append, "one")
    loop.call_soon_threadsafe(got.append, "two").cancel()
    loop.call_soon_threadsafe(loop.stop)
    loop.run_forever()
    assert got == ["one"]


def test_each_is_run_in_its_own_context(loop: ServiceLoop) -> None:
    word: ContextVar[str] = ContextVar("word", default="none")
    got: list[str] = []
    given = copy_context()
    given.run(word.set, "given")
    loop.call_soon_threadsafe(lambda: got.append(word.get()), context=given)
    token = word.set("current")
    loop.call_soon_threadsafe(lambda: got.append(word.get()))
    word.reset(token)
    loop.call_soon_threadsafe(loop.stop)
    loop.run_forever()
    assert got == ["given", "current"]


def test_what_is_handed_over_while_others_run_is_run_too(loop: ServiceLoop) -> None:
    got: list[str] = []

    def first() -> None:
        loop.call_soon_threadsafe(second)

    def second() -> None:
        got.append("second")
        loop.stop()

    loop.call_soon_threadsafe(first)
    loop.call_later(60, loop.stop)
    loop.run_forever()
    assert got == ["second"]


def test_a_closed_loop_takes_nothing() -> None:
    loop = ServiceLoop()
    loop.call_soon_threadsafe(print)  # it is woken already, and never looks
    loop.close()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="closed"):
            loop.call_soon_threadsafe(print)


def test_threads_and_subprocesses_work_as_in_any_loop(loop: ServiceLoop) -> None:
    async def work() -> tuple[int, int | None]:
        process = await asyncio.create_subprocess_exec("true")
        return await asyncio.to_thread(lambda: 7), await process.wait()

    assert loop.run_until_complete(work()) == (7, 0)


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="Linux has these policies")
@pytest.mark.parametrize("chosen", ["SCHED_OTHER", "SCHED_IDLE"])
def test_throughput_is_preferred_unless_the_operator_chose_another_policy(chosen: str) -> None:
    got: list[int] = []

    def choose() -> None:  # in a separate thread, which has its own policy
        os.sched_setscheduler(0, getattr(os, chosen), os.sched_param(0))
        prefer_throughput()
        got.append(os.sched_getscheduler(0))

    thread = threading.Thread(target=choose)
    thread.start()
    thread.join()
    assert got == [os.SCHED_BATCH if chosen == "SCHED_OTHER" else os.SCHED_IDLE]
