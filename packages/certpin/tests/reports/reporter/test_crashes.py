"""Reports survive killed processes, a full disk, and processes that share a queue folder."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from certpin.reports import Reporter, ReporterSettings
from certpin.reports.reporter.queue import QueuedReport, ReportFolder, ReportQueue
from certpin.support.files import try_lock
from certpin.updates.cache import FolderLock
from scripts.record import FORBIDDEN
from tests.reports._collector import PATIENCE, Collector
from tests.reports._failures import NOW, Clock, failure
from tests.reports._reporting import reporting
from tests.updates.test_crashes import die_at, forked_together, in_a_child

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded:DeprecationWarning"
)
_QUEUE = "certpin.reports.reporter.queue"
_TO = "https://pins.bank.example/reports"
_MANY = ReporterSettings(different=1000, queued=100)


def _queue(folder: Path) -> ReportQueue:
    return ReportQueue(ReportFolder(folder), ReporterSettings(queued=2))


def _waiting(folder: Path) -> list[Any]:
    found = []
    waiting = _queue(folder)
    for name in waiting.names(NOW):
        with waiting.claim(name) as item:
            assert item is not None, "it is whole"
            found.append(item.document["n"])
    return found


def _write(folder: Path, moment: int) -> None:
    die_at(moment, folder)
    assert _queue(folder).put(QueuedReport(_TO, {"n": 3}), NOW + timedelta(seconds=3))
    ReportFolder(folder).save_reported({"new": 2.0})
    ReportFolder(folder).claim_day("2026-11-25", "0" * 32)


@pytest.mark.slow
def test_files_are_whole_whenever_the_process_is_killed(tmp_path: Path) -> None:
    moments, found = 0, set()
    while True:
        moments += 1
        folder = tmp_path / str(moments)
        for n in (1, 2):
            assert _queue(folder).put(QueuedReport(_TO, {"n": n}), NOW + timedelta(seconds=n))
        ReportFolder(folder).save_reported({"old": 1.0})
        died = in_a_child(partial(_write, folder, moments))
        found.add((tuple(_waiting(folder)), *ReportFolder(folder).reported()))
        again = ReportFolder(folder).claim_day("2026-11-25", "0" * 32)
        assert not (again and not died), "reported once a day at most"
        if not died:
            break
        assert os.WTERMSIG(died) == signal.SIGKILL
    assert moments > 8
    # A report above the limit may exist for a moment; the next one evicts it.
    assert found == {
        ((1, 2), "old"),
        ((1, 2, 3), "old"),
        ((2, 3), "old"),
        ((2, 3), "new"),
    }


def test_the_next_process_sends_the_report_of_a_killed_one(tmp_path: Path) -> None:
    with Collector() as collector:
        collector.answers.append(None)
        child = os.fork()
        if child == 0:
            try:
                reporter = Reporter(tmp_path, clock=Clock())
                reporter(failure(collector.url))
                signal.alarm(PATIENCE)
                signal.pause()
            finally:
                os._exit(1)
        collector.arrived(1)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with Reporter(tmp_path, clock=Clock()):
            first, again = collector.arrived(2)
        assert first.document == again.document


_ENDS_AT_ONCE = """
import sys
from certpin.reports import Reporter
from tests.reports._failures import Clock, failure
Reporter(sys.argv[1], clock=Clock())(failure(sys.argv[2]))
"""


@pytest.mark.medium
def test_a_program_that_ends_without_close_leaves_its_report_on_disk(tmp_path: Path) -> None:
    with Collector() as collector:
        command = [sys.executable, "-c", _ENDS_AT_ONCE, str(tmp_path / "here"), collector.url]
        subprocess.run(command, check=True, timeout=60)
        with Reporter(tmp_path / "here", clock=Clock()) as reporter:
            assert reporter.flush(PATIENCE)
        assert len({each.document["id"] for each in collector.arrived(1)}) == 1


def test_a_worker_of_multiprocessing_leaves_its_report_on_disk(tmp_path: Path) -> None:
    reporter = Reporter(tmp_path / "here", clock=Clock())
    worker = multiprocessing.get_context("fork").Process(target=reporter, args=(failure(_TO),))
    worker.start()
    worker.join(PATIENCE)
    assert worker.exitcode == 0
    assert len(ReportFolder(tmp_path / "here").names()) == 1


def _report_many(folder: Path, address: str, who: str) -> None:
    reporter = Reporter(folder, clock=Clock(), settings=_MANY)
    for n in range(20):
        reporter(failure(address, reason=f"{who} {n}"))
        reporter.flush(PATIENCE)
    while not reporter.flush(PATIENCE):
        pass


@pytest.mark.medium
def test_processes_that_share_a_folder_send_each_report_once(tmp_path: Path) -> None:
    with Collector() as collector:
        children = []
        for who in ("mine", "yours"):
            child = os.fork()
            if child == 0:
                try:
                    signal.alarm(60)
                    _report_many(tmp_path, collector.url, who)
                    os._exit(0)
                finally:
                    os._exit(1)
            children.append(child)
        assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
        sent = [each.document["id"] for each in collector.arrived(40)]
    assert len(sent) == len(set(sent)) == 40
    assert ReportQueue(ReportFolder(tmp_path), _MANY).names(NOW) == []


def test_reporters_that_share_a_folder_report_a_failure_once(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second reporter waits while the first one decides, and then knows of its report.

    A man in the middle meets all workers of a server at the same moment.
    """
    saving, moved = threading.Event(), threading.Event()
    save, read, lock = ReportFolder.save_reported, ReportFolder.reported, try_lock

    def watched(descriptor: int) -> bool:
        granted = lock(descriptor)
        if not granted:
            moved.set()
        return granted

    def save_later(times: dict[str, float]) -> None:
        saving.set()
        assert moved.wait(PATIENCE)
        save(first._folder, times)

    def read_watched() -> dict[str, float]:
        times = read(second._folder)
        moved.set()
        return times

    with reporting(tmp_path) as first, reporting(tmp_path) as second:
        monkeypatch.setattr(f"{_QUEUE}.try_lock", watched)
        monkeypatch.setattr(first._folder, "save_reported", save_later)
        monkeypatch.setattr(second._folder, "reported", read_watched)
        first(failure(collector.url))
        assert saving.wait(PATIENCE)
        second(failure(collector.url))
        assert first.flush(PATIENCE)
        assert second.flush(PATIENCE)
    assert len(collector.arrived(1)) == 1


@pytest.mark.medium
def test_processes_that_report_at_the_same_time_remember_all_failures(tmp_path: Path) -> None:
    same = failure(_TO)  # made here, because each process would make another chain

    def report(number: int) -> None:
        reporter = Reporter(tmp_path, clock=Clock())
        reporter(same)
        reporter(failure(_TO, reason=f"number {number}"))
        assert reporter.settle(PATIENCE)

    children = forked_together(partial(report, number) for number in range(8))
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
    assert len(ReportFolder(tmp_path).reported()) == 9
    assert len(ReportFolder(tmp_path).names()) == 9


def test_an_updater_with_the_same_folder_does_not_delay_a_report(tmp_path: Path) -> None:
    with ReportFolder(tmp_path).locked(), FolderLock(tmp_path).held(lambda _: False):
        assert {path.name for path in tmp_path.iterdir()} >= {"lock", "reports.lock"}


def test_a_lock_that_is_never_released_prevents_no_report(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{_QUEUE}._LOCK_WAIT", 0.0)
    with ReportFolder(tmp_path).locked(), reporting(tmp_path) as reporter:
        reporter(failure(collector.url))
        assert reporter.flush(PATIENCE)
    assert len(collector.arrived(1)) == 1


_ON_A_SMALL_DISK = """
import json, logging, pathlib, subprocess, sys
from certpin.reports import Reporter, ReporterSettings
from tests.reports._failures import Clock, failure
folder = pathlib.Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "small", folder], check=True)
logging.disable()
reporter = Reporter(folder, clock=Clock(), settings=ReporterSettings(different=1000))
def fill():
    with open(folder / "ballast", "wb", buffering=0) as file:
        try:
            while file.write(b"x" * 512): pass
        except OSError: pass
def free():
    (folder / "ballast").unlink()
def read_only():
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
for line in sys.stdin:
    globals()[line.strip()]()
    reporter(failure(sys.argv[2], reason=line.strip()))
    print(json.dumps(reporter.flush(15)), flush=True)
for n in range(20):  # no collector answers
    reporter(failure("https://127.0.0.1:9/reports", reason=str(n)))
print(json.dumps([reporter.flush(15), reporter.lost]), flush=True)
"""


@pytest.mark.slow
@pytest.mark.peer("unshare")
def test_reports_are_sent_with_a_full_or_read_only_disk(tmp_path: Path) -> None:
    mount = ["unshare", "--mount", "mount", "-t", "tmpfs", "x", str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip(f"left out: {FORBIDDEN}to mount file systems")
    with Collector() as collector:
        argv = ["unshare", "--mount", sys.executable, "-c", _ON_A_SMALL_DISK]
        words = "fill\nfree\nread_only\n"
        done = subprocess.run(
            [*argv, str(tmp_path), collector.url],
            input=words,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        said = [json.loads(line) for line in done.stdout.splitlines()]
        assert said == [True, True, True, [False, 12]]  # eight wait in memory
        assert [each.document["reason"] for each in collector.arrived(3)] == words.split()
