"""The thread that waits for a client program also serves it, unless an event loop runs there."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from certpin.lab.attacks import CONTROL
from certpin.lab.client import Command
from certpin.lab.lab import Lab
from certpin.lab.runner import try_case
from certpin.lab.server.port import Loop, Port, WaitingLoop
from certpin.lab.server.relay import relay
from certpin.lab.server.session import Destination
from certpin.lab.verdict import Outcome
from tests.lab._clients import URLLIB
from tests.lab.server._conversations import RecordingConversation, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from certpin.lab.runner import Result

PROGRAM = (sys.executable, "-c", URLLIB, "{url}")


@pytest.fixture
def loop() -> Iterator[WaitingLoop]:
    with closing(WaitingLoop()) as made:
        yield made


def test_a_client_is_served_until_the_descriptor_is_readable(loop: WaitingLoop) -> None:
    port = loop.call(lambda: Port(loop.asyncio, lambda: RecordingConversation(b"answer", b"\n")))
    with connect(port.number) as client:
        client.sendall(b"request\n")
        assert not loop.wait_for(None, 0)
        assert loop.wait_for(client.fileno(), 20)
        assert client.recv(6) == b"answer"
    loop.call(port.close)


def test_a_descriptor_that_is_never_readable_ends_with_the_time(loop: WaitingLoop) -> None:
    near, far = socket.socketpair()
    with near, far:
        assert not loop.wait_for(near.fileno(), 0.05)
        far.send(b".")
        assert loop.wait_for(near.fileno(), 20)


def test_nothing_is_left_of_a_relay_when_the_loop_is_closed() -> None:
    loop = WaitingLoop()
    near, client = socket.socketpair()
    near.setblocking(False)
    with socket.create_server(("127.0.0.1", 0)) as listener, client:
        to = Destination("connect", *listener.getsockname())
        task = loop.call(lambda: relay(loop.asyncio, near, RecordingConversation(), to))
        assert loop.wait_for(listener.fileno(), 20)
        loop.close()
    assert task.cancelled()
    assert near.fileno() == -1


def test_a_server_that_reads_nothing_does_not_keep_the_loop_open() -> None:
    loop = WaitingLoop()
    near, client = socket.socketpair()
    near.setblocking(False)
    conversation = RecordingConversation()
    conversation.early = bytes(20_000_000)  # more than the buffers of both sockets
    with socket.create_server(("127.0.0.1", 0)) as listener, client:
        to = Destination("connect", *listener.getsockname())
        loop.call(lambda: relay(loop.asyncio, near, conversation, to))
        assert loop.wait_for(listener.fileno(), 20)
        server, _ = listener.accept()
        with server:
            assert loop.wait_for(server.fileno(), 20)
            loop.close()
    assert near.fileno() == -1


def _control() -> Result:
    with Lab() as lab:
        return try_case(lab, Command(PROGRAM), CONTROL)


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that records, in order, which kinds of event loops served requests."""
    found: list[str] = []

    def record(kind: type[Loop | WaitingLoop]) -> None:
        call: Callable[..., object] = kind.call

        def recorded(self: Loop | WaitingLoop, function: Callable[[], object]) -> object:
            found.append(kind.__name__)
            return call(self, function)

        monkeypatch.setattr(kind, "call", recorded)

    record(Loop)
    record(WaitingLoop)
    return found


def test_a_program_is_served_by_the_thread_that_waits_for_it(used: list[str]) -> None:
    assert _control().outcome is Outcome.RIGHT
    assert used[:2] == ["WaitingLoop"] * 2


def test_where_an_event_loop_runs_the_thread_of_the_lab_serves(used: list[str]) -> None:
    async def run() -> Result:
        return _control()

    assert asyncio.run(run()).outcome is Outcome.RIGHT
    assert used[:2] == ["Loop"] * 2


def test_a_process_without_a_descriptor_is_served_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: int) -> int:
        raise OSError("no descriptor")

    monkeypatch.setattr(os, "pidfd_open", fails)
    assert _control().outcome is Outcome.RIGHT


@pytest.mark.parametrize(
    "missing", ["certpin.lab.lab.WaitingLoop.__init__", "tempfile.TemporaryFile"]
)
def test_without_descriptors_a_case_is_undecided(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(missing, fails)
    result = _control()
    assert result.outcome is Outcome.UNDECIDED
    assert "Too many open files" in result.why
