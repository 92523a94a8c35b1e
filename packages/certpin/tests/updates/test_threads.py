"""The updater with several callers, threads and processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from certpin import UpdateError
from certpin.support import forks
from certpin.updates import updater
from tests.updates.test_updater import PATIENCE, SOON, threads_of_updaters, until

if TYPE_CHECKING:
    from certpin.updates import PinUpdater
    from tests.updates._server import Handler
    from tests.updates.conftest import World


PACKAGE = Path(__file__).parents[2]


def waiting_for_a_check(app: PinUpdater) -> int:
    """Return the number of threads that wait for the end of the app's current check for updates."""
    condition: Any = app._current_check._condition  # type: ignore[union-attr]
    return len(condition._waiters)


def test_concurrent_checks_are_one(world: World) -> None:
    app = world.updater()
    going, go = threading.Event(), threading.Event()

    def wait(handler: Handler) -> None:
        going.set()
        go.wait(PATIENCE)
        handler.serve_file()

    world.server.answers["timestamp"] = wait
    with ThreadPoolExecutor(8) as pool, ExitStack() as at_the_end:
        at_the_end.callback(go.set)
        first = pool.submit(app.refresh)
        assert going.wait(PATIENCE)
        others = [pool.submit(app.refresh) for _ in range(7)]
        until(lambda: waiting_for_a_check(app) == 7)
        go.set()
        versions = [each.result(PATIENCE).version for each in [first, *others]]
    assert versions == [2] * 8
    assert world.server.taken().count("/metadata/timestamp.json") == 1


@pytest.mark.medium
def test_each_waiting_thread_gets_a_separate_error(world: World) -> None:
    world.server.answers["timestamp"] = world.server.stall
    app = world.updater()
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(app.refresh) for _ in range(4)]
        assert world.server.entered.wait(PATIENCE)
        until(lambda: waiting_for_a_check(app) == 3)
        world.server.let_go.set()
        errors = [each.exception(PATIENCE) for each in waiting]
    assert {type(each) for each in errors} == {UpdateError}
    assert len({id(each) for each in errors}) == 4
    assert len({str(each) for each in errors}) == 1
    assert app.status.failures == 1


def test_ctrl_c_ends_a_check_for_all_waiting_threads(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = world.updater()
    checker: Any = app._checker
    check = checker.check

    def press(_: object) -> None:
        raise KeyboardInterrupt

    checker.check = press
    with pytest.raises(KeyboardInterrupt):
        app.refresh()
    checker.check = check
    assert app.refresh().version == 2


@pytest.mark.medium
def test_many_threads_refresh_while_sets_are_published(world: World) -> None:
    app = world.updater()
    seen: list[int] = []

    def follow(_: int) -> None:
        seen.append(app.refresh().version)

    with ThreadPoolExecutor(8) as pool:
        for version in range(3, 9):
            world.publish(version)
            list(pool.map(follow, range(16), timeout=PATIENCE))
            assert app.context.pins.version == version
    assert seen == sorted(seen)


@pytest.mark.medium
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("started", [True, False])
def test_a_forked_child_follows(world: World, started: bool) -> None:
    app = world.updater(settings=world.quick(interval=SOON, urgent=SOON))
    app.refresh()
    if started:
        app.start()
    child = os.fork()
    if child == 0:
        signal.alarm(int(PATIENCE))  # a child that hangs ends by itself
        _follow_in_the_child(app, started=started)
    world.publish(3)
    assert os.waitpid(child, 0)[1] == 0
    assert bool(threads_of_updaters()) == started


def fork_with_gevent(where: str, world: World, tmp_path: Path) -> str:
    """Run ``_greenlets``, which forks a child that checks for an update. Return its stderr."""
    pins, root = tmp_path / "pins.toml", tmp_path / "root.json"
    pins.write_text(world.text(1))
    root.write_bytes(world.repository.first_root)
    words = [where, *map(str, (pins, root, world.server.url, world.cache))]
    done = subprocess.run(
        [sys.executable, "-m", "tests.updates._greenlets", *words],
        cwd=PACKAGE,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.slow
def test_a_fork_copies_the_greenlet_of_an_updater_and_starts_no_other(
    world: World, tmp_path: Path
) -> None:
    """gevent prints each thread that fails in the child.

    The timer of a check fails there if it ends at the fork. The updater's thread must not fail.
    """
    assert "certpin-updates" not in fork_with_gevent("same", world, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["other", "late"])
def test_a_fork_replaces_an_updater_of_another_native_thread(
    where: str, world: World, tmp_path: Path
) -> None:
    fork_with_gevent(where, world, tmp_path)


def _follow_in_the_child(app: PinUpdater, *, started: bool) -> None:
    """Update the app in a forked child, and exit with code 0 if it got version 3, otherwise 1.

    If ``started`` is true, the app's own thread must fetch the version.
    """
    status = 1
    try:
        if started:
            until(lambda: app.context.pins.version == 3)
            until(threads_of_updaters)
        else:
            until(lambda: app.refresh().version == 3)
        app.close()
        status = 0
    finally:
        os._exit(status)


@pytest.mark.medium
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_that_is_forked_before_the_first_check_checks_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gunicorn with ``preload_app`` forks its workers right after the app has started the updater.

    The interval is an hour, so the child's first check does not come from it.
    """
    monkeypatch.setattr("certpin.updates.updater._CHILD_SPREAD", SOON.total_seconds())
    going, go = threading.Event(), threading.Event()

    def wait(handler: Handler) -> None:
        going.set()
        go.wait(PATIENCE)
        handler.serve_file()

    world.server.answers["timestamp"] = wait
    app = world.updater()
    app.start()
    assert going.wait(PATIENCE)
    child = os.fork()
    if child == 0:
        signal.alarm(int(PATIENCE))
        status = 1
        try:
            until(lambda: app.status.checked is not None)
            status = 0 if app.context.pins.version == 2 else 1
        finally:
            os._exit(status)
    go.set()
    assert os.waitpid(child, 0)[1] == 0


def test_a_forked_child_checks_when_the_next_check_of_its_parent_is_due(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that has just been forked, and its parent, check at the same interval."""
    interval = timedelta(hours=1)
    monkeypatch.setattr("certpin.updates.updater.random.random", lambda: 0.5)
    app = world.updater(settings=world.quick(interval=interval, jitter=0.0))
    assert app._child_pause() <= updater._CHILD_SPREAD  # the parent has made no check
    app.refresh()
    assert app._child_pause() == interval.total_seconds()
    world.now += timedelta(minutes=50)
    assert app._child_pause() == timedelta(minutes=10).total_seconds()
    world.now += timedelta(minutes=50)  # the parent's check is late, or running
    assert app._child_pause() == updater._CHILD_SPREAD / 2
    world.now -= timedelta(hours=2)
    assert app._child_pause() == interval.total_seconds()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_threads_that_fork_at_the_same_time_leave_no_lock_behind(world: World) -> None:
    app = world.updater()

    def fork(_: int) -> int:
        child = os.fork()
        if child == 0:
            os._exit(0)
        return os.waitpid(child, 0)[1]

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(fork, range(40), timeout=PATIENCE)) == {0}
    assert app.refresh().version == 2


def test_a_second_fork_waits_for_the_first(world: World) -> None:
    app = world.updater()
    forks._before()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(forks._before)
        forks._in_parent()
        waiting.result(PATIENCE)
        assert app._checker.swapping.locked()
        pool.submit(forks._in_parent).result(PATIENCE)
    assert not app._checker.swapping.locked()


@pytest.mark.medium
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_during_a_check_disturbs_neither_process(world: World) -> None:
    app = world.updater()
    going, go = threading.Event(), threading.Event()

    def wait(handler: Handler) -> None:
        going.set()
        go.wait(PATIENCE)
        handler.serve_file()

    world.server.answers["timestamp"] = wait
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(app.refresh)
        assert going.wait(PATIENCE)
        child = os.fork()
        if child == 0:
            signal.alarm(int(PATIENCE))
            _refresh_in_the_child(app)
        go.set()
        assert waiting.result(PATIENCE).version == 2
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.medium
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_during_the_channel_set_up_disturbs_neither_process(world: World) -> None:
    """A process forks while one of its threads holds locks of the updater's connection.

    The child has no thread that would release these locks, but both processes can refresh.
    """
    app = world.updater()
    contexts: Any = app._checker.enforced.channel
    held, go = threading.Event(), threading.Event()

    def hold() -> None:
        with contexts[0]._verifying.held, contexts[1]._verifying.held:
            held.set()
            go.wait(PATIENCE)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(hold)
        assert held.wait(PATIENCE)
        child = os.fork()
        if child == 0:
            signal.alarm(int(PATIENCE))
            _refresh_in_the_child(app)
        ended = os.waitpid(child, 0)[1]
        go.set()
    assert ended == 0
    assert app.refresh().version == 2


def _refresh_in_the_child(app: PinUpdater) -> None:
    status = 1
    try:
        app.context.swap(app.context.pins)  # its lock is free
        status = 0 if app.refresh().version == 2 else 1
    finally:
        os._exit(status)


class NoticedLock:
    """A lock that sets the event ``wanted`` when a `with` statement begins to acquire it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.acquire, self.release = self._lock.acquire, self._lock.release
        self.wanted = threading.Event()

    def __enter__(self) -> None:
        self.wanted.set()
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


def test_a_fork_waits_for_a_swap(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    app, lock = world.updater(), NoticedLock()
    monkeypatch.setattr(app._checker, "swapping", lock)
    app.before_fork()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(app.refresh)
        until(lambda: lock.wanted.is_set() or waiting.done())
        assert not waiting.done()
        assert app.context.pins.version == 1
        app.after_fork_in_parent()
        assert waiting.result(PATIENCE).version == 2
