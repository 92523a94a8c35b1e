"""The updater: its thread, callers, closing, forks, events, and connections of the app."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import queue
import socket
import ssl
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from certpin import ConfigError, PinMismatchError, PinnedSSLContext, UpdateError
from certpin.updates import UpdateEvent, UpdateStatus, checker, fetch
from tests.updates._publisher import CHANNEL, pin_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.lab import Authority
    from tests.updates._server import Handler
    from tests.updates.conftest import World

PATIENCE = 30.0  # seconds
SOON = timedelta(milliseconds=20)


def until(holds: Callable[[], object]) -> None:
    """Wait until ``holds`` returns a true value, because of another thread; fail after a time."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "it does not come about"
        time.sleep(0.005)


def threads_of_updaters() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "certpin-updates"]


def test_the_thread_updates_the_pins(world: World) -> None:
    with world.updater(settings=world.quick(interval=SOON, urgent=SOON)) as app:
        until(lambda: app.context.pins.version == 2)
        world.publish(3)
        until(lambda: app.context.pins.version == 3)
        (thread,) = threads_of_updaters()
        assert thread.daemon
        assert app.start() is app  # a second call has no effect
        assert threads_of_updaters() == [thread]
    assert threads_of_updaters() == []


def test_the_thread_checks_immediately_and_then_waits(world: World) -> None:
    with world.updater() as app:
        until(lambda: app.status.checked)
        until(lambda: not app._current_check)
        asked = len(world.server.taken())
        with app._changed:
            app._changed.notify_all()  # no check is due
    assert asked == 5
    assert world.server.taken() == []


@pytest.mark.medium
def test_the_thread_continues_after_failures(world: World) -> None:
    world.server.answers["timestamp"] = lambda handler: handler.answer(500, b"")
    with world.updater(settings=world.quick(retry=SOON)) as app:
        until(lambda: app.status.failures >= 3)
        assert app.status.error is not None
        world.server.answers.clear()
        until(lambda: app.context.pins.version == 2)
        until(lambda: app.status.failures == 0)
        assert app.status.error is None


@pytest.mark.medium
def test_the_thread_continues_after_an_internal_error(
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
    assert app.status.pins is app.context.pins


@pytest.mark.medium
def test_an_unreferenced_updater_is_collected(world: World) -> None:
    app = world.updater()
    world.made.clear()
    gone = weakref.ref(app)
    del app
    gc.collect()
    assert gone() is None


def test_the_state_is_right_in_the_middle_of_a_swap(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Just before and just after a swap of pin sets, the state is ``fresh``."""
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


@pytest.mark.parametrize("how", ["stall", "drip", "drip_headers"])
def test_closing_ends_a_running_check(world: World, how: str) -> None:
    world.server.answers["timestamp"] = getattr(world.server, how)
    hour = timedelta(hours=1)
    app = world.updater(settings=world.quick(patience=hour, deadline=hour)).start()
    assert world.server.entered.wait(PATIENCE)
    app.close()
    until(lambda: not threads_of_updaters())
    assert not world.server.let_go.is_set()
    assert app.status.failures == 0
    assert app.status.error is None


def test_closing_ends_a_check_that_cannot_connect(world: World) -> None:
    hour = timedelta(hours=1)
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        url = f"https://localhost:{listener.getsockname()[1]}/"
        app = world.updater(url=url, settings=world.quick(patience=hour, deadline=hour)).start()
        accepted, _ = listener.accept()  # it is inside its handshake, forever
        with accepted:
            app.close()
            until(lambda: not threads_of_updaters())


def test_a_waiting_thread_gets_the_error_of_a_closed_updater(world: World) -> None:
    world.server.answers["timestamp"] = world.server.stall
    app = world.updater()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(app.refresh)
        assert world.server.entered.wait(PATIENCE)
        app.close()
        with pytest.raises(UpdateError) as caught:
            waiting.result(PATIENCE)
    assert caught.value.reason == "closed"


def test_a_closed_updater_stays_closed_and_its_context_works(world: World) -> None:
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


def test_a_set_fetched_during_close_is_not_put_in_force(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This applies even if ``close`` comes when all files have been fetched."""
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


def test_a_hook_may_close_the_updater(world: World) -> None:
    closed = threading.Event()

    def close(_: UpdateEvent) -> None:
        app.close()
        closed.set()

    app = world.updater(on_event=[close])
    app.start()
    assert closed.wait(PATIENCE)
    until(lambda: not threads_of_updaters())


@pytest.mark.medium
@pytest.mark.parametrize("writable", [True, False])
@pytest.mark.parametrize("forks", [False, True])
def test_a_program_can_end_without_closing_the_updater(
    world: World, tmp_path: Path, writable: bool, forks: bool
) -> None:
    """No temporary folder is left; a forked child that ends leaves its parent's folder there."""
    (tmp_path / "pins.toml").write_text(world.text(1))
    (tmp_path / "root.json").write_bytes(world.repository.first_root)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    if not writable:
        (tmp_path / "c").write_bytes(b"")
    program = (
        "import sys, pathlib, certpin\n"
        "from certpin.updates import PinUpdater\n"
        "here = pathlib.Path(sys.argv[1])\n"
        "app = PinUpdater(pins=certpin.PinSet.load(here / 'pins.toml'), cache=here / 'c',\n"
        "    root=(here / 'root.json').read_bytes(), url=sys.argv[2]).start()\n"
        "app.refresh()\n"
        "def folders(): return len([*(here / 'temporary').iterdir()])\n"
        f"if {forks}:\n"
        "    import os\n"
        "    if not (child := os.fork()): sys.exit()\n"
        "    os.waitpid(child, 0)\n"
        "print(app.status.version, folders())\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore:This process", "-c", program, tmp_path,
         world.server.url],
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, f"2 {int(not writable)}\n")
    warned = done.stderr.startswith("the folder of the cache cannot be used")
    assert (warned, done.stderr.count("\n")) == (not writable, int(not writable))
    assert list(temporary.iterdir()) == []


def reached(context: PinnedSSLContext, world: World) -> bytes:
    """Send a request to the update server; return the first bytes of the response."""
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


def test_pins_change_in_the_existing_context(world: World, intermediate: Authority) -> None:
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


def test_an_open_connection_stays_open(world: World, intermediate: Authority) -> None:
    app = world.updater()
    with (
        socket.create_connection(("127.0.0.1", world.server.port), PATIENCE) as plain,
        app.context.wrap_socket(plain, server_hostname=CHANNEL) as tls,
    ):
        assert asked(tls)
        world.repository.publish(pin_file(3, {CHANNEL: intermediate.issue(CHANNEL).pin}))
        app.refresh()
        assert asked(tls)


@pytest.mark.medium
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


def test_an_asyncio_app_continues_during_an_update(world: World) -> None:
    """The event loop isn't blocked and no connection is dropped (docs/guides/updater.md)."""
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


def test_the_context_of_the_app_is_not_replaced(world: World) -> None:
    heard: list[Any] = []
    context = PinnedSSLContext(world.bundled(), strict=False, on_failure=[heard.append])
    app = world.updater(pins=context)
    app.refresh()
    assert app.context is context
    assert (context.pins.version, context.strict) == (2, False)


@pytest.mark.parametrize("error", [ssl.SSLError("no"), PermissionError(13, "no")])
def test_a_set_that_the_context_cannot_enforce_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    """If the swap fails, the app keeps version 1 and caches nothing."""
    app = world.updater()

    def fail(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(PinnedSSLContext, "swap", fail)
        with pytest.raises(UpdateError, match="can't enforce the newest pins") as caught:
            app.refresh()
    assert caught.value.reason == "context"
    assert app.context.pins.version == 1
    assert not (world.cache / "last-known-good.json").exists()
    assert app.refresh().version == 2


def test_a_cached_set_that_the_context_cannot_enforce_is_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is wrong with the cache: only the files of the app's context are."""
    world.updater().refresh()

    def fail(*_: object, **__: object) -> None:
        raise PermissionError(13, "no")

    with monkeypatch.context() as patched:
        patched.setattr(PinnedSSLContext, "swap", fail)
        status = world.updater().status
    assert status.version == 1
    assert status.cache_error is not None
    assert status.cache_error.reason == "context"
    assert world.updater().status.version == 2


@pytest.mark.parametrize("cache", ["", ".", Path()], ids=["empty", "dot", "path"])
def test_the_current_folder_is_no_cache(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: str | Path
) -> None:
    monkeypatch.chdir(tmp_path)
    before = {*tmp_path.iterdir()}
    with pytest.raises(ConfigError, match="only this app uses") as caught:
        world.updater(cache=cache)
    assert (caught.value.key, "name a folder" in caught.value.fix) == ("cache", True)
    assert {*tmp_path.iterdir()} == before


def test_a_relative_cache_stays_where_it_is_if_the_app_changes_its_folder(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the memory against rollbacks and the last good set would be in two folders."""
    (tmp_path / "later").mkdir()
    monkeypatch.chdir(tmp_path)
    updater = world.updater(cache="cache")
    monkeypatch.chdir(tmp_path / "later")
    world.publish(2)
    assert updater.refresh().version == 2
    assert [*(tmp_path / "later").iterdir()] == []
    monkeypatch.chdir(tmp_path)
    assert world.updater(cache="cache").status.version == 2


@pytest.mark.parametrize("what", ["nothing", "json", "timestamp", "unsigned"])
def test_an_invalid_root_is_a_configuration_error(world: World, what: str) -> None:
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


@pytest.mark.parametrize("given", ["1.root.json", Path("1.root.json"), '{"signed": {}}', None])
def test_a_root_must_be_the_bytes_of_a_file(world: World, given: object) -> None:
    with pytest.raises(ConfigError, match="not the content of a file") as caught:
        world.updater(root=given)
    assert (caught.value.key, "read_bytes()" in caught.value.fix) == ("root", True)


def test_a_clock_without_a_time_zone_is_refused(world: World) -> None:
    pinned = PinnedSSLContext(world.bundled())
    with pytest.raises(ConfigError, match="time zone") as caught:
        world.updater(pins=pinned, clock=datetime.now)
    assert caught.value.key == "clock"


def test_hooks_get_every_event(world: World) -> None:
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


def test_the_log_has_every_event(world: World, caplog: pytest.LogCaptureFixture) -> None:
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


def test_an_asynchronous_hook_is_refused(world: World) -> None:
    async def hook(_: UpdateEvent) -> None: ...

    with pytest.raises(ConfigError, match="asynchronous, and would never run"):
        world.updater(on_event=[hook])


@pytest.mark.parametrize("hooks", [print, [None]])
def test_hooks_that_are_no_list_of_functions_are_refused(world: World, hooks: object) -> None:
    with pytest.raises(ConfigError, match="not a list of functions") as caught:
        world.updater(on_event=hooks)
    assert caught.value.key == "update hooks"


def test_a_path_in_the_place_of_pins_is_refused(world: World) -> None:
    with pytest.raises(ConfigError, match=r"PinSet\.load\('svc\.toml'\)"):
        world.updater(pins="svc.toml")


@pytest.mark.parametrize("how", ["raise", "exit", "block"])
def test_a_slow_or_failing_hook_delays_no_update(world: World, how: str) -> None:
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
