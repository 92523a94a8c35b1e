"""The log and the hooks that receive pin failures: neither can break or delay a connection."""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from certpin import (
    ConfigError,
    PinFailure,
    PinMismatchError,
    PinnedSSLContext,
    UnpinnedHostError,
)
from certpin.support.hooks import _Threads
from tests import kit
from tests.tls._handshakes import HOST, Wire, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from certpin.lab import Authority, Identity
    from certpin.pinfile import PinSet

PATIENCE = 30.0  # seconds
NOW = datetime(2026, 12, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def server(intermediate: Authority) -> Identity:
    return intermediate.issue(HOST)


@pytest.fixture
def heard() -> queue.Queue[PinFailure]:
    return queue.Queue()


@pytest.fixture
def let_go() -> Iterator[threading.Event]:
    """Return an event that a blocking hook waits for. It is set at the end of the test."""
    event = threading.Event()
    yield event
    event.set()


def refusing(*hooks: Callable[[PinFailure], object], **fields: Any) -> PinnedSSLContext:
    """Return a context that refuses every server and calls ``hooks`` for each refusal."""
    return PinnedSSLContext(unmatched_pins(**fields), clock=lambda: NOW, on_failure=hooks)


def unmatched_pins(**fields: Any) -> PinSet:
    return kit.pin_set(kit.policy(HOST, **fields), version=7)


def be_refused(context: PinnedSSLContext, server: Identity) -> PinMismatchError:
    with pytest.raises(PinMismatchError) as caught:
        connect(context, server)
    return caught.value


def test_a_hook_gets_the_failure_with_its_verdict_and_error(
    trusted_root: Path, server: Identity, heard: queue.Queue[PinFailure]
) -> None:
    error = be_refused(refusing(heard.put), server)
    failure = heard.get(timeout=PATIENCE)
    assert (failure.host, failure.decision, failure.reason) == (HOST, "refuse", "mismatch")
    assert (failure.pin_set, failure.pin_set_version, failure.at) == ("test", 7, NOW)
    assert failure.verdict is error.verdict
    assert str(failure.error) == str(error)
    assert not failure.debug
    assert failure.policy is error.verdict.policy
    assert failure.served == tuple(each.public_bytes(Encoding.DER) for each in server.chain)


def test_the_error_that_a_hook_gets_keeps_no_connection_alive(
    trusted_root: Path, server: Identity, heard: queue.Queue[PinFailure]
) -> None:
    be_refused(refusing(heard.put), server)
    error = heard.get(timeout=PATIENCE).error
    assert error is not None
    assert error.__traceback__ is None
    assert error.__context__ is None


class _Prompt:
    """A failure hook that never waits: it records its calls, and raises an error."""

    never_waits = True

    def __init__(self) -> None:
        self.attached: list[PinnedSSLContext] = []
        self.threads: list[int] = []

    def attach(self, context: PinnedSSLContext) -> None:
        self.attached.append(context)

    def __call__(self, failure: PinFailure) -> None:
        self.threads.append(threading.get_ident())
        raise ValueError("it breaks nothing either")


def test_a_non_blocking_hook_is_called_immediately(trusted_root: Path, server: Identity) -> None:
    hook = _Prompt()
    context = refusing(hook)
    be_refused(context, server)
    assert hook.threads == [threading.get_ident()]
    assert hook.attached == [context]
    context.swap(kit.pin_set(*context.pins.policies, version=8))
    assert hook.attached == [context, context], "it has other pins now"
    with pytest.raises(ConfigError):
        context.swap(kit.pin_set(*context.pins.policies))
    assert hook.attached == [context, context]


def test_the_report_context_is_pinned_and_calls_no_hooks(
    trusted_root: Path, server: Identity, heard: queue.Queue[PinFailure]
) -> None:
    context = refusing(heard.put)
    assert context.report_context("other.example") is None
    channel = context.report_context(HOST)
    assert channel is not None
    assert channel.pins is context.pins
    be_refused(channel, server)
    be_refused(context, server)
    heard.get(timeout=PATIENCE)
    assert heard.empty()


def test_every_hook_gets_every_failure_in_order(
    trusted_root: Path, server: Identity, heard: queue.Queue[PinFailure]
) -> None:
    names: queue.Queue[str] = queue.Queue()
    context = refusing(lambda _: names.put("first"), lambda _: names.put("second"), heard.put)
    be_refused(context, server)
    be_refused(context, server)
    got = [names.get(timeout=PATIENCE) for _ in range(4)]
    assert got == ["first", "second", "first", "second"]


def test_a_refusal_without_a_verdict_is_logged_with_its_error_name(
    trusted_root: Path, heard: queue.Queue[PinFailure], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UnpinnedHostError):
        refusing(heard.put).admit("other.example")
    failure = heard.get(timeout=PATIENCE)
    assert (failure.reason, failure.verdict) == ("UnpinnedHostError", None)
    assert fields_of(caplog)[0]["policy"] is None


def test_a_matching_connection_is_not_reported(
    trusted_root: Path, server: Identity, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[PinFailure] = []
    pins = kit.pin_set(kit.policy(HOST, server.pin))
    connect(PinnedSSLContext(pins, on_failure=[heard.append]), server)
    assert not heard
    assert not caplog.records


def test_a_refusal_is_reported_once_although_the_connection_is_used_again(
    trusted_root: Path, server: Identity, caplog: pytest.LogCaptureFixture
) -> None:
    wire = Wire(refusing(), server)
    for _ in range(3):
        with pytest.raises(PinMismatchError):
            wire.shake()
    assert len(caplog.records) == 1


def fields_of(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [record.certpin for record in caplog.records]  # type: ignore[attr-defined]


def test_a_log_record_has_the_fields_for_a_collector(
    trusted_root: Path,
    root: Authority,
    intermediate: Authority,
    server: Identity,
    caplog: pytest.LogCaptureFixture,
) -> None:
    be_refused(refusing(), server)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("certpin", "ERROR")
    assert record.getMessage() == f"{HOST}: refused (mismatch)"
    path = (server.certificate, intermediate.certificate, root.certificate)
    assert fields_of(caplog) == [
        {
            "host": HOST,
            "port": 0,
            "decision": "refuse",
            "reason": "mismatch",
            "at": "2026-12-01T00:00:00+00:00",
            "pin_set": "test",
            "pin_set_version": 7,
            "policy": HOST,
            "debug": False,
            "chain_spki_sha256": [each.spki_sha256.hex() for each in path],
        }
    ]


def test_a_log_record_can_be_written_as_json(
    trusted_root: Path, server: Identity, caplog: pytest.LogCaptureFixture
) -> None:
    import json

    be_refused(refusing(), server)
    assert json.loads(json.dumps(fields_of(caplog)[0]))["host"] == HOST


def test_a_log_record_contains_no_secret(
    trusted_root: Path,
    intermediate: Authority,
    server: Identity,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from cryptography.hazmat.primitives import serialization

    identity = intermediate.issue("client.example")
    locked = identity.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"hunter2-hunter2"),
    )
    (tmp_path / "client.pem").write_bytes(identity.chain_pem + locked)
    context = refusing()
    caplog.set_level(logging.DEBUG)
    context.load_cert_chain(tmp_path / "client.pem", password="hunter2-hunter2")
    be_refused(context, server)
    (record,) = caplog.records
    written = f"{vars(record)}"
    assert "hunter2" not in written
    assert "PRIVATE" not in written
    assert str(tmp_path / "client.pem") not in written


class RaisingHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise OSError("the disk is full")


@pytest.fixture
def broken_log() -> Iterator[None]:
    handler = RaisingHandler()
    logging.getLogger("certpin").addHandler(handler)
    yield
    logging.getLogger("certpin").removeHandler(handler)


def test_a_log_handler_that_raises_breaks_no_connection(
    trusted_root: Path, server: Identity, broken_log: None, heard: queue.Queue[PinFailure]
) -> None:
    connect(refusing(heard.put, mode="report"), server)
    assert heard.get(timeout=PATIENCE).decision == "report"


def test_a_log_handler_that_raises_changes_no_error(
    trusted_root: Path, server: Identity, broken_log: None, heard: queue.Queue[PinFailure]
) -> None:
    be_refused(refusing(_raise, heard.put), server)
    assert heard.get(timeout=PATIENCE).decision == "refuse"


def _raise(_: PinFailure) -> None:
    raise RuntimeError("a bug in the hook")


def _exit(_: PinFailure) -> None:
    sys.exit("a hook that gives up")


@pytest.mark.parametrize("hook", [_raise, _exit])
def test_a_hook_that_raises_stops_neither_the_next_hook_nor_the_next_failure(
    trusted_root: Path,
    server: Identity,
    heard: queue.Queue[PinFailure],
    hook: Callable[[PinFailure], object],
    caplog: pytest.LogCaptureFixture,
) -> None:
    context = refusing(hook, heard.put)
    for _ in range(2):
        be_refused(context, server)
        heard.get(timeout=PATIENCE)
    said = [record for record in caplog.records if record.message == "a failure hook raised"]
    assert len(said) == 2
    assert said[0].exc_info


@pytest.mark.parametrize("mode", ["enforce", "report"])
def test_a_hook_that_blocks_forever_delays_no_connection(
    trusted_root: Path, server: Identity, let_go: threading.Event, mode: str
) -> None:
    entered = threading.Event()

    def block(_: PinFailure) -> None:
        entered.set()
        let_go.wait()

    context = refusing(block, mode=mode)
    for _ in range(3):
        connect(context, server) if mode == "report" else be_refused(context, server)
    assert entered.wait(PATIENCE)
    assert not let_go.is_set()


def test_slow_hooks_lose_the_newest_events_which_is_logged(
    trusted_root: Path,
    let_go: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("certpin.support.hooks._WAITING", 2)
    entered, got = threading.Event(), queue.Queue[str]()

    def slow(failure: PinFailure) -> None:
        entered.set()
        let_go.wait()
        got.put(failure.host)

    context = refusing(slow)
    ask(context, "first.example")
    assert entered.wait(PATIENCE)
    for name in ("second.example", "third.example", "fourth.example"):
        ask(context, name)
    lost = [record.message for record in caplog.records if "too slow" in record.message]
    assert lost == ["failure hooks are too slow: one failure was not handed to them"]
    let_go.set()
    names = [got.get(timeout=PATIENCE) for _ in range(3)]
    assert names == ["first.example", "second.example", "third.example"]


def ask(context: PinnedSSLContext, host: str) -> None:
    with pytest.raises(UnpinnedHostError):
        context.admit(host)


def test_a_hook_runs_in_a_daemon_thread(
    trusted_root: Path,
) -> None:
    threads: queue.Queue[threading.Thread] = queue.Queue()
    ask(refusing(lambda _: threads.put(threading.current_thread())), "other.example")
    thread = threads.get(timeout=PATIENCE)
    assert thread is not threading.current_thread()
    assert thread.daemon


def test_without_hooks_no_thread_is_started(trusted_root: Path) -> None:
    context = refusing()
    ask(context, "other.example")
    assert context._enforcer._notifier._hooks._has_thread is False


def test_the_connection_is_refused_even_if_no_thread_can_start(
    trusted_root: Path,
    server: Identity,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    context = refusing(_raise)
    monkeypatch.setattr("certpin.support.hooks._threads", _Threads())  # without an idle one
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    be_refused(context, server)
    assert any("no thread" in record.message for record in caplog.records)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_hooks_work_in_a_forked_process(trusted_root: Path, let_go: threading.Event) -> None:
    """A forked child calls the hooks, although it has no worker thread.

    In addition, the parent's worker may have held the lock of the queue during the fork.
    """
    reading, writing = os.pipe()
    entered = threading.Event()

    def tell(failure: PinFailure) -> None:
        if os.getpid() != parent:
            os.write(writing, failure.host.encode())
            return
        entered.set()
        let_go.wait()

    parent = os.getpid()
    context = refusing(tell)
    ask(context, "first.example")
    assert entered.wait(PATIENCE)  # the only worker is busy
    child = os.fork()
    if child == 0:
        signal.alarm(int(PATIENCE))  # a child that hangs ends by itself
        _in_the_child(context)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b"child.example"
    assert os.waitpid(child, 0)[1] == 0


def _in_the_child(context: PinnedSSLContext) -> None:
    """Cause a pin failure and end the child: with exit code 0 if the hook was called, else 1."""
    status = 1
    try:
        told = threading.Event()
        hooks = context._enforcer._notifier._hooks
        hooks._hooks = (*hooks._hooks, lambda _: told.set())
        ask(context, "child.example")
        status = 0 if told.wait(PATIENCE) else 1
    finally:
        os._exit(status)
