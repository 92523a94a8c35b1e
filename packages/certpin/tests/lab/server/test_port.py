"""The lab's ports read every byte sent before they close, and leak no sockets."""

from __future__ import annotations

import errno
import socket
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from certpin.lab.server import port as links
from certpin.lab.server.port import Loop, Port
from tests.lab.server._conversations import RecordingConversation, connect, read_all, reset
from tests.servers._run import accepts

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGE = b"x" * (8 * 1024 * 1024)  # more than the buffers of a socket


@pytest.fixture
def loop() -> Iterator[Loop]:
    with Loop() as running:
        yield running


class RecordingPort:
    """A port of the lab that records the input of every connection."""

    def __init__(self, loop: Loop, answer: bytes = b"", ends: bytes = b"\n") -> None:
        self.all: list[RecordingConversation] = []
        self._loop = loop
        self._new = (answer, ends)
        self.port = loop.call(lambda: Port(loop.asyncio, self._make))

    def _make(self) -> RecordingConversation:
        self.all.append(RecordingConversation(*self._new))
        return self.all[-1]

    def close(self) -> None:
        self._loop.call(self.port.close)

    @property
    def received(self) -> bytes:
        return b"".join(bytes(conversation.received) for conversation in self.all)


@pytest.mark.parametrize("size", [1, 64 * 1024, 1024 * 1024])
def test_what_was_sent_before_the_end_is_heard_to_the_last_byte(loop: Loop, size: int) -> None:
    """The port records all bytes even if it closes as soon as the client has sent them."""
    stand = RecordingPort(loop)
    with connect(stand.port.number) as client:
        client.sendall(b"y" * size)
        stand.close()
    assert stand.received == b"y" * size


def test_unread_data_is_read_at_the_end(loop: Loop) -> None:
    stand = RecordingPort(loop)

    def case_run() -> None:
        """Run in the thread of the loop, so that nothing is read before the port closes."""
        with connect(stand.port.number) as client:
            client.sendall(b"y" * 200_000)
            stand.port.close()

    loop.call(case_run)
    assert stand.received == b"y" * 200_000


def test_client_in_the_backlog_is_read(loop: Loop) -> None:
    stand = RecordingPort(loop)
    with ExitStack() as stack:

        def burst() -> None:
            """Run in the loop's thread, so that no connection is accepted before the end."""
            for number in range(50):
                client = stack.enter_context(connect(stand.port.number))
                client.sendall(b"%02d" % number)
            stand.port.close()

        loop.call(burst)
    assert sorted(bytes(conversation.received) for conversation in stand.all) == [
        b"%02d" % n for n in range(50)
    ]


def test_what_was_sent_before_a_reset_is_heard(loop: Loop) -> None:
    """A client's reset, which the server's response meets, does not lose the bytes sent earlier."""
    stand = RecordingPort(loop, answer=b"z" * 1000)

    def case_run() -> None:
        client = connect(stand.port.number)
        client.sendall(b"first\n" + b"y" * 200_000 + b"last")
        reset(client)
        stand.port.close()

    loop.call(case_run)
    assert stand.received.startswith(b"first\n")


def test_an_answer_that_cannot_be_sent_does_not_end_the_listening(loop: Loop) -> None:
    near, far = socket.socketpair()
    received = RecordingConversation(b"answer")
    ended: list[links.Link] = []

    def case_run() -> None:
        far.sendall(b"first\n" + b"y" * 100_000)
        far.shutdown(socket.SHUT_RD)  # EPIPE for the server's answer
        link = links.Link(loop.asyncio, near, received, ended.append)
        assert link.read()
        assert link.open
        while link.read():
            pass
        far.close()
        link.read()

    loop.call(case_run)
    assert bytes(received.received) == b"first\n" + b"y" * 100_000
    assert len(ended) == 1


def test_a_client_that_closed_its_side_gets_the_whole_answer(loop: Loop) -> None:
    """The end of the client's data arrives while most of the answer is unsent."""
    answer = b"x" * (1024 * 1024)  # more than the sockets buffer, and less than a link keeps
    near, far = socket.socketpair()
    conversation = RecordingConversation(answer)
    with far:
        loop.call(lambda: links.Link(loop.asyncio, near, conversation, lambda _: None))
        far.sendall(b"request\n")
        far.shutdown(socket.SHUT_WR)
        until = time.monotonic() + 10
        while not conversation.hung_up and time.monotonic() < until:
            loop.call(lambda: None)
        assert read_all(far) == answer


def test_what_a_client_says_after_the_answer_is_no_reset(loop: Loop) -> None:
    """The port reads what a client sends after the response, and so its close causes no reset.

    RFC 9112 section 9.6: closing with unread bytes causes a reset, which can overtake a response.
    """
    stand = RecordingPort(loop, answer=b"answer")
    with connect(stand.port.number) as client:
        client.sendall(b"request\n")
        assert read_all(client) == b"answer"
        client.sendall(b"more")
        stand.close()
    assert stand.received == b"request\nmore"


def test_a_client_that_never_reads_costs_bounded_memory(loop: Loop) -> None:
    class Echo(RecordingConversation):
        def receive(self, data: bytes) -> None:
            self._out += data * 4

    near, far = socket.socketpair()
    ended: list[links.Link] = []
    with near, far:
        far.setblocking(False)
        link = loop.call(lambda: links.Link(loop.asyncio, near, Echo(), ended.append))
        sent = 0
        for _ in range(500):
            try:
                sent += far.send(b"y" * 65_536)
            except BlockingIOError:
                loop.call(lambda: None)  # wait for one iteration of the loop
        held = loop.call(lambda: len(link._unsent))
        loop.call(link.close)
    assert held <= links._MAX_UNSENT + 4 * 65_536
    assert sent < 500 * 65_536
    assert len(ended) == 1


def test_a_client_that_is_silent_is_dropped(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "PATIENCE", 0.01)
    stand = RecordingPort(loop)
    with connect(stand.port.number) as client:
        assert read_all(client) == b""
    stand.close()


def test_many_come_at_once(loop: Loop) -> None:
    stand = RecordingPort(loop, answer=b"answer")
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(stand.port.number)) for _ in range(200)]
        for number, client in enumerate(clients):
            client.sendall(b"%03d\n" % number)
        assert all(read_all(client) == b"answer" for client in clients)
    stand.close()
    assert sorted(bytes(conversation.received) for conversation in stand.all) == [
        b"%03d\n" % n for n in range(200)
    ]


@pytest.mark.medium
def test_it_listens_on_when_descriptors_are_there_again(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand = RecordingPort(loop, answer=b"answer")
    accept = socket.socket.accept
    refused: list[socket.socket] = []

    def exhausted(listener: socket.socket) -> tuple[socket.socket, object]:
        if len(refused) < 3:
            refused.append(listener)
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", exhausted)
    with connect(stand.port.number) as client:
        client.sendall(b"request\n")
        assert read_all(client) == b"answer"
    assert len(refused) == 3
    stand.close()


def test_closed_connection_in_the_backlog_does_not_hide_others(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand = RecordingPort(loop)
    accept, gone = socket.socket.accept, [1]

    def aborted(listener: socket.socket) -> tuple[socket.socket, object]:
        if gone:
            raise OSError(gone.pop() and errno.ECONNABORTED, "Software caused connection abort")
        return accept(listener)

    def case_run() -> None:
        monkeypatch.setattr(socket.socket, "accept", aborted)
        with connect(stand.port.number) as client:
            client.sendall(b"heard")
            stand.port.close()

    loop.call(case_run)
    assert stand.received == b"heard"


def test_a_client_that_never_stops_does_not_keep_a_port_open(loop: Loop) -> None:
    stand = RecordingPort(loop)
    endless = [0]

    class Endless(socket.socket):
        def recv(self, size: int, flags: int = 0) -> bytes:
            endless[0] += 1
            return b"y" * size

    def case_run() -> None:
        near, far = socket.socketpair()
        with far:
            sock = Endless(fileno=near.detach())
            link = links.Link(loop.asyncio, sock, RecordingConversation(), stand.port._ended)
            stand.port._links.add(link)
            stand.port.close()
            assert not link.open

    loop.call(case_run)
    assert 64 < endless[0] < 1000, "more than a session looks at, and not for ever"


def test_a_closed_port_is_closed_and_may_be_closed_again(loop: Loop) -> None:
    stand = RecordingPort(loop)
    number = stand.port.number
    stand.close()
    stand.close()
    assert not accepts(number)
