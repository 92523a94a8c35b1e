"""The reporter's queue on disk: it is bounded, keeps whole reports, and is safe to share.

Several processes may use one folder, and hostile files in the folder do no harm.
"""

from __future__ import annotations

import json
import os
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from certpin.reports import ReporterSettings
from certpin.reports.reporter.queue import QueuedReport, ReportFolder, ReportQueue
from certpin.support.files import try_lock
from tests.reports._collector import PATIENCE
from tests.reports._failures import NOW

if TYPE_CHECKING:
    from collections.abc import Callable

_TO = "https://pins.bank.example/reports"
_NAME = "000001764097129-00112233445566aa.json"


def queue(folder: Path, **fields: Any) -> ReportQueue:
    return ReportQueue(ReportFolder(folder), ReporterSettings(**fields))


def waiting(found: ReportQueue) -> list[Any]:
    """Return the numbers ``n`` of the queued documents that can be sent now, oldest first."""
    documents = []
    for name in found.names(NOW):
        with found.claim(name) as item:
            documents += [] if item is None else [item.document["n"]]
    return documents


def put(found: ReportQueue, *numbers: int) -> None:
    for n in numbers:
        assert found.put(QueuedReport(_TO, {"n": n}), NOW + timedelta(milliseconds=n))


def test_queued_reports_keep_their_order_for_the_next_process(tmp_path: Path) -> None:
    put(queue(tmp_path / "new" / "folder"), 1, 2, 3)
    assert waiting(queue(tmp_path / "new" / "folder")) == [1, 2, 3]
    assert (tmp_path / "new" / "folder").stat().st_mode & 0o777 == 0o700


def test_a_full_queue_drops_the_oldest_report(tmp_path: Path) -> None:
    found = queue(tmp_path, queued=3)
    put(found, 1, 2, 3, 4, 5)
    assert waiting(found) == [3, 4, 5]
    assert found.lost == 2


def test_a_report_that_is_too_old_is_dropped(tmp_path: Path) -> None:
    found = queue(tmp_path)
    put(found, 1)
    late = NOW + timedelta(days=7, seconds=1)
    assert found.names(NOW + timedelta(days=7)) != []
    assert found.names(late) == []
    assert list(tmp_path.iterdir()) == []
    assert found.lost == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b" " * 300_000,
        json.dumps({"to": "http://evil.example/", "document": {}}).encode(),
        json.dumps({"to": _TO, "document": 7}).encode(),
    ],
)
def test_a_damaged_file_is_deleted_and_not_sent(tmp_path: Path, content: bytes) -> None:
    (tmp_path / _NAME).write_bytes(content)
    found = queue(tmp_path, keep=timedelta(days=366))
    with found.claim(_NAME) as item:
        assert item is None
    if content != b"null":
        assert list(tmp_path.iterdir()) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(content=st.binary(max_size=200))
def test_any_file_content_is_handled(tmp_path: Path, content: bytes) -> None:
    (tmp_path / _NAME).write_bytes(content)
    (tmp_path / "reported.json").write_bytes(content)
    (tmp_path / "retry.json").write_bytes(content)
    found = queue(tmp_path)
    assert found.retry_after(_TO, NOW) == 0
    with found.claim(_NAME) as item:
        assert item is None
    assert ReportFolder(tmp_path).reported() == {}


def test_links_and_pipes_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside.json"
    outside.write_text(json.dumps({"to": _TO, "document": {"n": 1}}))
    inside = tmp_path / "folder"
    inside.mkdir()
    (inside / _NAME).symlink_to(outside)
    os.mkfifo(inside / _NAME.replace("aa", "bb"))
    found = queue(inside)
    for name in (_NAME, _NAME.replace("aa", "bb")):
        with found.claim(name) as item:
            assert item is None
    assert list(inside.iterdir()) == []
    assert outside.exists()


def test_two_senders_never_claim_the_same_report(tmp_path: Path) -> None:
    mine, yours = queue(tmp_path), queue(tmp_path)
    put(mine, 1)
    (name,) = mine.names(NOW)
    with mine.claim(name) as item:
        assert item is not None
        with yours.claim(name) as other:
            assert other is None
        mine.remove(name)
    with yours.claim(name) as other:
        assert other is None


def test_a_day_can_be_claimed_once(tmp_path: Path) -> None:
    folder, subject = ReportFolder(tmp_path / "new"), "0" * 32
    days = ["2026-11-25", "2026-11-25", "2026-11-24", "2026-11-26", "2026-11-26"]
    assert [folder.claim_day(day, subject) for day in days] == [True, False, False, True, False]
    assert folder.claim_day("2026-11-26", "1" * 32)
    assert len(list((tmp_path / "new").iterdir())) == 2


def test_a_clock_that_was_set_back_suppresses_nothing(tmp_path: Path) -> None:
    """Queue entries with a future time neither use up the limits nor delay new reports."""
    found, ahead = queue(tmp_path, queued=2), NOW + timedelta(days=400)
    for n in (1, 2):
        assert found.put(QueuedReport(_TO, {"n": n}), ahead)
    put(found, 3, 4)
    assert waiting(found) == [3, 4]
    folder, subject = ReportFolder(tmp_path), "0" * 32
    assert folder.claim_day("2099-01-01", subject)
    assert [folder.claim_day("2026-11-25", subject) for _ in range(2)] == [True, False]
    found.save_retry_after(_TO, 3600, ahead)
    assert found.retry_after(_TO, NOW) == 0


def test_retry_after_is_shared_by_all_processes(tmp_path: Path) -> None:
    queue(tmp_path).save_retry_after(_TO, 3600, NOW)
    other = "https://elsewhere.bank.example/"
    queue(tmp_path).save_retry_after(other, 60, NOW)
    found = queue(tmp_path)
    assert [found.retry_after(to, NOW + timedelta(minutes=2)) for to in (_TO, other)] == [3480, 0]
    found.save_retry_after(other, 60, NOW + timedelta(hours=2))
    assert len(ReportFolder(tmp_path).retry_times()) == 1, "past entries are deleted"
    assert b"bank" not in (tmp_path / "retry.json").read_bytes()


def test_processes_that_get_retry_after_at_the_same_time_keep_all_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one waits until the first has written, and then reads both times."""
    first, second, moved = queue(tmp_path), queue(tmp_path), threading.Event()
    save, lock, other = first._folder.save_retry_times, try_lock, "https://other.bank.example/"

    def save_second() -> None:
        second.save_retry_after(other, 60, NOW)
        moved.set()

    def watched(descriptor: int) -> bool:
        if granted := lock(descriptor):
            return granted
        moved.set()
        return False

    def save_later(times: dict[str, float]) -> None:
        thread.start()
        assert moved.wait(PATIENCE)
        save(times)

    thread = threading.Thread(target=save_second)
    monkeypatch.setattr("certpin.reports.reporter.queue.try_lock", watched)
    monkeypatch.setattr(first._folder, "save_retry_times", save_later)
    first.save_retry_after(_TO, 3600, NOW)
    thread.join(PATIENCE)
    assert [queue(tmp_path).retry_after(to, NOW) for to in (_TO, other)] == [3600, 60]


@pytest.mark.parametrize(
    "write",
    [
        lambda folder, name: folder.write(name, {"n": 1}),
        lambda folder, _: folder.save_reported({"a": 1.0}),
        lambda folder, _: folder.save_retry_times({"a": 1.0}),
    ],
    ids=["report", "reported", "retry"],
)
def test_only_abandoned_unfinished_files_are_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[ReportFolder, str], object]
) -> None:
    """The files are those of a process that died before it renamed them."""
    with monkeypatch.context() as dying:
        dying.setattr(Path, "replace", _dies)
        dying.setattr(Path, "unlink", _dies)
        for name in (_NAME, _NAME.replace("aa", "bb")):
            with pytest.raises(OSError, match="died"):
                write(ReportFolder(tmp_path), name)
    old, new = tmp_path.iterdir()
    os.utime(old, (time.time() - 120, time.time() - 120))
    assert queue(tmp_path).names(NOW) == []
    assert list(tmp_path.iterdir()) == [new]


def _dies(*_args: object, **_keywords: object) -> None:
    raise OSError("the process died")


def test_a_few_reports_wait_in_memory_if_the_folder_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = queue(tmp_path / "file" / "folder")
    stored = [
        found.put(QueuedReport(_TO, {"n": n}), NOW + timedelta(milliseconds=n)) for n in range(12)
    ]
    assert stored == [False] * 12
    assert waiting(found) == list(range(4, 12))
    for name in found.names(NOW):
        found.remove(name)
    assert waiting(found) == []


def test_a_system_without_locks_that_keeps_open_files_sends_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, an open file cannot be deleted: the queue deletes a report after closing it.

    Until then, the report is not offered for sending again.
    """
    monkeypatch.setattr("certpin.support.files._fcntl", None)
    found = queue(tmp_path)
    put(found, 1)
    (name,) = found.names(NOW)
    with found.claim(name) as item:
        assert item is not None
        with monkeypatch.context() as patched:
            patched.setattr("pathlib.Path.unlink", _refuse)
            found.remove(name)
        assert found.names(NOW) == [], "it is not sent twice"
    assert list(tmp_path.iterdir()) == []


def _refuse(path: Path) -> None:
    raise PermissionError(13, "it is open")
