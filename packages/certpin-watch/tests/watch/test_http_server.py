"""The addresses and the event loop of the service, and the scheduling policy of its threads."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any

import pytest

from certpin.errors import ConfigError
from certpin_watch.http_server import (
    ServiceLoop,
    check_free,
    prefer_throughput,
    resolve_listen,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


_THREADS, _CALLBACKS = 8, 2000


@pytest.fixture
def loop() -> Iterator[ServiceLoop]:
    loop = ServiceLoop()
    yield loop
    loop.close()


def test_localhost_is_the_loopback_whatever_the_resolver_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The service needs no login on localhost, so it must not listen on another address."""
    found = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::7", 80, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 80)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert resolve_listen(("localhost", 80)) == ("127.0.0.1", 80)
    assert resolve_listen(("watch.bank.test", 80)) == ("192.0.2.7", 80)
    del found[1]
    assert resolve_listen(("watch.bank.test", 80)) == ("2001:db8::7", 80)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_an_ip_address_to_listen_on_is_not_changed(host: str) -> None:
    assert resolve_listen((host, 80)) == (host, 80)


def test_a_name_that_cannot_be_resolved_is_an_error_with_its_cause() -> None:
    with pytest.raises(ConfigError, match=r"port 80 cannot be listened on: .+") as caught:
        check_free(("no-such-name.invalid", 80))
    assert "is no address of this machine" in caught.value.fix


@pytest.mark.medium
def test_callbacks_of_threads_run_once_and_in_order(loop: ServiceLoop) -> None:
    results: list[tuple[int, int]] = []

    def hand_over(thread: int) -> None:
        for number in range(_CALLBACKS):
            loop.call_soon_threadsafe(take, thread, number)

    def take(thread: int, number: int) -> None:
        results.append((thread, number))
        if len(results) == _THREADS * _CALLBACKS:
            loop.stop()

    threads = [threading.Thread(target=hand_over, args=(n,)) for n in range(_THREADS)]
    for worker in threads:
        worker.start()
    loop.call_later(60, loop.stop)
    loop.run_forever()
    for worker in threads:
        worker.join()
    for thread in range(_THREADS):
        assert [number for n, number in results if n == thread] == list(range(_CALLBACKS))


def test_a_failing_callback_is_reported_and_the_others_run(loop: ServiceLoop) -> None:
    failed: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: failed.append(context))

    def fail() -> None:
        raise ValueError("a mistake")

    loop.call_soon_threadsafe(fail)
    loop.call_soon_threadsafe(loop.stop)
    loop.run_forever()
    (failure,) = failed
    assert str(failure["exception"]) == "a mistake"


@pytest.mark.parametrize("ends", [SystemExit, KeyboardInterrupt])
def test_an_exit_stops_the_loop_and_the_rest_runs_later(
    loop: ServiceLoop, ends: type[BaseException]
) -> None:
    def end() -> None:
        raise ends

    results: list[str] = []
    loop.call_soon_threadsafe(end)
    loop.call_soon_threadsafe(results.append, "rest")
    loop.call_later(60, loop.stop)
    with pytest.raises(ends):
        loop.run_forever()
    loop.call_later(0, loop.stop)  # as `asyncio.Runner` does to clean up
    loop.run_forever()
    assert results == ["rest"]


def test_a_cancelled_callback_does_not_run(loop: ServiceLoop) -> None:
    results: list[str] = []
    loop.call_soon_threadsafe(results.append, "one")
    loop.call_soon_threadsafe(results.append, "two").cancel()
    loop.call_soon_threadsafe(loop.stop)
    loop.run_forever()
    assert results == ["one"]


def test_a_callback_runs_in_its_own_context(loop: ServiceLoop) -> None:
    word: ContextVar[str] = ContextVar("word", default="none")
    results: list[str] = []
    given = copy_context()
    given.run(word.set, "given")
    loop.call_soon_threadsafe(lambda: results.append(word.get()), context=given)
    token = word.set("current")
    loop.call_soon_threadsafe(lambda: results.append(word.get()))
    word.reset(token)
    loop.call_soon_threadsafe(loop.stop)
    loop.run_forever()
    assert results == ["given", "current"]


def test_a_callback_added_by_another_runs_too(loop: ServiceLoop) -> None:
    results: list[str] = []

    def first() -> None:
        loop.call_soon_threadsafe(second)

    def second() -> None:
        results.append("second")
        loop.stop()

    loop.call_soon_threadsafe(first)
    loop.call_later(60, loop.stop)
    loop.run_forever()
    assert results == ["second"]


def test_a_closed_loop_refuses_callbacks() -> None:
    loop = ServiceLoop()
    loop.call_soon_threadsafe(print)  # it is woken now, and never runs the callback
    loop.close()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="closed"):
            loop.call_soon_threadsafe(print)


def test_threads_and_subprocesses_work(loop: ServiceLoop) -> None:
    async def work() -> tuple[int, int | None]:
        process = await asyncio.create_subprocess_exec("true")
        return await asyncio.to_thread(lambda: 7), await process.wait()

    assert loop.run_until_complete(work()) == (7, 0)


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="Linux has these policies")
@pytest.mark.parametrize("chosen", ["SCHED_OTHER", "SCHED_IDLE"])
def test_throughput_is_preferred_unless_the_operator_chose_another_policy(chosen: str) -> None:
    results: list[int] = []

    def choose() -> None:  # in a separate thread, which has its own policy
        os.sched_setscheduler(0, getattr(os, chosen), os.sched_param(0))
        prefer_throughput()
        results.append(os.sched_getscheduler(0))

    thread = threading.Thread(target=choose)
    thread.start()
    thread.join()
    assert results == [os.SCHED_BATCH if chosen == "SCHED_OTHER" else os.SCHED_IDLE]
