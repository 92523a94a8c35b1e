"""The updater's cache: crashes, full and read-only disks, and processes that share a folder."""

from __future__ import annotations

import faulthandler
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tuf.api.exceptions import SlowRetrievalError

from certpin import UpdateError
from certpin.updates import checker
from scripts.record import FORBIDDEN
from tests.updates.test_attacks import Judge
from tests.updates.test_updater import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from certpin.updates import PinUpdater
    from certpin.updates.fetch import UpdateSource
    from tests.updates.conftest import World

pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded:DeprecationWarning"
)
PATIENCE = 60  # seconds
GOOD = "last-known-good.json"


def forked(work: Callable[[], object]) -> int:
    """Run a function in a forked process, and return the process ID.

    The wait status of the process is 0 if the function succeeded.
    """
    child = os.fork()
    if child == 0:
        faulthandler.dump_traceback_later(PATIENCE, exit=True)  # a child that hangs ends by itself
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)
            raise
        finally:
            os._exit(status)
    return child


def in_a_child(work: Callable[[], object]) -> int:
    """Run a function in a forked process; return its wait status, which is 0 if it succeeded."""
    return os.waitpid(forked(work), 0)[1]


def forked_together(works: Iterable[Callable[[], object]]) -> list[int]:
    """Run each function in a forked process; none begins before all processes exist.

    Otherwise a fork could happen while the test's server uses OpenSSL in another thread: a lock of
    OpenSSL that this thread holds stays locked in the child for ever.

    Returns:
        The process IDs.
    """
    begun, begin = os.pipe()

    def run(work: Callable[[], object]) -> None:
        os.close(begin)
        os.read(begun, 1)  # returns once the parent has closed the other end
        work()

    children = [forked(partial(run, work)) for work in works]
    os.close(begin)
    os.close(begun)
    return children


# Python's audit events for changes of the disk, which are raised before the change.
_CHANGES = {"os.rename", "os.remove", "os.symlink", "os.mkdir", "os.chmod", "os.truncate"}


def die_at(moment: int, folder: Path) -> None:
    """Make this process kill itself just before its change number ``moment`` in ``folder``.

    Changes are opening a file to write, renames and the like, and ``fsync``.
    """
    count = 0

    def watch(event: str, args: tuple[Any, ...]) -> None:
        nonlocal count
        opened = event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR)
        if (opened or event in _CHANGES) and str(folder) in str(args):
            count += 1
            if count == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    fsync = os.fsync

    def noted(descriptor: Any) -> None:
        watch("os.rename", (str(folder),))
        fsync(descriptor)

    os.fsync = noted  # type: ignore[assignment]  # its argument has another name


def change_everything(world: World) -> None:
    world.repository.rotate("root", "targets", "online")
    world.publish(3)


def renew_the_root_alone(world: World) -> None:
    world.repository.rotate("root", "targets", "online")
    world.repository.resign()


@pytest.mark.slow
@pytest.mark.parametrize("change", [change_everything, renew_the_root_alone])
def test_after_a_kill_the_app_starts_with_the_old_or_the_new_set(
    world: World, change: Callable[[World], None]
) -> None:
    """An update is killed before each of its changes of the cache, in turn.

    The client of python-tuf can also continue with the cache folder.
    """
    world.updater().refresh()
    before = world.cache.parent / "before"
    _copy(world.cache, before)
    change(world)
    newest = max(world.updater(cache=world.cache.parent / "other").refresh().version, 2)

    def work(moment: int) -> None:
        app = world.updater()
        die_at(moment, world.cache)
        app.refresh()

    moments, found = 0, set()
    while True:
        _copy(before, world.cache)
        moments += 1
        died = in_a_child(partial(work, moments))
        app = world.updater()
        found.add((app.status.version, app.status.state))
        assert app.status.cache_error is None
        Judge(world, _copy(world.cache, world.cache.parent / "judge")).follow()
        assert app.refresh().version == newest
        assert world.updater().status.state == "fresh"
        assert _left_behind(world.cache) == []
        if not died:
            break
        assert os.WTERMSIG(died) == signal.SIGKILL
    assert moments > 20
    assert {version for version, _ in found} == {2, newest}
    assert "embedded" not in {state for _, state in found}


def _copy(source: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    return shutil.copytree(source, target, symlinks=True)


def _left_behind(cache: Path) -> list[str]:
    known = {GOOD, "lock", "metadata", "root_history", "root.json"}
    known |= {f"{role}.json" for role in ("timestamp", "snapshot", "targets")}
    return [
        path.name
        for path in cache.rglob("*")
        if path.name not in known and not path.name.endswith(".root.json")
    ]


@pytest.mark.slow
def test_after_a_kill_in_the_first_check_the_app_starts_again(world: World) -> None:
    def work(moment: int) -> None:
        die_at(moment, world.cache)
        world.updater().refresh()

    moment, died = 0, True
    while died:
        moment += 1
        shutil.rmtree(world.cache, ignore_errors=True)
        died = bool(in_a_child(partial(work, moment)))
        app = world.updater()
        assert app.status.version in {1, 2}
        assert app.status.cache_error is None
        assert app.refresh().version == 2
    assert moment > 20


def unwritable(world: World, kind: str) -> Path:
    if kind == "a file":
        world.cache.write_bytes(b"")
        return world.cache
    return Path("/proc/certpin-no-such-folder")


@pytest.mark.medium
@pytest.mark.parametrize("kind", ["a file", "a file system that has no room for it"])
def test_without_a_writable_cache_the_set_is_in_force_in_memory(world: World, kind: str) -> None:
    heard: list[str] = []
    app = world.updater(
        cache=unwritable(world, kind), on_event=[lambda each: heard.append(each.what)]
    )
    for version in (2, 3, 4):
        world.publish(version)
        status = app.refresh()
        assert (status.version, status.state, status.error) == (version, "fresh", None)
        assert status.cache_error is not None
        assert status.cache_error.reason == "storage"
        assert "hold in memory" in status.cache_error.fix
    world.server.taken()
    app.refresh()
    assert world.server.taken() == ["/metadata/timestamp.json"]
    until(lambda: len(heard) == 5)
    assert heard.count("cache") == 1  # reported once, not with each check


def test_rollbacks_are_detected_without_a_writable_cache(world: World) -> None:
    app = world.updater(cache=unwritable(world, "a file"))
    app.refresh()
    old = world.repository.path("timestamp").read_bytes()
    world.publish(3)
    app.refresh()
    world.repository.path("timestamp").write_bytes(old)
    with pytest.raises(UpdateError) as caught:
        app.refresh()
    assert caught.value.reason == "rollback"


@pytest.mark.medium
def test_a_set_in_memory_is_written_when_the_disk_has_space(world: World) -> None:
    app = world.updater(cache=unwritable(world, "a file"))
    app.refresh()
    scratch = app._checker._source.store.metadata
    assert scratch.exists()
    world.cache.unlink()
    status = app.refresh()
    assert status.cache_error is None
    assert not scratch.exists()
    assert world.updater().status.version == 2
    old = world.repository.path("timestamp").read_bytes()
    world.publish(3)
    assert world.updater().refresh().version == 3
    world.repository.path("timestamp").write_bytes(old)
    with pytest.raises(UpdateError):
        world.updater().refresh()


def test_closing_leaves_nothing_among_temporary_files(world: World) -> None:
    app = world.updater(cache=unwritable(world, "a file"))
    app.refresh()
    scratch = app._checker._source.store.metadata
    app.close()
    assert not scratch.exists()


def test_a_check_running_after_close_leaves_no_files(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = world.updater()

    def look(source: UpdateSource, *_: object, **__: object) -> None:
        app.close()
        source.store.move_out()
        raise SlowRetrievalError

    monkeypatch.setattr(checker, "fetch_newest", look)
    with pytest.raises(UpdateError) as caught:
        app.refresh()
    assert caught.value.reason == "closed"
    assert app._checker._source.store._scratch is None


def test_without_any_writable_folder_the_error_is_reported_and_the_set_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.updater().refresh()
    world.publish(3)

    def full(*_: Any, **__: Any) -> str:
        raise OSError(28, "No space left on device")

    app = world.updater()
    with monkeypatch.context() as patched:
        patched.setattr("tempfile.mkdtemp", full)
        patched.setattr("tempfile.NamedTemporaryFile", full)
        with pytest.raises(UpdateError) as caught:
            app.refresh()
    assert caught.value.reason == "storage"
    assert "No space left" in caught.value.problem
    assert app.status.version == 2
    assert app.refresh().version == 3


_ON_A_SMALL_DISK = """
import json, os, pathlib, subprocess, sys
import certpin
from certpin.updates import PinUpdater

folder, url, here = pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
pins, root = certpin.PinSet.load(here / "pins.toml"), (here / "root.json").read_bytes()
app = None

def mount(*options):
    subprocess.run(["mount", *options, folder], check=True)

def fill():
    with open(folder / "ballast", "wb", buffering=0) as file:
        try:
            while file.write(b"x" * 512): pass
        except OSError: pass

def free(): (folder / "ballast").unlink()
def read_only(): mount("-o", "remount,ro")
def start():
    global app
    app = PinUpdater(pins=pins, root=root, url=url, cache=folder / "cache")
def refresh(): app.refresh()

mount("-t", "tmpfs", "-o", "size=64k", "small")
for line in sys.stdin:
    try:
        globals()[line.strip()]()
        error = None
    except certpin.UpdateError as exc:
        error = exc.reason
    status = app and app.status
    said = app and [status.version, error, status.cache_error and status.cache_error.reason]
    print(json.dumps(said), flush=True)
"""


@contextmanager
def on_a_small_disk(world: World) -> Iterator[Callable[[str], Any]]:
    """Start a process whose cache folder is a disk of 64 kB.

    Yield a function that sends the process a command and returns its result.
    """
    here = world.cache.parent
    (here / "pins.toml").write_text(world.text(1))
    (here / "root.json").write_bytes(world.repository.first_root)
    world.cache.mkdir()
    argv = ["unshare", "--mount", sys.executable, "-c", _ON_A_SMALL_DISK]
    words = [*argv, str(world.cache), world.server.url, str(here)]
    allowed = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "x", str(world.cache)],
        capture_output=True, check=False,
    )  # fmt: skip
    if allowed.returncode:
        pytest.skip(f"left out: {FORBIDDEN}to mount file systems")
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, **pipes) as process:

        def tell(word: str) -> Any:
            process.stdin.write(word + "\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            return json.loads(process.stdout.readline())  # type: ignore[union-attr]

        yield tell
        process.stdin.close()  # type: ignore[union-attr]
        assert process.wait(PATIENCE) == 0


@pytest.mark.slow
@pytest.mark.peer("unshare")
def test_updates_work_with_a_full_or_read_only_disk(world: World) -> None:
    with on_a_small_disk(world) as tell:
        tell("fill")
        assert tell("start") == [1, None, None]
        assert tell("refresh") == [2, None, "storage"]
        world.publish(3)
        assert tell("refresh") == [3, None, "storage"]
        tell("free")
        assert tell("refresh") == [3, None, None]
        assert tell("start") == [3, None, None]
        world.repository.rotate("root", "targets", "online")
        world.publish(4)
        tell("fill")
        assert tell("refresh") == [4, None, "storage"]
        assert tell("start") == [3, None, None]  # the files on the disk
        assert tell("refresh") == [4, None, "storage"]
        tell("free")
        tell("read_only")
        assert tell("start") == [3, None, None]
        assert tell("refresh") == [4, None, "storage"]
        world.publish(2)
        assert tell("refresh") == [4, "older", "storage"]


def follow_until(app: PinUpdater, version: int, *, locks: bool) -> None:
    """Refresh an app until it has this version, and then five more times.

    Without locks, a refresh may read files of two different moments and fail; a later one succeeds.
    """
    checks = 0
    while app.status.version < version or checks < 5:
        checks += app.status.version == version
        with nullcontext() if locks else suppress(UpdateError):
            app.refresh()


@pytest.mark.slow
@pytest.mark.parametrize("locks", [True, False])
def test_processes_that_share_a_folder_all_follow(
    world: World, locks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four processes get the newest version and leave a valid cache.

    Without locks, the last process that writes to the cache determines its content.
    """
    if not locks:
        monkeypatch.setattr("certpin.support.files._fcntl", None)
    apps = [world.updater() for _ in range(4)]
    children = forked_together(partial(follow_until, app, 12, locks=locks) for app in apps)
    for version in range(3, 13):
        if version % 4 == 0:
            world.repository.rotate("targets", "online")
        world.publish(version)
        if locks:
            assert world.updater().refresh().version == version
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    app = world.updater()
    assert (app.status.version, app.status.cache_error) == (12, None)


def test_a_set_that_another_process_fetched_is_adopted_and_reported(world: World) -> None:
    heard: list[str] = []
    app, other = world.updater(on_event=[lambda each: heard.append(each.what)]), world.updater()
    other.refresh()
    world.server.taken()
    assert app.refresh().version == 2
    assert world.server.taken() == ["/metadata/timestamp.json", "/metadata/2.root.json"]
    until(lambda: heard == ["updated", "checked"])


def test_a_stale_server_does_not_undo_the_set_of_another_process(world: World) -> None:
    app, other = world.updater(), world.updater()
    assert app.refresh().version == 2
    timestamp = world.repository.path("timestamp")
    stale = timestamp.read_bytes()
    world.publish(3)
    assert other.refresh().version == 3
    timestamp.write_bytes(stale)
    with pytest.raises(UpdateError) as refused:
        app.refresh()
    assert (refused.value.reason, app.status.version) == ("rollback", 3)
    assert world.updater().status.version == 3


def test_a_check_waits_for_another_process(world: World) -> None:
    app = world.updater()
    world.cache.mkdir()
    with (world.cache / "lock").open("wb") as file, ThreadPoolExecutor(1) as pool:
        fcntl.flock(file, fcntl.LOCK_EX)
        waiting = pool.submit(app.refresh)
        until(lambda: app._checker._lock._held is not None)
        assert world.server.taken() == []
        fcntl.flock(file, fcntl.LOCK_UN)
        assert waiting.result(PATIENCE).version == 2


@pytest.mark.medium
def test_waiting_for_another_process_times_out(world: World) -> None:
    short = timedelta(seconds=0.2)
    app = world.updater(settings=world.quick(deadline=short))
    world.cache.mkdir()
    with (world.cache / "lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UpdateError) as caught:
            app.refresh()
    assert caught.value.reason == "busy"


def test_closing_ends_the_waiting(world: World) -> None:
    app = world.updater()
    world.cache.mkdir()
    with (world.cache / "lock").open("wb") as file, ThreadPoolExecutor(1) as pool:
        fcntl.flock(file, fcntl.LOCK_EX)
        waiting = pool.submit(app.refresh)
        until(lambda: app._checker._lock._held is not None)
        app.close()
        with pytest.raises(UpdateError) as caught:
            waiting.result(PATIENCE)
    assert caught.value.reason == "closed"


def test_a_file_system_without_locks_is_supported(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: Any) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    assert world.updater().refresh().version == 2


def test_a_dead_process_does_not_block_others(world: World) -> None:
    app = world.updater()
    world.server.answers["timestamp"] = world.server.stall
    child = os.fork()
    if child == 0:
        signal.alarm(PATIENCE)
        try:
            app.refresh()
        finally:
            os._exit(1)
    assert world.server.entered.wait(PATIENCE)
    world.server.answers.clear()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert app.refresh().version == 2


def test_temporary_files_of_killed_processes_are_deleted(world: World) -> None:
    app = world.updater()
    app.refresh()
    (world.cache / f".{GOOD}.abcdef12").write_bytes(b"half")
    (world.cache / "metadata" / "tmpabcdef12").write_bytes(b"half")
    (world.cache / "metadata" / ".timestamp.json.abcdef12").write_bytes(b"half")
    (world.cache / "metadata/root_history" / ".2.root.json.abcdef12").write_bytes(b"half")
    app.refresh()
    assert _left_behind(world.cache) == []
