"""The reporter under difficult conditions.

These are forks, threads that cannot start, a disk that hangs, slow servers, and the process's end.
"""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from certpin.reports.reporter.reporter import DiskWriter
from tests.reports._collector import PATIENCE, Collector
from tests.reports._failures import failure
from tests.reports._reporting import QUICK, reporting
from tests.updates.test_crashes import in_a_child

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_a_server_that_answers_too_slowly_is_given_up(tmp_path: Path, collector: Collector) -> None:
    collector.answers.append(None)
    settings = replace(QUICK, deadline=timedelta(milliseconds=300))
    with reporting(tmp_path, settings=settings) as reporter:
        reporter(failure(collector.url))
        collector.arrived(2)


def test_close_ends_a_slow_request_and_the_next_process_sends_the_report(
    tmp_path: Path, collector: Collector
) -> None:
    collector.answers.append(None)
    with reporting(tmp_path) as reporter:
        reporter(failure(collector.url))
        collector.arrived(1)
        reporter.close(0)
        reporter.close()
        reporter(failure(collector.url, reason="expired"))
    with reporting(tmp_path):
        first, again = collector.arrived(2)
    assert first.document == again.document


@pytest.mark.medium
def test_a_reporter_that_is_called_never_waits_for_the_disk_and_never_raises(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, let_go = threading.Event(), threading.Event()

    def stuck(*_: Any) -> dict[str, float]:
        entered.set()
        let_go.wait(PATIENCE)
        return {}

    with reporting(tmp_path) as reporter:
        monkeypatch.setattr(reporter._folder, "reported", stuck)
        reporter(failure(collector.url))
        assert entered.wait(PATIENCE)
        for _ in range(400):
            reporter(failure(collector.url))
        assert len(reporter._writer._tasks) == 255
        let_go.set()
        collector.arrived(1)


def test_a_report_that_cannot_be_made_or_sent_stops_no_other(
    tmp_path: Path, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    with reporting(tmp_path) as reporter:
        reporter(None)  # type: ignore[arg-type]  # as a caller may be wrong
        reporter(failure("https://127.0.0.1:99999/", collector.url))
        collector.arrived(1)
        assert reporter.flush(PATIENCE)
        assert reporter.lost == 1
    logged = [record.message for record in caplog.records if record.name == "certpin.reports"]
    assert logged == [
        "something could not be reported",
        "a report could not be sent, and is dropped",
    ]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_reports(tmp_path: Path, collector: Collector) -> None:
    with reporting(tmp_path) as reporter:
        reporter(failure(collector.url))
        collector.arrived(1)
        child = os.fork()
        if child == 0:
            try:
                reporter(failure(collector.url, reason="expired"))
                os._exit(0 if reporter.flush(PATIENCE) else 1)
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
        assert len(collector.arrived(2)) == 2


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_that_is_forked_while_locks_are_held_does_not_wait_for_them(
    tmp_path: Path, collector: Collector
) -> None:
    with reporting(tmp_path) as reporter:
        held, let_go = threading.Event(), threading.Event()

        def hold() -> None:
            with reporter._writer._changed, reporter._sender._changed, reporter._queue._guard:
                held.set()
                let_go.wait(PATIENCE)

        thread = threading.Thread(target=hold)
        thread.start()
        assert held.wait(PATIENCE)
        child = os.fork()
        if child == 0:
            try:
                signal.alarm(PATIENCE)
                reporter(failure(collector.url))
                os._exit(0 if reporter.flush(PATIENCE) else 1)
            finally:
                os._exit(2)
        let_go.set()
        thread.join()
        assert os.waitpid(child, 0)[1] == 0


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_failures_after_the_end_are_counted_and_logged_once(
    tmp_path: Path, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    with reporting(tmp_path) as reporter:
        reporter(failure(collector.url))
        assert reporter.flush(PATIENCE)
    assert reporter.lost == 0
    for reason in ("expired", "untrusted"):
        reporter(failure(collector.url, reason=reason))
    assert reporter.lost == 2
    assert [each.message for each in caplog.records if each.levelname == "WARNING"] == [
        "a reporter was closed, and drops later reports: close it after the last connection"
    ]
    assert len(collector.arrived(1)) == 1

    def in_the_child() -> None:
        reporter(failure(collector.url, reason="expired"))
        assert reporter.lost == 1
        assert reporter.settle(PATIENCE)
        assert not list(tmp_path.glob("*-*.json"))

    assert in_a_child(in_the_child) == 0


def test_no_report_is_lost_if_no_thread_can_start(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads cannot start at the end of an interpreter, and at the process limit of a container.

    The report stays on disk, and is sent as soon as a thread can start.
    """

    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with reporting(tmp_path) as reporter:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", none_left)
            reporter(failure(collector.url))
            assert not reporter.flush(PATIENCE)
            assert len(list(tmp_path.glob("0*.json"))) == 1
        with monkeypatch.context() as patched:
            patched.setattr(threading.Timer, "start", none_left)
            assert not reporter.flush(PATIENCE)
        assert reporter.flush(PATIENCE)
    assert len(collector.arrived()) == 1


def test_each_task_of_many_threads_runs_once() -> None:
    writer = DiskWriter()
    done: list[tuple[int, int]] = []
    together = threading.Barrier(4)

    def work(worker: int) -> None:
        together.wait(PATIENCE)
        for n in range(50):
            writer.submit(partial(done.append, (worker, n)))

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert writer.wait(PATIENCE)
    writer.close()
    assert len(done) == 200
