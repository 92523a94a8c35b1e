"""Relays forward every byte in both directions, and leave no socket open."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from certpin.lab.server.port import Loop
from certpin.lab.server.relay import relay
from certpin.lab.server.session import Destination
from tests.lab.server._conversations import RecordingConversation, read_all

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def loop() -> Iterator[Loop]:
    with Loop() as running:
        yield running


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)
        yield listening


def through(loop: Loop, listener: socket.socket, received: RecordingConversation) -> socket.socket:
    """Start a relay to the listener, and return the client's socket.

    ``received`` is the conversation that the relay shows its data.
    """
    near, client = socket.socketpair()
    client.settimeout(10)
    to = Destination("connect", *listener.getsockname())
    near.setblocking(False)
    loop.call(lambda: relay(loop.asyncio, near, received, to))
    return client


def test_each_side_may_finish_before_the_other(loop: Loop, listener: socket.socket) -> None:
    received = RecordingConversation()
    received.early = b"early "
    with through(loop, listener, received) as client:
        server, _ = listener.accept()
        with server:
            client.sendall(b"request")
            client.shutdown(socket.SHUT_WR)
            assert read_all(server) == b"early request"
            server.sendall(b"answer" * 100_000)
        assert read_all(client) == b"answer" * 100_000
    assert received.octets == 600_000


def test_a_reset_ends_both(loop: Loop, listener: socket.socket) -> None:
    with through(loop, listener, RecordingConversation()) as client:
        server, _ = listener.accept()
        client.sendall(b"unread")
        assert server.recv(1) == b"u"
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        server.close()
        assert read_all(client) == b""


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a\0b", "x..y"])
def test_a_name_that_no_resolver_takes_ends_it(loop: Loop, host: str) -> None:
    near, client = socket.socketpair()
    near.setblocking(False)
    client.settimeout(10)
    with client:
        task = loop.call(
            lambda: relay(
                loop.asyncio, near, RecordingConversation(), Destination("connect", host, 443)
            )
        )
        assert read_all(client) == b""
        loop.call(lambda: None)  # wait for its last steps
    assert task.done()
    assert task.exception() is None
    assert near.fileno() == -1


def test_forbidden_destination_is_not_contacted(loop: Loop, listener: socket.socket) -> None:
    near, client = socket.socketpair()
    near.setblocking(False)
    client.settimeout(10)
    to = Destination("connect", *listener.getsockname())
    asked: list[str] = []

    def allow(address: str) -> bool:
        asked.append(address)
        return False

    with client:
        loop.call(lambda: relay(loop.asyncio, near, RecordingConversation(), to, allow=allow))
        server, _ = listener.accept()
        with server:
            server.settimeout(10)
            assert read_all(server) == b""
        assert read_all(client) == b""
    assert asked == ["127.0.0.1"]


def test_nothing_is_left_of_a_relay_whose_lab_ends(listener: socket.socket) -> None:
    """The sockets of relays that wait for a server, or have not begun, are closed with the lab."""
    with Loop() as loop:
        with through(loop, listener, RecordingConversation()):
            server, _ = listener.accept()
            to = Destination("connect", *listener.getsockname())
            near, other = socket.socketpair()
            near.setblocking(False)
            loop.call(lambda: relay(loop.asyncio, near, RecordingConversation(), to).cancel())
        other.close()
        server.close()
    assert near.fileno() == -1
