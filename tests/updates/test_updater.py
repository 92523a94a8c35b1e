"""The shell: the thread, several callers, closing, forks, events; and connections of the app."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from certpin import ConfigError, PinMismatchError, PinnedSSLContext, UpdateError
from certpin.support import forks
from certpin.updates import UpdateEvent, UpdateStatus, checker, fetch
from tests.updates._publisher import CHANNEL, pin_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from certpin.lab import Authority
    from certpin.updates import PinUpdater
    from tests.updates._server import Handler
    from tests.updates.conftest import World

PATIENCE = 30.0  # seconds
SOON = timedelta(milliseconds=20)


def until(holds: Callable[[], object]) -> None:
    """Wait for something that another thread does."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "it does not come about"
        time.sleep(0.005)


def threads_of_updaters() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "certpin-updates"]


# ── The thread ────────────────────────────────────────────────────────────────────────────────


def test_it_follows_in_the_background(world: World) -> None:
    with world.updater(settings=world.quick(interval=SOON, urgent=SOON)) as app:
        until(lambda: app.context.pins.version == 2)
        world.publish(3)
        until(lambda: app.context.pins.version == 3)
        (thread,) = threads_of_updaters()
        assert thread.daemon
        assert app.start() is app  # twice is once
        assert threads_of_updaters() == [thread]
    assert threads_of_updaters() == []


def test_it_asks_at_once_and_then_waits(world: World) -> None:
    with world.updater() as app:
        until(lambda: app.status.checked)
        until(lambda: not app._current_check)
        asked = len(world.server.taken())
        with app._changed:
            app._changed.notify_all()  # no reason to ask
    assert asked == 5
    assert world.server.taken() == []


def test_it_goes_on_after_failures(world: World) -> None:
    world.server.answers["timestamp"] = lambda handler: handler.answer(500, b"")
    with world.updater(settings=world.quick(retry=SOON)) as app:
        until(lambda: app.status.failures >= 3)
        assert app.status.error is not None
        world.server.answers.clear()
        until(lambda: app.context.pins.version == 2)
        until(lambda: app.status.failures == 0)
        assert app.status.error is None


def test_it_goes_on_after_a_mistake_in_its_own_code(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app = world.updater(settings=world.quick(interval=SOON, urgent=SOON))
    checker: Any = app._checker
    check = checker.check

    def fail_once(line: object) -> None:
        checker.check = check
        raise ZeroDivisionError

    checker.check = fail_once
    with app:
        until(lambda: app.context.pins.version == 2)
    assert "a check ended in an error" in caplog.messages


def test_an_updater_that_is_not_started_does_nothing(world: World) -> None:
    app = world.updater()
    assert world.server.taken() == []
    assert not threads_of_updaters()
    assert app.status == UpdateStatus("embedded", "bank", 1, None, None, 0, None, None)


def test_an_updater_that_nobody_holds_is_gone(world: World) -> None:
    app = world.updater()
    world.made.clear()
    gone = weakref.ref(app)
    del app
    gc.collect()
    assert gone() is None


def test_the_state_is_right_in_the_middle_of_a_swap(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks in another thread sees the old state or the new one."""
    app = world.updater()
    app.refresh()
    seen: list[str] = []
    swap = PinnedSSLContext.swap

    def look(context: PinnedSSLContext, pins: Any, **options: bool) -> None:
        seen.append(app.status.state)
        swap(context, pins, **options)
        seen.append(app.status.state)

    world.publish(3)
    monkeypatch.setattr(PinnedSSLContext, "swap", look)
    app.refresh()
    assert set(seen) == {"fresh"}


# ── Closing ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", ["stall", "drip", "drip_headers"])
def test_closing_ends_a_check_that_is_on_its_way(world: World, how: str) -> None:
    world.server.answers["timestamp"] = getattr(world.server, how)
    hour = timedelta(hours=1)
    app = world.updater(settings=world.quick(patience=hour, deadline=hour)).start()
    assert world.server.entered.wait(PATIENCE)
    app.close()
    until(lambda: not threads_of_updaters())
    assert not world.server.let_go.is_set()
    assert app.status.failures == 0
    assert app.status.error is None


def test_closing_ends_a_check_that_does_not_even_connect(world: World) -> None:
    hour = timedelta(hours=1)
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        url = f"https://localhost:{listener.getsockname()[1]}/"
        app = world.updater(url=url, settings=world.quick(patience=hour, deadline=hour)).start()
        accepted, _ = listener.accept()  # it is inside its handshake, for ever
        with accepted:
            app.close()
            until(lambda: not threads_of_updaters())


def test_who_waits_for_a_check_is_told_that_it_was_closed(world: World) -> None:
    world.server.answers["timestamp"] = world.server.stall
    app = world.updater()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(app.refresh)
        assert world.server.entered.wait(PATIENCE)
        app.close()
        with pytest.raises(UpdateError) as caught:
            waiting.result(PATIENCE)
    assert caught.value.reason == "closed"


def test_an_updater_that_was_closed_stays_so_and_its_context_goes_on(world: World) -> None:
    app = world.updater()
    app.refresh()
    for _ in range(2):
        app.close()
    for ask in (app.refresh, app.start):
        with pytest.raises(UpdateError, match="was closed") as caught:
            ask()
        assert caught.value.reason == "closed"
    assert app.context.pins.version == 2
    assert reached(app.context, world) == b"HTTP/1.1 200"


def test_what_is_fetched_when_it_is_closed_is_not_put_in_force(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where all of it had come just before."""
    app = world.updater()
    fetch_newest = fetch.fetch_newest

    def close_then(*args: Any, **options: Any) -> Any:
        found = fetch_newest(*args, **options)
        app.close()
        return found

    monkeypatch.setattr(checker, "fetch_newest", close_then)
    with pytest.raises(UpdateError) as caught:
        app.refresh()
    assert caught.value.reason == "closed"
    assert app.context.pins.version == 1
    assert not (world.cache / "last-known-good.json").exists()


def test_a_hook_may_close_it(world: World) -> None:
    closed = threading.Event()

    def close(_: UpdateEvent) -> None:
        app.close()
        closed.set()

    app = world.updater(on_event=[close])
    app.start()
    assert closed.wait(PATIENCE)
    until(lambda: not threads_of_updaters())


def test_a_program_that_forgets_to_close_it_ends(world: World, tmp_path: Path) -> None:
    (tmp_path / "pins.toml").write_text(world.text(1))
    (tmp_path / "root.json").write_bytes(world.repository.first_root)
    program = (
        "import sys, pathlib, certpin\n"
        "from certpin.updates import PinUpdater\n"
        "here = pathlib.Path(sys.argv[1])\n"
        "app = PinUpdater(pins=certpin.PinSet.load(here / 'pins.toml'), cache=here / 'c',\n"
        "    root=(here / 'root.json').read_bytes(), url=sys.argv[2]).start()\n"
        "app.refresh()\n"
        "print(app.status.version)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, tmp_path, world.server.url],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")


# ── Several callers ───────────────────────────────────────────────────────────────────────────


def waiting_for_a_check(app: PinUpdater) -> int:
    """How many wait for what another one does."""
    condition: Any = app._current_check._condition  # type: ignore[union-attr]
    return len(condition._waiters)


def test_two_at_once_are_one(world: World) -> None:
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


def test_all_that_wait_get_an_error_of_their_own(world: World) -> None:
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


def test_ctrl_c_ends_a_check_for_all_that_wait(
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


# ── Connections of the app ────────────────────────────────────────────────────────────────────


def reached(context: PinnedSSLContext, world: World) -> bytes:
    """The first bytes of an answer to a request of the app."""
    with (
        socket.create_connection(("127.0.0.1", world.server.port), PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname=CHANNEL) as tls,
    ):
        return asked(tls)


def asked(tls: socket.socket) -> bytes:
    tls.sendall(b"GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = b""
    while b"no such file\n" not in answer:
        answer += tls.recv(4096)
    return answer[:12].replace(b"404", b"200")


def test_pins_change_in_the_context_that_the_app_has(world: World, intermediate: Authority) -> None:
    app = world.updater()
    context = app.context
    other = intermediate.issue(CHANNEL)
    world.repository.publish(pin_file(3, {CHANNEL: other.pin}))
    assert reached(context, world)
    app.refresh()
    assert app.context is context
    with pytest.raises(PinMismatchError):
        reached(context, world)
    world.server.use(other)
    assert reached(context, world)


def test_a_connection_that_is_open_stays_open(world: World, intermediate: Authority) -> None:
    app = world.updater()
    with (
        socket.create_connection(("127.0.0.1", world.server.port), PATIENCE) as plain,
        app.context.wrap_socket(plain, server_hostname=CHANNEL) as tls,
    ):
        assert asked(tls)
        world.repository.publish(pin_file(3, {CHANNEL: intermediate.issue(CHANNEL).pin}))
        app.refresh()
        assert asked(tls)


def test_no_request_fails_while_sets_are_swapped(world: World) -> None:
    app = world.updater()
    stop = threading.Event()
    answers: list[bytes] = []

    def work() -> None:
        while not stop.is_set():
            answers.append(reached(app.context, world))

    with ThreadPoolExecutor(3) as pool:
        workers = [pool.submit(work) for _ in range(3)]
        for version in range(3, 13):
            world.publish(version)
            app.refresh()
        stop.set()
        for each in workers:
            each.result(PATIENCE)
    assert set(answers) == {b"HTTP/1.1 200"}
    assert app.context.pins.version == 12


def test_an_app_on_asyncio_goes_on_while_it_updates(world: World) -> None:
    """As docs/updater.md says it: the loop is not held up, and nothing is dropped."""
    app = world.updater()
    go = threading.Event()

    def wait(handler: Handler) -> None:
        go.wait(PATIENCE)
        handler.serve_file()

    async def request() -> bytes:
        reader, writer = await asyncio.open_connection(
            "localhost", world.server.port, ssl=app.context
        )
        writer.write(b"GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = await reader.readuntil(b"no such file\n")
        writer.close()
        await writer.wait_closed()
        return answer[:12]

    async def work() -> list[bytes]:
        updating = asyncio.create_task(asyncio.to_thread(app.refresh))
        before = await request()
        assert not updating.done()
        go.set()
        await updating
        return [before, await request()]

    world.server.answers["timestamp"] = wait
    assert asyncio.run(work()) == [b"HTTP/1.1 404"] * 2
    assert app.context.pins.version == 2


def test_a_context_of_the_app_is_kept_as_it_is(world: World) -> None:
    heard: list[Any] = []
    context = PinnedSSLContext(world.bundled(), strict=False, on_failure=[heard.append])
    app = world.updater(pins=context)
    app.refresh()
    assert app.context is context
    assert (context.pins.version, context.strict) == (2, False)


def test_a_set_whose_anchors_openssl_does_not_take_is_refused_as_a_whole(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is swapped by half: what fails fails in the channel's context first."""
    import ssl

    app = world.updater()

    def fail(self: PinnedSSLContext, pins: object) -> None:
        raise ssl.SSLError("no")

    with monkeypatch.context() as patched:
        patched.setattr(PinnedSSLContext, "swap", fail)
        with pytest.raises(UpdateError):
            app.refresh()
    assert app.context.pins.version == 1
    assert not (world.cache / "last-known-good.json").exists()
    assert app.refresh().version == 2


# ── What it begins with ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("what", ["nothing", "json", "timestamp", "unsigned"])
def test_a_root_that_is_none_is_a_mistake_of_the_app(world: World, what: str) -> None:
    root = {
        "nothing": b"",
        "json": b"{}",
        "timestamp": world.repository.path("timestamp").read_bytes(),
        "unsigned": world.repository.first_root.replace(b'"version":1', b'"version":2'),
    }[what]
    with pytest.raises(ConfigError, match="no root metadata") as caught:
        world.updater(root=root)
    assert caught.value.key == "root"
    assert "1.root.json" in caught.value.fix


# ── Events ────────────────────────────────────────────────────────────────────────────────────


def test_hooks_hear_what_happens(world: World) -> None:
    heard: queue.Queue[UpdateEvent] = queue.Queue()
    app = world.updater(on_event=[heard.put])
    app.refresh()
    app.refresh()
    world.server.answers["timestamp"] = lambda handler: handler.answer(500, b"")
    with pytest.raises(UpdateError):
        app.refresh()
    events = [heard.get(timeout=PATIENCE) for _ in range(3)]
    assert [each.what for each in events] == ["updated", "checked", "failed"]
    assert [each.status.version for each in events] == [2, 2, 2]
    assert [each.error and each.error.reason for each in events] == [None, None, "http"]
    assert events[2].fields() == {
        "what": "failed",
        "at": world.now.isoformat(),
        "state": "fresh",
        "pin_set": "bank",
        "pin_set_version": 2,
        "until": app.status.until.isoformat(),  # type: ignore[union-attr]
        "reason": "http",
        "failures": 1,
    }


def test_the_log_says_what_happens(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "certpin.updates")
    app = world.updater()
    app.refresh()
    app.refresh()
    world.publish(1)
    with pytest.raises(UpdateError):
        app.refresh()
    world.server.answers["timestamp"] = lambda handler: handler.answer(500, b"")
    with pytest.raises(UpdateError):
        app.refresh()
    records = [each for each in caplog.records if each.name == "certpin.updates"]
    assert [each.levelname for each in records] == ["INFO", "DEBUG", "ERROR", "WARNING"]
    assert records[0].getMessage() == "version 2 of the pin set 'bank' is in force now"
    assert records[2].getMessage() == (
        "version 1 of the pin set was signed, and 2 is in force; "
        "version 2 of the pin set 'bank' stays in force (fresh)"
    )
    assert records[3].certpin["reason"] == "http"  # type: ignore[attr-defined]


@pytest.mark.parametrize("how", ["raise", "exit", "block"])
def test_a_hook_that_misbehaves_delays_no_update(world: World, how: str) -> None:
    let_go = threading.Event()

    def hook(_: UpdateEvent) -> None:
        if how == "raise":
            raise ValueError
        if how == "exit":
            sys.exit(1)
        let_go.wait(PATIENCE)

    app = world.updater(on_event=[hook])
    for version in (3, 4):
        world.publish(version)
        assert app.refresh().version == version
    let_go.set()


# ── Forks ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("started", [True, False])
def test_a_child_that_was_forked_follows_by_itself(world: World, started: bool) -> None:
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


def _follow_in_the_child(app: PinUpdater, *, started: bool) -> None:
    """Ends the child, with 0 when it got version 3."""
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
        forks._in_parent()
    assert not app._checker.swapping.locked()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_in_the_middle_of_a_check_disturbs_neither(world: World) -> None:
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


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_while_the_channel_is_being_set_up_disturbs_neither(world: World) -> None:
    """What a thread of the parent held then, nobody gives back in the child."""
    app = world.updater()
    contexts: Any = app._checker.enforced.channel
    held, go = threading.Event(), threading.Event()

    def hold() -> None:
        with contexts[0]._configuring, contexts[1]._configuring:
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
    """A lock that tells when somebody waits for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.acquire, self.release = self._lock.acquire, self._lock.release
        self.wanted = threading.Event()

    def __enter__(self) -> None:
        self.wanted.set()
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


def test_nobody_forks_in_the_middle_of_a_swap(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
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
